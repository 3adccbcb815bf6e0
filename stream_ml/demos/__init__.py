"""Demonstrations: pipelines as a user writes them, their data, generators and a plot."""

"""Prequential metrics and drift detectors: siblings of features and models."""

"""Inputs in, decisions out: merge, score, learn, and write down what was fed."""

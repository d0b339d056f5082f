"""Measures of a trained network, as NumPy functions: of distributions, of classes, and of its confidence."""

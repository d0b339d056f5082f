"""Facial expression recognition in Keras: datasets, models, studies, explanations, serving."""

__version__ = "0.1.0"

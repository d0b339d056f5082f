"""Trained networks as SavedModels for TensorFlow Serving, as LiteRT and ONNX files, and a client for the server."""

"""Facial expression recognition in Keras: datasets, models, studies, explanations, serving."""

__version__ = "0.1.0"

# Imported when they are used, so that importing the package stays fast and needs no TensorFlow.
_LAZY = {
    "heatmaps": "fer_tf.explain",
    "load_model": "fer_tf.pretrained",
}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)

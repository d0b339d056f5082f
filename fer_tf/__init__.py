"""Facial expression recognition in Keras: datasets, models, studies, explanations, serving."""

__version__ = "0.1.0"

# Imported when they are used, so that importing the package stays fast and needs no TensorFlow.
_LAZY = {
    "analyze": "fer_tf.recognition.api",
    "heatmaps": "fer_tf.explain",
    "load_model": "fer_tf.pretrained",
}


# Modules that can be called: an import of them would put them in a function's place anyhow.
_CALLABLE = ("predict",)


def __getattr__(name: str):
    import importlib

    if name in _CALLABLE:
        return importlib.import_module(f"fer_tf.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)

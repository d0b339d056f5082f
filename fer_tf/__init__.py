"""Recognize facial expressions with Keras, from study to serving.

Everything public is imported when it is first used: ``import fer_tf`` is fast and needs no TensorFlow.
"""

from fer_tf.registry import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.augment",
    "fer_tf.datasets",
    "fer_tf.evaluation",
    "fer_tf.explain",
    "fer_tf.explain:heatmaps",
    "fer_tf.facetable:FaceTable",
    "fer_tf.labels:LabelSet",
    "fer_tf.layers",
    "fer_tf.losses",
    "fer_tf.metrics",
    "fer_tf.models",
    "fer_tf.models.saving:load_model",
    "fer_tf.predict",
    "fer_tf.inference.api:analyze",
    "fer_tf.stats",
    "fer_tf.training",
    "fer_tf.training.optimizers",
)

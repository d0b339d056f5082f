"""Find faces in photographs and videos and recognize their expressions."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.inference.api:analyze",
    "fer_tf.inference.api:predict",
    "fer_tf.inference.classifier:ExpressionClassifier",
    "fer_tf.inference.drawing:annotate",
    "fer_tf.inference.pipeline:FacePipeline",
    "fer_tf.inference.output:Face",
    "fer_tf.inference.output:ImageResult",
    "fer_tf.inference.output:Prediction",
)

"""Export networks for servers and devices, and send images to a server.

``savedmodel.export`` writes a SavedModel for TensorFlow Serving, ``devices`` writes LiteRT and ONNX files; both import
TensorFlow. The REST client needs the standard library alone.
"""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.serving.devices",
    "fer_tf.serving.client:GrpcClient",
    "fer_tf.serving.client:has_serving_apis",
    "fer_tf.serving.savedmodel",
    "fer_tf.serving.client:convert_face",
    "fer_tf.serving.client:convert_photograph",
    "fer_tf.serving.client:RestClient",
)

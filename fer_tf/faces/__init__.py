"""Detect faces, crop them from photographs, find landmarks, and draw masks."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.faces.detectors:Detections",
    "fer_tf.faces.detectors:get",
    "fer_tf.faces.extraction:FaceExtractor",
    "fer_tf.faces.extraction:RetinaFaceDetector",
)

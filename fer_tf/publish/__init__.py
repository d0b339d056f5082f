"""Publish trained networks: calibrate, measure, and write their model cards."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__, "fer_tf.publish.card", "fer_tf.publish.detector", "fer_tf.publish.model"
)

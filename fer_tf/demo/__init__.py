"""The web page for photographs and videos, served by this computer.

``analysis`` imports TensorFlow, and ``guard`` needs the extra ``demo``: they are imported when they are first used.
"""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__, "fer_tf.demo.analysis", "fer_tf.demo.guard", "fer_tf.demo.server:serve"
)

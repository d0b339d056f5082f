"""Compute losses on label distributions.

Targets are float (N, C) with rows that sum to 1; a hard label is a one-hot row. The classes take logits: no softmax in
front. To add a loss, write its class and add one line to ``LOSSES``.
"""

from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.registry import Registry, attach

if TYPE_CHECKING:
    import keras

LOSSES = Registry("loss")
LOSSES.add("cross_entropy", "fer_tf.losses.distribution:CrossEntropy")
LOSSES.add("focal", "fer_tf.losses.distribution:Focal")
LOSSES.add("kl", "fer_tf.losses.distribution:KullbackLeibler")
LOSSES.add("jensen_shannon", "fer_tf.losses.distribution:JensenShannon")
LOSSES.add("multi_target", "fer_tf.losses.distribution:MultiTarget")

_FUNCTIONS = ("cross_entropy", "focal", "kl", "jensen_shannon", "multi_target")


def get(identifier: "str | keras.losses.Loss", **common: Any) -> "keras.losses.Loss":
    """Return a loss for its call string.

    Args:
        identifier: a name of ``LOSSES`` with keywords of its class, such as ``"cross_entropy(label_smoothing=0.1)"``;
            or a loss, which is returned as it is.
        **common: more keywords for the class: ``name``, ``reduction`` (``None`` returns one value per face), ``dtype``.

    Returns:
        A Keras loss of targets and logits, float (N, C) each.

    Raises:
        UserError: an unknown name or keyword, a value out of range, or keywords beside a loss that is built already.

    Example:
        >>> import fer_tf
        >>> fer_tf.losses.get("focal(gamma=1.5)").get_config()["gamma"]
        1.5
    """
    if isinstance(identifier, str):
        return LOSSES.make(identifier, **common)
    if not callable(identifier) or common:
        raise UserError(f"Expected a call string such as 'kl', or a loss without more keywords, got {identifier!r}.")
    return identifier


__getattr__, __dir__, __all__ = attach(
    __name__,
    *LOSSES.targets,
    *(f"fer_tf.losses.distribution:{name}" for name in _FUNCTIONS),
    "fer_tf.losses.distribution:concordance",
    own=("LOSSES", "get"),
)

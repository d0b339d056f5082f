"""Losses on label distributions: targets (N, C) that sum to 1, and logits. ``build`` makes one from its call string."""

from typing import TYPE_CHECKING, Any

from fer_tf.registry import Registry

if TYPE_CHECKING:
    import keras

LOSSES = Registry("loss")
LOSSES.add("cross_entropy", "fer_tf.losses.cross_entropy:CrossEntropy", reference="arXiv 1512.00567 for the smoothing")
LOSSES.add("focal", "fer_tf.losses.focal:Focal", reference="arXiv 1708.02002")
LOSSES.add("kl", "fer_tf.losses.divergence:KullbackLeibler", reference="arXiv 1408.6027")
LOSSES.add("jensen_shannon", "fer_tf.losses.divergence:JensenShannon", reference="arXiv 2105.04522")
LOSSES.add("multi_target", "fer_tf.losses.multi_target:MultiTarget", reference="arXiv 1608.01041")


def build(text: str, **common: Any) -> "keras.losses.Loss":
    """Build a loss from its call string, such as ``"cross_entropy(label_smoothing=0.1)"``.

    Args:
        text: a name of ``LOSSES``, with keywords of its class.
        **common: ``name``, or ``reduction`` (``None`` keeps one number a face), for the classes of all rows.

    Returns:
        A Keras loss of (targets, logits), each float (N, C): targets first, and no softmax before it.

    Raises:
        UserError: an unknown name or keyword, or a value out of range.
    """
    return LOSSES.make(text, **common)

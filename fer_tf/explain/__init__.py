"""Heat maps: where in a face a trained network finds what speaks for a class.

Facts of a row of ``METHODS``: ``gradient`` (it reads a gradient, else activations and logits alone), ``by_class``
(it explains one class; else the same map for all), ``title`` and
``reference``.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_tf.registry import Registry

if TYPE_CHECKING:
    import keras
    import numpy as np

    from fer_tf.explain.explainer import Explainer
    from fer_tf.inference.classifier import ExpressionClassifier

__all__ = ["METHODS", "heatmaps"]

METHODS = Registry("heat map method")
METHODS.add(
    "gradcam", "fer_tf.explain.gradients:gradcam", title="Grad-CAM", gradient=True, by_class=True,
    reference="arXiv 1610.02391",
)  # fmt: skip
METHODS.add(
    "gradcam++", "fer_tf.explain.gradients:gradcam_plus_plus", title="Grad-CAM++", gradient=True, by_class=True,
    reference="arXiv 1710.11063",
)  # fmt: skip
METHODS.add(
    "layercam", "fer_tf.explain.gradients:layercam", title="LayerCAM", gradient=True, by_class=True,
    reference="doi 10.1109/TIP.2021.3089943",
)  # fmt: skip
METHODS.add(
    "scorecam", "fer_tf.explain.scorecam:scorecam", title="Score-CAM", gradient=False, by_class=True,
    reference="arXiv 1910.01279",
)  # fmt: skip
METHODS.add(
    "eigencam", "fer_tf.explain.eigencam:eigencam", title="Eigen-CAM", gradient=False, by_class=False,
    reference="arXiv 2008.00299",
)  # fmt: skip


def heatmaps(
    network: "keras.Model | ExpressionClassifier",
    faces: "np.ndarray",
    method: str = "gradcam",
    classes: str | int | Sequence[str | int] | None = None,
    layer: str | None = None,
) -> "np.ndarray":
    """Draw the heat maps of faces.

    The logit of a class is explained. Of each map what is below 0 is cut off, the rest is brought to the network's
    input size (bilinear) and divided by its largest value: 1 is a face's hottest pixel, and maps of two faces cannot
    be compared in height. Where nothing speaks for the class, a map is 0 everywhere. ``Explainer.explain`` gives the
    raw maps and the logits too; the functions of the last four networks are kept compiled.

    Args:
        network: an ``ExpressionClassifier``, or a network.
        faces: pixels 0 to 255. For an ``ExpressionClassifier`` (N, h, w, 1 or 3) of any size, which it prepares; for
            a network (N, H, W, channels) of its own input shape.
        method: a name of ``METHODS``.
        classes: what to explain: a class by name or number, or one a face; ``None``: each face's most probable class.
        layer: name of the layer whose output is weighed; ``None``: the network's ``facts.gradcam_layer``.

    Returns:
        float32 (N, H, W) in [0, 1] at the network's input size: of an ``ExpressionClassifier``'s face the
        central square that the network sees.

    Raises:
        UserError: an unknown method, class or layer, or faces of another shape.
    """
    return _explainer(network, method, layer).explain(faces, classes).heat


@functools.lru_cache(maxsize=4)
def _explainer(network: "keras.Model | ExpressionClassifier", method: str, layer: str | None) -> "Explainer":
    from fer_tf.explain.explainer import Explainer

    return Explainer(network, method, layer)

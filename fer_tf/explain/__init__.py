"""Heat maps: where in a face a network finds evidence for a class.

To add a method, write its class in ``methods.py`` and add one line to ``METHODS``.

Example:
    >>> import numpy as np, fer_tf
    >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
    >>> fer_tf.explain.GradCAM(network)(np.zeros((2, 48, 48, 1))).shape
    (2, 48, 48)
"""

from fer_tf import registry
from fer_tf.registry import Registry

METHODS = Registry("heat map method")
METHODS.add("gradcam", "fer_tf.explain.methods:GradCAM")
METHODS.add("gradcam++", "fer_tf.explain.methods:GradCAMPlusPlus")
METHODS.add("layercam", "fer_tf.explain.methods:LayerCAM")
METHODS.add("scorecam", "fer_tf.explain.methods:ScoreCAM")
METHODS.add("eigencam", "fer_tf.explain.methods:EigenCAM")

__getattr__, __dir__, __all__ = registry.attach(
    __name__,
    *METHODS.targets,
    "fer_tf.explain.explainer:Explainer",
    "fer_tf.explain.explainer:Explanation",
    "fer_tf.explain.faithfulness",
    "fer_tf.explain.faithfulness:Faithfulness",
    "fer_tf.explain.pictures",
    "fer_tf.explain.methods:get",
    "fer_tf.explain.methods:heatmaps",
    own=["METHODS"],
)

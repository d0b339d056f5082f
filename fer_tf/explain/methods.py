"""The heat map methods: Grad-CAM, Grad-CAM++, LayerCAM, Score-CAM and Eigen-CAM."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.explain import METHODS
from fer_tf.explain.explainer import Explainer, MapInputs, Network, loaded
from fer_tf.inference.inputs import Input

_SPACE = (1, 2)


class GradCAM(Explainer):
    """Grad-CAM: weigh each channel by the mean of its gradient.

    The map is Σ_k mean(∂y/∂A_k)·A_k with the logit y and the channels A_k of the layer. Arguments and calls are those
    of ``Explainer``.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> heat = fer_tf.explain.GradCAM(network)(np.zeros((2, 48, 48, 1)), classes=0)
        >>> heat.shape, heat.dtype
        ((2, 48, 48), dtype('float32'))

    References:
        arXiv 1610.02391
    """

    title = "Grad-CAM"

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Return raw maps (N, h, w); negative where activations are evidence against the class."""
        weights = tf.reduce_mean(inputs.gradients, axis=_SPACE, keepdims=True)
        return tf.reduce_sum(weights * inputs.activations, axis=-1)


class GradCAMPlusPlus(Explainer):
    """Grad-CAM++: weigh positive gradients so that small regions count as much.

    With g = ∂y/∂A, a channel's weight is Σ α·relu(g) over its pixels, where α = g² / (2g² + g³·ΣA), divided by the sum
    of α. The explained score is exp(y), whose first three derivatives are exp(y) times powers of g. The factor exp(y)
    is left out: it is the same for a whole map, a heat map does not show it, and it overflows.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> fer_tf.explain.GradCAMPlusPlus(network)(np.zeros((2, 48, 48, 1))).shape
        (2, 48, 48)

    References:
        arXiv 1710.11063; α sums to 1 as in its authors' code
    """

    title = "Grad-CAM++"

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Return raw maps (N, h, w)."""
        g, activations = inputs.gradients, inputs.activations
        square = tf.square(g)
        below = 2 * square + square * g * tf.reduce_sum(activations, axis=_SPACE, keepdims=True)
        alpha = tf.math.divide_no_nan(square, below)
        alpha = tf.math.divide_no_nan(alpha, tf.reduce_sum(alpha, axis=_SPACE, keepdims=True))
        weights = tf.reduce_sum(alpha * tf.nn.relu(g), axis=_SPACE, keepdims=True)
        return tf.reduce_sum(weights * activations, axis=-1)


class LayerCAM(Explainer):
    """LayerCAM: weigh each activation by its own positive gradient.

    The map is Σ_k relu(∂y/∂A_k)·A_k; it also suits early layers.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> fer_tf.explain.LayerCAM(network, layer="stage2_block1")(np.zeros((2, 48, 48, 1))).shape
        (2, 48, 48)

    References:
        Jiang et al., LayerCAM, IEEE TIP 2021, doi 10.1109/TIP.2021.3089943
    """

    title = "LayerCAM"

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Return raw maps (N, h, w)."""
        return tf.reduce_sum(tf.nn.relu(inputs.gradients) * inputs.activations, axis=-1)


class ScoreCAM(Explainer):
    """Score-CAM: weigh each channel by the logit of the face that it masks.

    Channel k, resized to the input (bilinear) and scaled to 0...1, multiplies the pixels: what it leaves out turns
    black. The map is Σ_k softmax_k(y(masked by k))·A_k. The paper subtracts the logit of a baseline, which the softmax
    cancels.

    Args:
        network, layer, batch_size: see ``Explainer``.
        masked_batch_size: largest number of masked faces in one forward pass; it bounds the memory.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> fer_tf.explain.ScoreCAM(network)(np.zeros((2, 48, 48, 1))).shape
        (2, 48, 48)

    References:
        arXiv 1910.01279, algorithm 1
    """

    title = "Score-CAM"
    uses_gradient = False

    def __init__(self, network: Network, layer: str | None = None, batch_size: int = 64, masked_batch_size: int = 256):
        super().__init__(network, layer, batch_size)
        self.masked_batch_size = masked_batch_size

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Return raw maps (N, h, w)."""
        shape = tf.shape(inputs.activations)
        count, channels = shape[0], shape[3]
        total = count * channels
        masks = tf.reshape(tf.transpose(inputs.activations, (0, 3, 1, 2)), (total, shape[1], shape[2]))
        batch = tf.maximum(1, tf.minimum(total, self.masked_batch_size))
        steps = (total + batch - 1) // batch
        # The last batch is filled up with the last mask, so that all have one shape.
        numbers = tf.reshape(tf.minimum(tf.range(steps * batch), total - 1), (steps, batch))

        def scores(rows: tf.Tensor) -> tf.Tensor:
            faces = rows // channels
            shown = tf.gather(inputs.images, faces) * _between_0_and_1(tf.gather(masks, rows), inputs.images)
            return tf.gather(inputs.logits(shown), tf.gather(inputs.classes, faces), batch_dims=1)

        signature = tf.TensorSpec((None,), tf.float32)
        found = tf.reshape(tf.map_fn(scores, numbers, parallel_iterations=1, fn_output_signature=signature), [-1])
        weights = tf.nn.softmax(tf.reshape(found[:total], (count, channels)))
        return tf.einsum("nhwd,nd->nhw", inputs.activations, weights)


def _between_0_and_1(masks: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Resize masks (M, h, w) to the images and scale each to 0...1; one without contrast becomes 0."""
    large = tf.image.resize(masks[..., None], tf.shape(images)[1:3])
    low = tf.reduce_min(large, axis=_SPACE, keepdims=True)
    return tf.math.divide_no_nan(large - low, tf.reduce_max(large, axis=_SPACE, keepdims=True) - low)


class EigenCAM(Explainer):
    """Eigen-CAM: project the activations on their first right singular vector.

    A face's activations are the matrix O (h·w, D), not centered, and its map is O·v₁, the same for all classes. The
    sign of a singular vector is arbitrary; the one is used whose map has a sum of at least 0.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> fer_tf.explain.EigenCAM(network)(np.zeros((2, 48, 48, 1))).shape
        (2, 48, 48)

    References:
        arXiv 2008.00299
    """

    title = "Eigen-CAM"
    uses_gradient = False
    by_class = False

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Return raw maps (N, h, w)."""
        shape = tf.shape(inputs.activations)
        matrix = tf.reshape(inputs.activations, (shape[0], shape[1] * shape[2], shape[3]))
        # O·v₁ = σ₁·u₁: the smaller one of OᵀO and OOᵀ is decomposed.
        wide = shape[3] > shape[1] * shape[2]
        projected = tf.cond(wide, lambda: _from_rows(matrix), lambda: _from_columns(matrix))
        projected *= tf.where(tf.reduce_sum(projected, axis=1, keepdims=True) < 0, -1.0, 1.0)
        return tf.reshape(projected, shape[:3])


def _from_rows(matrix: tf.Tensor) -> tf.Tensor:
    """Return σ₁·u₁ (N, R) of matrices (N, R, D), from their OOᵀ."""
    values, vectors = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_b=True))
    return tf.sqrt(tf.nn.relu(values[:, -1:])) * vectors[:, :, -1]


def _from_columns(matrix: tf.Tensor) -> tf.Tensor:
    """Return O·v₁ (N, R) of matrices (N, R, D), from their OᵀO."""
    _, vectors = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_a=True))
    return tf.linalg.matvec(matrix, vectors[:, :, -1])


def get(identifier: str | Explainer, network: Network | None = None, layer: str | None = None) -> Explainer:
    """Make the explainer of a method by name, or return an explainer as it is.

    Args:
        identifier: a name of ``METHODS``, such as ``"gradcam++"``, or an explainer.
        network, layer: see ``Explainer``; needed with a name.

    Raises:
        UserError: an unknown method or layer.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, width=0.05)
        >>> fer_tf.explain.get("gradcam++", network).title
        'Grad-CAM++'
    """
    if isinstance(identifier, Explainer):
        return identifier
    if network is None:
        raise UserError(f"Heat map method {identifier!r} needs a network.")
    return METHODS[identifier].load()(network, layer)


def heatmaps(
    network: Network,
    faces: Input | Iterable[Input],
    method: str = "gradcam",
    classes: str | int | Sequence[str | int] | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Compute heat maps of faces by a method's name.

    The compiled functions of the last four networks are kept, so that it may be called in a loop.

    Args:
        network: name of a shipped model, path of a ``.keras`` file, a Keras model, or an ``ExpressionClassifier``.
        faces: faces of any sizes, as in ``fer_tf.predict``. Those that have the input shape of a Keras model are taken
            as prepared, and a model without metadata takes no others.
        method: a name of ``METHODS``.
        classes: a class by name or number, or one for each face; ``None`` means each face's most probable class.
        layer: name of the layer that is explained; ``None`` means the one that the network names.

    Returns:
        float32 (N, H, W) in [0, 1] at the network's input size, see ``Explainer``.

    Raises:
        UserError: an unknown network, method, class or layer, faces of another shape, values outside 0 to 255, or
            fractions from 0 to 1.
        DataError: a file cannot be read.

    Example:
        >>> import numpy as np, fer_tf
        >>> fer_tf.heatmaps("ferplus", np.zeros((2, 90, 90, 3), np.uint8), classes="happy").shape
        (2, 44, 44)
    """
    return _explainer(loaded(network), method, layer)(faces, classes)


@functools.lru_cache(maxsize=4)
def _explainer(network: Network, method: str, layer: str | None) -> Explainer:
    return get(method, network, layer)

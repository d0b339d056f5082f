"""Are heat maps true to the network? What its probability does when the hottest pixels go, or come, first."""

import functools
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.explain.evidence import normalised
from fer_tf.inference.classifier import ExpressionClassifier

BATCH = 128
# A blurred face is the mean of so many squares along each side, joined smoothly.
SQUARES = 5


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the explained class over the share of pixels, 0 to 1 in even steps.

    Attributes:
        deletion: float32 (N, steps + 1): the hottest pixels become the face's mean level first.
        insertion: float32 (N, steps + 1): the hottest pixels of the face come into its blurred copy first.
    """

    deletion: np.ndarray
    insertion: np.ndarray

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the areas (N,) under both: of a faithful map the first is small and the second large."""
        return tuple(np.trapezoid(c, dx=1 / (c.shape[1] - 1), axis=1) for c in (self.deletion, self.insertion))


class Faithfulness(tf.Module):
    """Deletion and insertion curves of one network.

    References:
        RISE, arXiv 1806.07421; a face's mean takes the place of its black, which is a level like others in a face.
    """

    def __init__(self, classifier: ExpressionClassifier, steps: int = 16):
        """Set up the function; nothing is compiled before the first call.

        Args:
            classifier: the network.
            steps: in how many steps all pixels are replaced.

        Raises:
            UserError: no steps.
        """
        super().__init__(name="faithfulness")
        if steps < 1:
            raise UserError(f"steps={steps}. Expected at least 1.")
        self.classifier, self.steps = classifier, steps

    def measure(self, prepared: np.ndarray, heat: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> Curves:
        """Return the curves of faces.

        Args:
            prepared: float32 (N, H, W, channels), as ``ExpressionClassifier.prepare`` returns them.
            heat: float (N, H, W); pixels of equal heat are taken in random order.
            classes: int (N,), the explained classes.
            rng: draws that order.
        """
        order = np.lexsort((rng.random((len(heat), heat[0].size)), -heat.reshape(len(heat), -1)), axis=1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        rank = rank.reshape(heat.shape).astype(np.int32)
        found = [
            [part.numpy() for part in self._compiled(*(x[i : i + BATCH] for x in (prepared, rank, classes)))]
            for i in range(0, len(heat), BATCH)
        ]
        return Curves(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    @functools.cached_property
    def _compiled(self) -> tf.types.experimental.GenericFunction:
        height, width, channels = self.classifier.input_shape
        signature = [tf.TensorSpec((None, height, width, channels)), tf.TensorSpec((None, height, width), tf.int32),
                     tf.TensorSpec((None,), tf.int32)]  # fmt: skip
        return tf.function(self._curves, input_signature=signature, autograph=False)

    def _curves(self, faces: tf.Tensor, rank: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean = tf.zeros_like(faces) + tf.reduce_mean(faces, axis=(1, 2), keepdims=True)
        blurred = tf.image.resize(tf.image.resize(faces, (SQUARES, SQUARES), "area"), tf.shape(faces)[1:3])
        size = tf.cast(tf.size(rank[0]), tf.float32)
        counts = tf.cast(tf.round(tf.range(self.steps + 1, dtype=tf.float32) / self.steps * size), tf.int32)

        def probability(images: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.nn.softmax(self.classifier.logits(images)), classes, batch_dims=1)

        def both(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            first = (rank < count)[..., None]
            return probability(tf.where(first, mean, faces)), probability(tf.where(first, faces, blurred))

        one = tf.TensorSpec((None,), tf.float32)
        deletion, insertion = tf.map_fn(both, counts, parallel_iterations=1, fn_output_signature=(one, one))
        return tf.transpose(deletion), tf.transpose(insertion)


def random_maps(raw_shape: tuple[int, int, int], size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw heat maps that know nothing: noise of the raw maps' resolution, enlarged as these are.

    Noise pixel by pixel would destroy a face sooner than any map of areas, and make all methods look bad.

    Args:
        raw_shape: (N, h, w) of the raw maps.
        size: (H, W) of the heat maps.
        rng: draws them.
    """
    return normalised(tf.constant(rng.random(raw_shape), tf.float32), tf.constant(size)).numpy()


def center_maps(count: int, size: tuple[int, int]) -> np.ndarray:
    """Return N heat maps (N, H, W) that are hottest in the middle, whatever the face."""
    across = [np.linspace(-1, 1, n) for n in size]
    one = np.exp(-2 * (across[0][:, None] ** 2 + across[1] ** 2))
    return np.repeat(one[None], count, axis=0).astype(np.float32)

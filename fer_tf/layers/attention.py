"""Attention over feature maps and regions of a face; mean-shape landmarks."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError

# The axis of (N, H, W, C) that a branch pools, and the order that puts it last; each order undoes itself.
BRANCHES = {"space": (3, (0, 1, 2, 3)), "height": (2, (0, 1, 3, 2)), "width": (1, (0, 3, 2, 1))}


@keras.saving.register_keras_serializable(package="fer_tf")
class TripletAttention(keras.layers.Layer):
    """Multiply maps by gates over space, height × channels and width × channels.

    Each of the three branches pools one axis to its maximum and its mean, convolves these two maps with one filter,
    normalizes the result by batch normalization and takes the sigmoid: a gate from 0 to 1. The output is the mean of
    the three gated inputs. With filters of 7×7 there are 300 trainable parameters, for any number of channels.

    ``turned`` is what the public code of GhostFace does: the branch that should pool height pools width again, its
    map is added with height and width exchanged, and the convolutions have a bias (303 parameters). It needs square
    maps.

    Input and output: (N, H, W, C).

    Args:
        turned: compute what GhostFace's public code computes.
        kernel_size: side of the filters.
        momentum: of the batch normalizations.
        epsilon: of the batch normalizations.
        kernel_regularizer: penalty on the filters.
        **keywords: as of ``keras.layers.Layer``.

    Raises:
        UserError: ``turned`` on maps that are not square, when the layer is built.

    References:
        arXiv 2010.03045.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.TripletAttention()
        >>> tuple(layer(np.ones((1, 6, 5, 3), "float32")).shape)
        (1, 6, 5, 3)
    """

    def __init__(
        self,
        turned: bool = False,
        kernel_size: int = 7,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        kernel_regularizer: Any = None,
        **keywords,
    ):
        super().__init__(**keywords)
        self.turned, self.kernel_size, self.momentum, self.epsilon = turned, kernel_size, momentum, epsilon
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.convolutions = {
            branch: keras.layers.Conv2D(
                1, kernel_size, padding="same", use_bias=turned, kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy, name=f"{branch}_conv",
            )
            for branch in BRANCHES
        }  # fmt: skip
        self.norms = {
            branch: keras.layers.BatchNormalization(
                momentum=momentum, epsilon=epsilon, dtype=self.dtype_policy, name=f"{branch}_norm"
            )
            for branch in BRANCHES
        }

    def build(self, input_shape):
        """Make the six layers' weights."""
        if self.turned and input_shape[1] != input_shape[2]:
            raise UserError(
                f"The public variant of triplet attention needs square maps, got {input_shape[1]}×{input_shape[2]}. "
                "Use a square image_shape or the variant 'fixed'."
            )
        for branch in BRANCHES:
            self.convolutions[branch].build((None, None, None, 2))
            self.norms[branch].build((None, None, None, 1))

    def call(self, x, training=None):
        """Gate maps (N, H, W, C)."""
        space, height = (self._gate(branch, x, *BRANCHES[branch], training) for branch in ("space", "height"))
        if not self.turned:
            return x * ((space + height + self._gate("width", x, *BRANCHES["width"], training)) / 3)
        # Order (C, H, W) pools width; the order that should bring it back exchanges height and width instead.
        again = self._gate("width", x, 2, (0, 3, 1, 2), training, back=(0, 2, 3, 1))
        return (x * (space + height) + ops.transpose(x * again, (0, 2, 1, 3))) / 3

    def _gate(self, branch, x, axis, order, training, back=None):
        """Return a branch's gate in 0…1, of the shape of ``x`` but 1 along ``axis``; ``order`` puts that axis last."""
        pooled = [ops.transpose(pool(x, axis=axis, keepdims=True), order) for pool in (ops.max, ops.mean)]
        logits = self.convolutions[branch](ops.concatenate(pooled, axis=-1))
        logits = self.norms[branch](logits, training=training)
        return ops.transpose(ops.sigmoid(logits), back or order)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {
            **super().get_config(),
            "turned": self.turned,
            "kernel_size": self.kernel_size,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="fer_tf")
class SumOver(keras.layers.Layer):
    """Sum a tensor over one axis.

    Args:
        axis: which axis; negative numbers count from the end.
        keepdims: keep the axis with length 1.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.SumOver(axis=1)
        >>> np.asarray(layer(np.ones((1, 3, 2), "float32"))).tolist()
        [[3.0, 3.0]]
    """

    def __init__(self, axis: int = -1, keepdims: bool = False, **keywords):
        super().__init__(**keywords)
        self.axis, self.keepdims = axis, keepdims

    def call(self, x):
        """Sum x."""
        return ops.sum(x, axis=self.axis, keepdims=self.keepdims)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "axis": self.axis, "keepdims": self.keepdims}


@keras.saving.register_keras_serializable(package="fer_tf")
class WeightedMean(keras.layers.Layer):
    """Average K vectors by weights: Σ_k w_k·v_k / Σ_k w_k.

    Input: a list of values (N, K, D) and weights (N, K, 1), whose sum is above 0. Output: (N, D).

    Example:
        >>> import fer_tf, numpy as np
        >>> values, weights = np.array([[[1.0], [5.0]]]), np.array([[[3.0], [1.0]]])
        >>> np.asarray(fer_tf.layers.WeightedMean()([values, weights])).tolist()
        [[2.0]]
    """

    def call(self, inputs):
        """Average values by weights."""
        values, weights = inputs
        return ops.sum(values * weights, axis=1) / ops.sum(weights, axis=1)

    def compute_output_shape(self, input_shape):
        """Return (N, D)."""
        (n, _, width), _ = input_shape
        return (n, width)


@keras.saving.register_keras_serializable(package="fer_tf")
class RegionCrops(keras.layers.Layer):
    """Cut K windows out of each image and resize them to one size.

    Input: images (N, H, W, C). Output: crops (N·K, h, w, C); the K crops of an image follow each other, in the order of
    ``boxes``.

    Args:
        boxes: K windows (left, top, right, bottom) as fractions of width and height, from 0 to 1; rounded to pixels.
        size: (h, w), height and width of the crops in pixels.
        **keywords: as of ``keras.layers.Layer``.

    Raises:
        UserError: a box without area, or outside 0 to 1.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.RegionCrops(boxes=[(0, 0, 1, 0.5), (0, 0, 1, 1)], size=(8, 8))
        >>> tuple(layer(np.zeros((2, 16, 16, 1), "float32")).shape)
        (4, 8, 8, 1)
    """

    def __init__(self, boxes, size, **keywords):
        super().__init__(**keywords)
        self.boxes, self.size = tuple(tuple(box) for box in boxes), tuple(size)
        for left, top, right, bottom in self.boxes:
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise UserError(
                    "A region is (left, top, right, bottom) from 0 to 1 with left < right and top < bottom, "
                    f"got {self.boxes!r}."
                )

    def call(self, images):
        """Cut crops (N·K, h, w, C) out of images (N, H, W, C)."""
        height, width, channels = images.shape[1:]
        crops = []
        for left, top, right, bottom in self.boxes:
            x0, x1 = round(left * width), max(round(right * width), round(left * width) + 1)
            y0, y1 = round(top * height), max(round(bottom * height), round(top * height) + 1)
            window = images[:, y0:y1, x0:x1]
            if window.shape[1:3] != self.size:
                window = ops.image.resize(window, self.size, interpolation="bilinear", antialias=True)
            crops.append(window)
        return ops.reshape(ops.stack(crops, axis=1), (-1, *self.size, channels))

    def compute_output_shape(self, input_shape):
        """Return (N·K, h, w, C)."""
        n = input_shape[0]
        return (n and n * len(self.boxes), *self.size, input_shape[3])

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "boxes": self.boxes, "size": self.size}


@keras.saving.register_keras_serializable(package="fer_tf")
class SplitLastRegion(keras.layers.Layer):
    """Split the maps of K regions into those of the first K − 1 and those of the last.

    Input: maps (N·K, …) of ``RegionCrops``. Output: a list of maps (N·(K − 1), …) and maps (N, …).

    Args:
        count: number K ≥ 2 of regions.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> first, last = fer_tf.layers.SplitLastRegion(count=3)(np.zeros((6, 5), "float32"))
        >>> tuple(first.shape), tuple(last.shape)
        ((4, 5), (2, 5))
    """

    def __init__(self, count, **keywords):
        super().__init__(**keywords)
        self.count = count

    def call(self, x):
        """Split x."""
        shape = x.shape[1:]
        x = ops.reshape(x, (-1, self.count, *shape))
        return [ops.reshape(x[:, :-1], (-1, *shape)), x[:, -1]]

    def compute_output_shape(self, input_shape):
        """Return both shapes."""
        n = input_shape[0] and input_shape[0] // self.count
        return [(n and n * (self.count - 1), *input_shape[1:]), (n, *input_shape[1:])]

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable(package="fer_tf")
class GatherRegions(keras.layers.Layer):
    """Put the vectors of the K regions of an image together.

    Input: vectors (N·K, D) of ``RegionCrops``. Output: (N, K, D).

    Args:
        count: number K of regions.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> tuple(fer_tf.layers.GatherRegions(count=3)(np.zeros((6, 5), "float32")).shape)
        (2, 3, 5)
    """

    def __init__(self, count, **keywords):
        super().__init__(**keywords)
        self.count = count

    def call(self, x):
        """Gather x."""
        return ops.reshape(x, (-1, self.count, x.shape[-1]))

    def compute_output_shape(self, input_shape):
        """Return (N, K, D)."""
        return (input_shape[0] and input_shape[0] // self.count, self.count, input_shape[1])

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable(package="fer_tf")
class AddMeanShape(keras.layers.Layer):
    """Add the mean shape to predicted offsets of landmarks.

    The mean shape is a weight that is never trained. It is 0 until ``mean_shape`` is assigned, and is saved with the
    network.

    Input: offsets (N, 2·K), x and y in turn, in pixels. Output: landmarks (N, K, 2).

    Args:
        points: number K of landmarks.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.AddMeanShape(points=2)
        >>> layer.set_weights([np.array([[10.0, 20.0], [30.0, 20.0]])])
        >>> np.asarray(layer(np.ones((1, 4), "float32"))).tolist()
        [[[11.0, 21.0], [31.0, 21.0]]]
    """

    def __init__(self, points: int, **keywords):
        super().__init__(**keywords)
        self.points = points
        self.mean_shape = self.add_weight(shape=(points, 2), initializer="zeros", trainable=False, name="mean_shape")

    def call(self, offsets):
        """Add the mean shape to offsets (N, 2·K)."""
        return ops.reshape(offsets, (-1, self.points, 2)) + self.mean_shape

    def compute_output_shape(self, input_shape):
        """Return (N, K, 2)."""
        return (input_shape[0], self.points, 2)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "points": self.points}


def mean_shape(landmarks: np.ndarray) -> np.ndarray:
    """Compute the mean position of each landmark over the faces that have it.

    Args:
        landmarks: float (N, K, 2) in pixels, NaN where a face lacks the landmark.

    Returns:
        float32 (K, 2); a landmark that no face has lies at the mean of the others.

    Example:
        >>> import fer_tf, numpy as np
        >>> marks = np.array([[[1, 2], [5, 6]], [[3, 4], [np.nan, np.nan]]])
        >>> fer_tf.layers.mean_shape(marks).tolist()
        [[2.0, 3.0], [5.0, 6.0]]
    """
    known = ~np.isnan(landmarks)
    counts = known.sum(axis=0)
    means = np.where(known, landmarks, 0).sum(axis=0, dtype=np.float64) / np.maximum(counts, 1)
    has = counts.min(axis=1) > 0
    return np.where(has[:, None], means, means[has].mean(axis=0) if has.any() else 0).astype(np.float32)

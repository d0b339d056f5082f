"""Sums and weighted means over heads, channels and regions."""

import keras
from keras import ops

from fer_tf.errors import UserError


@keras.saving.register_keras_serializable(package="fer_tf")
class SumOver(keras.layers.Layer):
    """Sum a tensor over one axis.

    Args:
        axis: which; negative ones count from the end.
        keepdims: leave the axis with length 1.
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
    """Return Σ_k w_k·v_k / Σ_k w_k of values (N, K, D) and weights (N, K, 1), both above 0 in sum; (N, D)."""

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
    """Cut windows out of each image and bring them to one size, as a batch of N·K pictures.

    The K pictures of an image follow each other, in the order of ``boxes``.

    Args:
        boxes: K windows (left, top, right, bottom) as fractions of width and height, in 0 to 1; rounded to pixels.
        size: height and width of the pictures in pixels.
    """

    def __init__(self, boxes, size, **keywords):
        super().__init__(**keywords)
        self.boxes, self.size = tuple(tuple(box) for box in boxes), tuple(size)
        for left, top, right, bottom in self.boxes:
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise UserError(f"A region is (left, top, right, bottom) in 0 to 1, got {self.boxes!r}.")

    def call(self, images):
        """Cut images (N, H, W, C) into pictures (N·K, h, w, C)."""
        height, width, channels = images.shape[1:]
        pictures = []
        for left, top, right, bottom in self.boxes:
            x0, x1 = round(left * width), max(round(right * width), round(left * width) + 1)
            y0, y1 = round(top * height), max(round(bottom * height), round(top * height) + 1)
            window = images[:, y0:y1, x0:x1]
            if window.shape[1:3] != self.size:
                window = ops.image.resize(window, self.size, interpolation="bilinear", antialias=True)
            pictures.append(window)
        return ops.reshape(ops.stack(pictures, axis=1), (-1, *self.size, channels))

    def compute_output_shape(self, input_shape):
        """Return (N·K, h, w, C)."""
        n = input_shape[0]
        return (n and n * len(self.boxes), *self.size, input_shape[3])

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "boxes": self.boxes, "size": self.size}


@keras.saving.register_keras_serializable(package="fer_tf")
class SplitLastRegion(keras.layers.Layer):
    """Split maps (N·K, …) of ``RegionCrops`` into those of all regions but the last, (N·(K − 1), …), and its (N, …).

    Args:
        count: K ≥ 2.
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
    """Turn vectors (N·K, D), those of one image together, into (N, K, D).

    Args:
        count: K.
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

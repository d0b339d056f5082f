"""Crop regions of a face as a batch, and gather their features."""

import keras
from keras import ops

from fer_tf.errors import UserError


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

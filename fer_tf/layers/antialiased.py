"""Strided convolutions that see between their steps."""

from typing import Any

import keras
from keras import ops

# Of the Gaussian-like filter [1, 2, 1] / 4 in each direction, one pixel to each side.
REACH = 1


@keras.saving.register_keras_serializable(package="fer_tf")
class AntialiasedConv2D(keras.layers.Conv2D):
    """Convolve with stride 2, a low-pass filter inside the kernel; padding "same" of the kernel without the filter.

    A convolution followed by the filter and by leaving out every other position is one convolution with stride 2 and a
    kernel that is larger by one on each side. Its steps are centred where those of the plain convolution are, whatever
    the size of the input, so that it can take the plain one's place in a trained network.

    Input: (N, H, W, channels), H and W known. Output: (N, ⌈H / 2⌉, ⌈W / 2⌉, filters).

    Args:
        filters: maps of the output.
        kernel_size: of the plain convolution and twice ``REACH``.
        keywords: as of ``keras.layers.Conv2D``; strides and padding are fixed.

    References:
        Zhang, Making Convolutional Networks Shift-Invariant Again, arXiv 1904.11486.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], **keywords: Any):
        fixed = {"strides": (2, 2), "padding": "valid"}
        super().__init__(filters, kernel_size, **{**keywords, **fixed})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, and work out the padding for this size."""
        self.pads = [_pads(n, k) for n, k in zip(input_shape[1:3], self.kernel_size, strict=True)]
        super().build(self._padded(input_shape))

    def call(self, inputs: Any) -> Any:
        """Pad as the plain convolution would, and one more; convolve."""
        return super().call(ops.pad(inputs, [(0, 0), *self.pads, (0, 0)]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (N, ⌈H / 2⌉, ⌈W / 2⌉, filters)."""
        return super().compute_output_shape(self._padded(input_shape))

    def _padded(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        sides = zip(shape[1:3], self.kernel_size, strict=True)
        return (shape[0], *(n + sum(_pads(n, k)) for n, k in sides), shape[3])


def _pads(length: int, kernel: int) -> tuple[int, int]:
    """Return how many zeros go before and after a side."""
    plain, steps = kernel - 2 * REACH, -(-length // 2)
    before = max(2 * (steps - 1) + plain - length, 0) // 2
    last = 2 * (steps - 1) - before - REACH + kernel
    return before + REACH, max(0, last - length)

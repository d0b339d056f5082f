"""Faces cut out of a photograph: turned, shrunk and shifted in one go, by plain TensorFlow operations."""

import functools

import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError


def crop_faces(photograph: np.ndarray, frames: np.ndarray, size: int) -> np.ndarray:
    """Cut squares out of a photograph, smoothed where they are made smaller.

    What a frame has beyond the photograph's edges repeats the edge.

    Args:
        photograph: RGB, uint8 (H, W, 3).
        frames: float32 (F, 4), see ``fer_tf.faces.frames``.
        size: side of the result in pixels.

    Returns:
        uint8 (F, size, size, 3).
    """
    return _cutter(size)(check_photograph(photograph), tf.convert_to_tensor(frames, tf.float32)).numpy()


def check_photograph(photograph: np.ndarray) -> np.ndarray:
    """Return the photograph, or raise a ``UserError`` unless it is uint8 (H, W, 3) and not empty."""
    if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3 or not photograph.size:
        raise UserError(f"A photograph is uint8 (H, W, 3), got {photograph.dtype} {photograph.shape}.")
    return photograph


@functools.cache
def _cutter(size: int) -> tf.types.experimental.GenericFunction:
    signature = [tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, 4), tf.float32)]
    return tf.function(lambda p, f: cut(p, f, size), input_signature=signature, autograph=False)


def cut(photograph: tf.Tensor, frames: tf.Tensor, size: int) -> tf.Tensor:
    """Do what ``crop_faces`` does in a graph: uint8 (H, W, 3) and float32 (F, 4) to uint8 (F, size, size, 3)."""
    spec = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(lambda frame: _cut_one(photograph, frame, size), frames, fn_output_signature=spec)


def _cut_one(photograph: tf.Tensor, frame: tf.Tensor, size: int) -> tf.Tensor:
    """Take the upright part around a frame, shrink it to the face's resolution, then turn and shift it into place."""
    centre, side, angle = frame[:2], tf.maximum(frame[2], 1e-3), frame[3]
    cos, sin = tf.cos(angle), tf.sin(angle)
    shrink = tf.maximum(side / size, 1.0)
    reach = side * (tf.abs(cos) + tf.abs(sin)) / 2 + 2 * shrink
    limit = tf.gather(tf.shape(photograph), [1, 0])
    start = tf.clip_by_value(tf.cast(tf.floor(centre - reach), tf.int32), 0, limit - 1)
    end = tf.clip_by_value(tf.cast(tf.math.ceil(centre + reach), tf.int32), start + 1, limit)
    part = photograph[start[1] : end[1], start[0] : end[0]]
    extent = end - start
    wanted = tf.maximum(1, tf.cast(tf.round(tf.cast(extent, tf.float32) / shrink), tf.int32))
    part = tf.cond(
        shrink > 1.0,
        lambda: tf.image.resize(part, tf.gather(wanted, [1, 0]), antialias=True),
        lambda: tf.cast(part, tf.float32),
    )
    zoom = tf.cast(wanted, tf.float32) / tf.cast(extent, tf.float32)
    # Pixel (u, v) of the face lies at centre + turn · ((u, v) + ½ − size / 2) · step in the photograph.
    step = side / size
    turn = tf.stack([tf.stack([cos, -sin]), tf.stack([sin, cos])]) * step * zoom[:, None]
    origin = (centre - tf.cast(start, tf.float32)) * zoom - 0.5 + tf.reduce_sum(turn, 1) * (0.5 - size / 2)
    transform = tf.concat([turn[0], origin[:1], turn[1], origin[1:], [0.0, 0.0]], 0)
    face = tf.raw_ops.ImageProjectiveTransformV3(
        images=part[None], transforms=transform[None], output_shape=[size, size], fill_value=0.0,
        interpolation="BILINEAR", fill_mode="NEAREST",
    )[0]  # fmt: skip
    return tf.cast(tf.clip_by_value(tf.round(face), 0, 255), tf.uint8)

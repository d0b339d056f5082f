"""The EXIF orientation of a JPEG, read and undone in a TensorFlow graph: telephones store photographs lying."""

import tensorflow as tf

# Where cameras write it: in the first segments. Later ones are not looked at.
HEAD = 1 << 17
MAX_SEGMENTS = 32
MAX_ENTRIES = 128
APP1, START_OF_SCAN = 0xE1, 0xDA
ORIENTATION = 0x0112
SHORT = 3


def upright(photograph: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn and mirror a stored photograph so that it is seen as it was taken.

    Args:
        photograph: (H, W, channels).
        orientation: int32 (), 1 to 8 as EXIF numbers them; others mean 1.

    Returns:
        The photograph, (H, W, channels) or (W, H, channels).
    """

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, values))

    x = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(photograph, (1, 0, 2)), lambda: photograph)
    x = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(x, [1]), lambda: x)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(x, [0]), lambda: x)


def exif_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Return the orientation that a JPEG's EXIF data give, int32 (); 1 where there are none or they are damaged."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(jpeg, 0, HEAD), tf.uint8), tf.int32)
    # Whatever damaged data point at is in range: zeros, after the end.
    data = tf.concat([head, tf.zeros(16, tf.int32)], 0)
    last = tf.size(data) - 1

    def byte(at: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.clip_by_value(at, 0, last))

    def number(at: tf.Tensor, width: int, little: tf.Tensor | bool = False) -> tf.Tensor:
        found = [byte(at + i) for i in range(width)]
        big, small = (sum(b * 256**i for i, b in enumerate(order)) for order in (found[::-1], found))
        return tf.where(little, small, big)

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return tf.equal(byte(at + 1), APP1) & tf.equal(number(at + 4, 4), int.from_bytes(b"Exif", "big"))

    def goes_on(at: tf.Tensor) -> tf.Tensor:
        marker = byte(at + 1)
        return tf.equal(byte(at), 0xFF) & (marker >= 0xC0) & tf.not_equal(marker, START_OF_SCAN) & ~is_exif(at)

    (segment,) = tf.while_loop(
        goes_on, lambda at: [at + 2 + tf.maximum(number(at + 2, 2), 2)], [2], maximum_iterations=MAX_SEGMENTS
    )
    tiff = segment + 10
    little = tf.equal(byte(tiff), ord("I"))
    directory = tiff + number(tiff + 4, 4, little)
    entries = directory + 2 + 12 * tf.range(tf.clip_by_value(number(directory, 2, little), 0, MAX_ENTRIES))
    wanted = tf.equal(number(entries, 2, little), ORIENTATION) & tf.equal(number(entries + 2, 2, little), SHORT)
    values = tf.boolean_mask(number(entries + 8, 2, little), wanted & is_exif(segment))
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)

"""How many pixels a picture's header declares, read in a TensorFlow graph before anything is decoded.

A few bytes can declare gigapixels. Each function reads the header where TensorFlow's decoder reads it, so that no file
is small to the one and large to the other; a file too short for its header is an error of the graph.
"""

import tensorflow as tf

# A BMP's palette for 8-bit gray; TensorFlow takes indices of any other palette for gray levels too.
GRAY_PALETTE = bytes(b for level in range(256) for b in (level, level, level, 0))
# Sub-blocks of at most 255 bytes in the first frame of a GIF: 16 MB.
MAX_SUB_BLOCKS = 65_536
GIF_IMAGE, GIF_EXTENSION, GIF_TRAILER = 0x2C, 0x21, b"\x3b"


def jpeg_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Return height × width of a JPEG, int64 ()."""
    shape = tf.image.extract_jpeg_shape(encoded)
    return _product(shape[0], shape[1])


def png_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Return width × height of a PNG, int64 ()."""
    size = numbers(encoded, 16, 2, tf.int32, little_endian=False)
    return _product(size[0], size[1])


def bmp_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Return width × height of a BMP that TensorFlow decodes rightly, int64 (): plain 24 or 32 bits, or 8-bit gray.

    Compressed pixels and coloured palettes would be decoded to noise; they are an error of the graph.
    """
    size = numbers(encoded, 18, 2, tf.int32)
    bits = numbers(encoded, 28, 1, tf.uint16)[0]
    compression = numbers(encoded, 30, 1, tf.int32)[0]
    plain, masks = tf.equal(compression, 0), tf.equal(compression, 3)
    gray = tf.equal(bits, 8) & tf.equal(_part(encoded, 54, len(GRAY_PALETTE)), GRAY_PALETTE)
    known = (plain & (gray | tf.equal(bits, 24))) | ((plain | masks) & tf.equal(bits, 32))
    with tf.control_dependencies([tf.debugging.Assert(known, ["a BMP that cannot be decoded", bits, compression])]):
        # A negative height means rows from the top.
        return _product(size[0], tf.abs(size[1]))


def webp_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Return width × height of a WebP, int64 ()."""
    kind = _part(encoded, 12, 4)

    def extended() -> tf.Tensor:
        size = tf.cast(numbers(encoded, 24, 6, tf.uint8), tf.int64)
        return tf.reduce_prod(tf.reduce_sum(tf.reshape(size, (2, 3)) * [1, 256, 65_536], 1) + 1)

    def lossless() -> tf.Tensor:
        bits = tf.cast(numbers(encoded, 21, 1, tf.int32)[0], tf.int64)
        return ((bits & 0x3FFF) + 1) * ((tf.bitwise.right_shift(bits, 14) & 0x3FFF) + 1)

    def lossy() -> tf.Tensor:
        return tf.reduce_prod(tf.cast(numbers(encoded, 26, 2, tf.uint16), tf.int64) & 0x3FFF)

    return tf.cond(tf.equal(kind, b"VP8X"), extended, lambda: tf.cond(tf.equal(kind, b"VP8L"), lossless, lossy))


def first_gif_frame(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut a GIF after its first frame, since TensorFlow unpacks every frame before it takes one.

    Returns:
        The shorter GIF, and the pixels of its canvas or of its frame, whichever are more, int64 ().
    """
    # Zeros beyond the end are empty sub-blocks, which end every loop.
    data = tf.concat([tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32), tf.zeros(16, tf.int32)], 0)
    end = tf.size(data) - 12

    def byte(at: tf.Tensor) -> tf.Tensor:
        return data[tf.minimum(at, end)]

    def after_sub_blocks(at: tf.Tensor) -> tf.Tensor:
        (last,) = tf.while_loop(
            lambda p: byte(p) > 0, lambda p: [p + byte(p) + 1], [at], maximum_iterations=MAX_SUB_BLOCKS
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(byte(last), 0), ["a GIF frame without end"])]):
            return last + 1

    start = 13 + _colours(byte(10))
    (frame,) = tf.while_loop(
        lambda p: tf.equal(byte(p), GIF_EXTENSION), lambda p: [after_sub_blocks(p + 2)], [start],
        maximum_iterations=MAX_SUB_BLOCKS,
    )  # fmt: skip
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(byte(frame), GIF_IMAGE), ["a GIF without frame"])]):
        stop = after_sub_blocks(frame + 10 + _colours(byte(frame + 9)) + 1)
    with tf.control_dependencies([tf.debugging.assert_less(stop, end, "a GIF cut off")]):
        short = tf.strings.join([tf.strings.substr(encoded, 0, stop), GIF_TRAILER])
    canvas, own = numbers(encoded, 6, 2, tf.uint16), numbers(encoded, frame + 5, 2, tf.uint16)
    return short, tf.maximum(_product(canvas[0], canvas[1]), _product(own[0], own[1]))


def numbers(
    encoded: tf.Tensor, at: int | tf.Tensor, count: int, kind: tf.DType, little_endian: bool = True
) -> tf.Tensor:
    """Read ``count`` numbers of a type from byte ``at`` on; too few bytes are an error of the graph."""
    found = tf.io.decode_raw(_part(encoded, at, count * kind.size), kind, little_endian=little_endian)
    with tf.control_dependencies([tf.debugging.assert_equal(tf.size(found), count, "cut off in its header")]):
        return tf.ensure_shape(tf.identity(found), (count,))


def _part(encoded: tf.Tensor, at: int | tf.Tensor, count: int) -> tf.Tensor:
    return tf.strings.substr(encoded, at, count)


def _colours(flags: tf.Tensor) -> tf.Tensor:
    """Return the bytes of a GIF's colour table as its flags say."""
    bits = tf.bitwise.bitwise_and(flags, 7)
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, bits), 0)


def _product(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    return tf.cast(width, tf.int64) * tf.cast(height, tf.int64)

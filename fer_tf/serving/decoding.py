"""Encoded pictures of any kind to pixels, in a TensorFlow graph, where one bad picture does not fail its batch.

JPEG (also CMYK, upright by its EXIF orientation), PNG, the first frame of GIF, plain BMP, and WebP where the server's
TensorFlow decodes it (2.21 does). The header's size is checked before anything is decoded.

TensorFlow graphs have no ``try``; a ``tf.data`` pipeline that drops failing elements is one.
"""

from collections.abc import Callable

import tensorflow as tf

from fer_tf.serving import headers
from fer_tf.serving.orientation import exif_orientation, upright

# As phones' largest photographs; a face file of 49 megapixels took 800 MB, AT_ONCE of them 1.6 GB.
MAX_PIXELS = 50_000_000
AT_ONCE = 4


@tf.function(input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int64)], autograph=False)
def decode(encoded: tf.Tensor, max_pixels: tf.Tensor) -> tf.Tensor:
    """Decode one picture; what is none is an error of the graph.

    Args:
        encoded: string (), the bytes of a file.
        max_pixels: int64 (), height × width that is decoded at most.

    Returns:
        RGB, uint8 (H, W, 3). Transparency is ignored; of 16 bits a channel the upper 8 are taken.
    """

    def begins(*starts: bytes) -> tf.Tensor:
        return tf.reduce_any([tf.equal(tf.strings.substr(encoded, 0, len(s)), s) for s in starts])

    def small(pixels: tf.Tensor) -> tf.Operation:
        return tf.debugging.Assert((pixels > 0) & (pixels <= max_pixels), ["too many pixels", pixels])

    def jpeg() -> tf.Tensor:
        with tf.control_dependencies([small(headers.jpeg_pixels(encoded))]):
            # Pillow decodes with the accurate transform too; the default one is up to 4 levels off.
            pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        return upright(pixels, exif_orientation(encoded))

    def gif() -> tf.Tensor:
        first, pixels = headers.first_gif_frame(encoded)
        with tf.control_dependencies([small(pixels)]):
            return _decode_image(first)

    def plain(pixels: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        with tf.control_dependencies([small(pixels(encoded))]):
            return _decode_image(encoded)

    def unknown() -> tf.Tensor:
        with tf.control_dependencies([tf.debugging.Assert(False, ["no picture of a known kind"])]):
            return tf.zeros((1, 1, 3), tf.uint8)

    webp = begins(b"RIFF") & tf.equal(tf.strings.substr(tf.strings.join([encoded, b" " * 12]), 8, 4), b"WEBP")
    branches = [
        (begins(b"\xff\xd8\xff"), jpeg),
        (begins(b"\x89PNG\r\n\x1a\n"), lambda: plain(headers.png_pixels)),
        (begins(b"GIF87a", b"GIF89a"), gif),
        (begins(b"BM"), lambda: plain(headers.bmp_pixels)),
        (webp, lambda: plain(headers.webp_pixels)),
    ]
    found = unknown
    for test, branch in reversed(branches):
        found = _chosen(test, branch, found)
    return tf.ensure_shape(found(), (None, None, 3))


def decode_or_blank(encoded: tf.Tensor, max_pixels: tf.Tensor | int = MAX_PIXELS) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode one picture, or return one gray pixel.

    Returns:
        RGB, uint8 (H, W, 3), and a bool (), whether the picture could be decoded.
    """
    decoded = tf.data.Dataset.from_tensors(encoded).map(_plain(lambda e: (decode(e, max_pixels), True))).ignore_errors()
    blank = tf.data.Dataset.from_tensors((tf.fill((1, 1, 3), tf.constant(127, tf.uint8)), False))
    return _finished(decoded.concatenate(blank).take(1)).get_single_element()


def decode_batch(
    encoded: tf.Tensor,
    prepare: Callable[[tf.Tensor], tf.Tensor],
    shape: tuple[int, ...],
    max_pixels: tf.Tensor | int = MAX_PIXELS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a batch and bring each picture to one shape, some at the same time.

    Args:
        encoded: string (N,).
        prepare: from one picture, RGB uint8 (H, W, 3), to float32 of ``shape``; without variables.
        shape: of the result of ``prepare``.
        max_pixels: as ``decode`` has it.

    Returns:
        float32 (N, *shape), zeros where a picture could not be decoded, and bool (N,), where it could.
    """
    count = tf.size(encoded)
    source = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))

    def one(number: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, tf.ensure_shape(prepare(decode(data, max_pixels)), shape)

    pictures = source.map(_plain(one), num_parallel_calls=AT_ONCE, deterministic=True).ignore_errors()
    # One more, so that there is a batch also where no picture is good.
    spare = tf.data.Dataset.from_tensors((count, tf.zeros(shape)))
    batch = pictures.concatenate(spare).batch(tf.cast(count, tf.int64) + 1)
    numbers, rows = _finished(batch).get_single_element()
    numbers = numbers[:, None]
    whole = tf.scatter_nd(numbers, rows, tf.concat([[count + 1], shape], 0))
    valid = tf.scatter_nd(numbers, tf.ones(tf.shape(numbers)[:1], tf.int32), [count + 1])
    return tf.ensure_shape(whole[:-1], (None, *shape)), valid[:-1] > 0


def _finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off what would cost a short pipeline more than it gains."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _plain(function: Callable) -> Callable:
    return tf.autograph.experimental.do_not_convert(function)


def _chosen(test: tf.Tensor, yes: Callable, no: Callable) -> Callable:
    return lambda: tf.cond(test, yes, no)


def _decode_image(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)

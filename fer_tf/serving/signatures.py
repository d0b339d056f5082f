"""Define the signatures of an exported network, from image files to answers.

JPEG (also CMYK, turned upright by its EXIF orientation) and PNG are decoded; all other files are bad rows. The size in
the header is checked before anything is decoded: a few bytes can declare gigapixels.

TensorFlow graphs have no ``try``; a ``tf.data`` pipeline that drops failing elements replaces it.

The first dimension of every input and output is the rows of the request, as the row format of the REST API and the
batching of the server require.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.faces import detectors
from fer_tf.faces.extraction import FaceExtractor, RetinaFaceDetector
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io.pictures import MAX_SCANNED, MAX_SCANS, SCAN_STARTS

# As the largest photographs of phones; a face file of 49 megapixels took 800 MB, AT_ONCE of them 1.6 GB.
MAX_PIXELS = 50_000_000
AT_ONCE = 4
# Rows that go through the network at a time: thousands of tiny ones took gigabytes.
_ROWS = 32
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Each packed text of a PNG takes up to a tenth of a second.
_MAX_TEXTS = 16

# Cameras write the EXIF data into the first segments; later ones are not read.
_HEAD = 1 << 17
_MAX_SEGMENTS = 32
_MAX_ENTRIES = 128
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATION = 0x0112
_SHORT = 3


@tf.function(input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int64)], autograph=False)
def decode(encoded: tf.Tensor, max_pixels: tf.Tensor) -> tf.Tensor:
    """Decode one image file; a file that is not a good JPEG or PNG is an error of the graph.

    Args:
        encoded: string (), the bytes of the file.
        max_pixels: int64 (), most pixels (height × width) that are decoded.

    Returns:
        RGB, uint8 (H, W, 3). Transparency is ignored; of 16 bits per channel the upper 8 are taken.
    """

    def checked(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
        allowed = tf.debugging.Assert((pixels > 0) & (pixels <= max_pixels), ["too many pixels", pixels])
        with tf.control_dependencies([allowed]):
            return tf.identity(encoded)

    def jpeg() -> tf.Tensor:
        shape = tf.image.extract_jpeg_shape(encoded)
        scans, pixels = count_scans(encoded), tf.cast(shape[0], tf.int64) * tf.cast(shape[1], tf.int64)
        few = (scans <= MAX_SCANS) & (scans * pixels <= MAX_SCANNED)
        with tf.control_dependencies([tf.debugging.Assert(few, ["made to take long: scans", scans])]):
            shape = tf.identity(shape)
        # Pillow decodes with the accurate transform too; the default one is up to 4 levels off.
        pixels = tf.io.decode_jpeg(checked(shape[0], shape[1]), channels=3, dct_method="INTEGER_ACCURATE")
        return upright(pixels, exif_orientation(encoded))

    def png() -> tf.Tensor:
        size = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
        known = [
            tf.debugging.Assert(_begins(encoded, _PNG), ["not a JPEG or PNG"]),
            tf.debugging.assert_equal(tf.size(size), 2, "cut off in its header"),
            tf.debugging.Assert(_count(encoded, b"zTXt", b"iTXt") <= _MAX_TEXTS, ["made to take long: packed texts"]),
        ]
        with tf.control_dependencies(known):
            width, height = tf.unstack(tf.ensure_shape(tf.identity(size), (2,)))
        return tf.io.decode_png(checked(height, width), channels=3)

    return tf.ensure_shape(tf.cond(_begins(encoded, _JPEG), jpeg, png), (None, None, 3))


def count_scans(jpeg: tf.Tensor) -> tf.Tensor:
    """Return how many scans a JPEG file has, int64 (); each takes as long as the whole picture."""
    return _count(jpeg, *SCAN_STARTS)


def _count(encoded: tf.Tensor, *found: bytes) -> tf.Tensor:
    """Count, in the bytes of a file, texts of one length."""
    data, length = tf.io.decode_raw(encoded, tf.uint8), len(found[0])
    last = tf.maximum(tf.size(data) - length + 1, 0)

    def at(text: bytes) -> tf.Tensor:
        return functools.reduce(tf.logical_and, (tf.equal(data[i : last + i], byte) for i, byte in enumerate(text)))

    return tf.math.count_nonzero(functools.reduce(tf.logical_or, map(at, found)))


def decode_or_blank(encoded: tf.Tensor, max_pixels: tf.Tensor | int = MAX_PIXELS) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode one image file, or return one gray pixel.

    Args:
        encoded: string (), the bytes of the file.
        max_pixels: most pixels that are decoded.

    Returns:
        RGB, uint8 (H, W, 3), and bool (), whether the file could be decoded.
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
    """Decode a batch of image files and bring them to one shape, several at a time.

    Args:
        encoded: string (N,), the bytes of the files.
        prepare: a function from one image, RGB uint8 (H, W, 3), to float32 of ``shape``; it has no variables.
        shape: of the result of ``prepare``.
        max_pixels: most pixels of an image that are decoded.

    Returns:
        float32 (N, *shape), zeros where a file could not be decoded, and bool (N,), whether it could.
    """
    count = tf.size(encoded)
    source = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))

    def one(number: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, tf.ensure_shape(prepare(decode(data, max_pixels)), shape)

    images = source.map(_plain(one), num_parallel_calls=AT_ONCE, deterministic=True).ignore_errors()
    # One more element, so that there is a batch also where no file is good.
    spare = tf.data.Dataset.from_tensors((count, tf.zeros(shape)))
    batch = images.concatenate(spare).batch(tf.cast(count, tf.int64) + 1)
    numbers, rows = _finished(batch).get_single_element()
    numbers = numbers[:, None]
    whole = tf.scatter_nd(numbers, rows, tf.concat([[count + 1], shape], 0))
    valid = tf.scatter_nd(numbers, tf.ones(tf.shape(numbers)[:1], tf.int32), [count + 1])
    return tf.ensure_shape(whole[:-1], (None, *shape)), valid[:-1] > 0


def _finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off optimizations that cost a short pipeline more than they gain."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _plain(function: Callable) -> Callable:
    return tf.autograph.experimental.do_not_convert(function)


def _begins(encoded: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(encoded, 0, len(start)), start)


def upright(photograph: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn and mirror a photograph as its EXIF orientation says.

    Args:
        photograph: (H, W, channels).
        orientation: int32 (), 1 to 8 as in EXIF; other numbers mean 1.

    Returns:
        The photograph, (H, W, channels) or (W, H, channels).
    """

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, values))

    x = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(photograph, (1, 0, 2)), lambda: photograph)
    x = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(x, [1]), lambda: x)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(x, [0]), lambda: x)


def exif_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Read the EXIF orientation of a JPEG file.

    Args:
        jpeg: string (), the bytes of the file.

    Returns:
        int32 (), 1 to 8; 1 where the file has no EXIF data, or damaged ones.
    """
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(jpeg, 0, _HEAD), tf.uint8), tf.int32)
    # Zeros after the end: positions in damaged data are clipped to them.
    data = tf.concat([head, tf.zeros(16, tf.int32)], 0)
    last = tf.size(data) - 1

    def byte(at: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.clip_by_value(at, 0, last))

    def number(at: tf.Tensor, width: int, little: tf.Tensor | bool = False) -> tf.Tensor:
        found = [byte(at + i) for i in range(width)]
        big, small = (sum(b * 256**i for i, b in enumerate(order)) for order in (found[::-1], found))
        return tf.where(little, small, big)

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return tf.equal(byte(at + 1), _APP1) & tf.equal(number(at + 4, 4), int.from_bytes(b"Exif", "big"))

    def not_found(at: tf.Tensor) -> tf.Tensor:
        marker = byte(at + 1)
        return tf.equal(byte(at), 0xFF) & (marker >= 0xC0) & tf.not_equal(marker, _START_OF_SCAN) & ~is_exif(at)

    (segment,) = tf.while_loop(
        not_found, lambda at: [at + 2 + tf.maximum(number(at + 2, 2), 2)], [2], maximum_iterations=_MAX_SEGMENTS
    )
    tiff = segment + 10
    little = tf.equal(byte(tiff), ord("I"))
    directory = tiff + number(tiff + 4, 4, little)
    entries = directory + 2 + 12 * tf.range(tf.clip_by_value(number(directory, 2, little), 0, _MAX_ENTRIES))
    wanted = tf.equal(number(entries, 2, little), _ORIENTATION) & tf.equal(number(entries + 2, 2, little), _SHORT)
    values = tf.boolean_mask(number(entries + 8, 2, little), wanted & is_exif(segment))
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


Tensors = dict[str, tf.Tensor]
Function = tf.types.experimental.GenericFunction

_MAX_FACES = 16
# Names of the signatures. A request without a name is for serving_default.
ENCODED_FACES, FACES, PHOTOGRAPHS = "serving_default", "predict_faces", "analyze"


class Signatures:
    """The functions that a server runs, of a network and a face detector."""

    def __init__(
        self,
        classifier: ExpressionClassifier,
        detector: str = "retinaface",
        max_faces: int = _MAX_FACES,
        max_pixels: int = MAX_PIXELS,
    ):
        """Store the settings; nothing is traced yet.

        Args:
            classifier: the network.
            detector: call string of RetinaFace, such as ``"retinaface(threshold=0.8, size=1024)"``.
            max_faces: most faces M of a photograph, those with the highest detection score.
            max_pixels: most pixels of an image; larger ones are not decoded, and not valid.

        Raises:
            UserError: a value out of range, or a detector that does not run in a graph.
        """
        if not isinstance(max_pixels, int) or max_pixels < 1:
            raise UserError(f"max_pixels={max_pixels}. Expected a whole number of at least 1.")
        found = detectors.get(detector)
        if not isinstance(found, RetinaFaceDetector):
            raise UserError(f"Detector {detector!r} does not run inside a TensorFlow graph. Expected retinaface.")
        self.classifier, self.max_pixels = classifier, max_pixels
        self.extractor = FaceExtractor(classifier.metadata.face_size, max_faces, detector=found)
        self.classes = list(classifier.label_set.classes)

    def variables(self) -> list[tf.Variable]:
        """Return the TensorFlow variables of both networks, which the session of the server restores."""
        # Keras variables would be stored a second time, as a copy that no session restores.
        return [*(v.value for v in self.classifier.network.variables), *self.extractor.detector.variables]

    def functions(self) -> Mapping[str, Function]:
        """Return the functions by the names of the signatures."""
        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        faces = tf.TensorSpec((None, None, None, None), tf.uint8, name="faces")
        signatures = (
            (ENCODED_FACES, self.encoded_faces, encoded),
            (FACES, self.faces, faces),
            (PHOTOGRAPHS, self.photographs, encoded),
        )
        return {name: tf.function(f, input_signature=[spec], autograph=False) for name, f, spec in signatures}

    def encoded_faces(self, image_bytes: tf.Tensor) -> Tensors:
        """Recognize the expressions of image files with one face each, cropped as in FER2013.

        Args:
            image_bytes: string (N,), the bytes of JPEG or PNG files.

        Returns:
            ``probabilities`` float32 (N, C); ``label`` string (N,), the most probable class; ``label_id`` int32 (N,);
            ``classes`` string (N, C), the names of the columns, the same in each row; ``valid`` bool (N,). Where the
            file cannot be decoded, ``valid`` is false, ``probabilities`` are 0, ``label`` is empty, ``label_id`` −1.
        """
        shape = self.classifier.input_shape

        def part(files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            prepared, valid = decode_batch(files, lambda p: self.classifier.prepare(p[None])[0], shape, self.max_pixels)
            return self._of_some(prepared, valid, self.classifier.logits), valid

        signature = self._probabilities_signature(), tf.TensorSpec((None,), tf.bool)
        return self._named(*_in_parts(part, image_bytes, _ROWS, signature))

    def faces(self, faces: tf.Tensor) -> Tensors:
        """Recognize the expressions of faces, given as pixels.

        Args:
            faces: uint8 (N, h, w, 1 or 3), cropped as in FER2013.

        Returns:
            The outputs of ``encoded_faces``; all rows are valid.
        """
        shape = tf.shape(faces)
        gray = tf.equal(shape[3], 1)
        checks = [
            tf.debugging.Assert(gray | tf.equal(shape[3], 3), ["faces are (N, h, w, 1) or (N, h, w, 3), got", shape]),
            tf.debugging.Assert(tf.reduce_all(shape[1:3] > 0), ["faces have no pixels, got", shape]),
        ]
        with tf.control_dependencies(checks):
            faces = tf.identity(faces)

        def part(some: tf.Tensor) -> tf.Tensor:
            color = tf.cond(gray, lambda: tf.repeat(some, 3, 3), lambda: some)
            color = tf.ensure_shape(color, (None, None, None, 3))
            return self._of_some(color, tf.ones(tf.shape(some)[:1], tf.bool), self._logits_of_pixels)

        probabilities = _in_parts(part, faces, _ROWS, self._probabilities_signature())
        return self._named(probabilities, tf.ones(shape[:1], tf.bool))

    def photographs(self, image_bytes: tf.Tensor) -> Tensors:
        """Find the faces of photographs, turn them upright, and recognize their expressions.

        Args:
            image_bytes: string (N,), the bytes of JPEG or PNG files.

        Returns:
            ``count`` int32 (N,), the number of faces; ``scores`` float32 (N, M), of the detection, descending;
            ``boxes`` (N, M, 4) and ``landmarks`` (N, M, 5, 2) in pixels of the upright photograph;
            ``probabilities`` (N, M, C); ``labels`` string (N, M); ``size`` int32 (N, 2), the photograph's height and
            width; ``classes`` string (N, C); ``valid`` bool (N,). After the first ``count`` faces, and where the file
            cannot be decoded, zeros and empty strings.
        """
        some = {key: tf.TensorSpec((None, *s.shape), s.dtype) for key, s in self._found_signature().items()}
        places, classes = self.extractor.max_faces, len(self.classes)
        some["probabilities"] = tf.TensorSpec((None, places, classes))
        some["labels"] = tf.TensorSpec((None, places), tf.string)
        del some["faces"]
        found = _in_parts(self._photographs, image_bytes, AT_ONCE, some)
        return {**found, "classes": self._classes_of(found["valid"])}

    def _photographs(self, image_bytes: tf.Tensor) -> Tensors:
        """Return all outputs but ``classes`` of so few photographs that their faces fit into memory."""
        found = tf.map_fn(
            self._found, image_bytes, fn_output_signature=self._found_signature(), parallel_iterations=AT_ONCE
        )
        places, side, classes = self.extractor.max_faces, self.classifier.metadata.face_size, len(self.classes)
        there = tf.reshape(tf.sequence_mask(found["count"], places), [-1])
        faces = tf.reshape(found.pop("faces"), (-1, side, side, 3))
        named = self._named(self._of_some(faces, there, self._logits_of_pixels), there)
        return {
            **found,
            "probabilities": tf.reshape(named["probabilities"], (-1, places, classes)),
            "labels": tf.reshape(named["label"], (-1, places)),
        }

    def _found(self, encoded: tf.Tensor) -> Tensors:
        photograph, valid = decode_or_blank(encoded, self.max_pixels)
        signature = self._found_signature()
        wanted = ("count", "scores", "boxes", "landmarks", "faces")

        def faces() -> list[tf.Tensor]:
            found = self.extractor(photograph)
            return [found[key] for key in wanted]

        found = tf.cond(valid, faces, lambda: [tf.zeros(signature[k].shape, signature[k].dtype) for k in wanted])
        size = tf.where(valid, tf.shape(photograph)[:2], 0)
        return {**dict(zip(wanted, found, strict=True)), "size": size, "valid": valid}

    def _found_signature(self) -> dict[str, tf.TensorSpec]:
        places, side = self.extractor.max_faces, self.extractor.size
        return {
            "count": tf.TensorSpec((), tf.int32),
            "scores": tf.TensorSpec((places,)),
            "boxes": tf.TensorSpec((places, 4)),
            "landmarks": tf.TensorSpec((places, 5, 2)),
            "faces": tf.TensorSpec((places, side, side, 3), tf.uint8),
            "size": tf.TensorSpec((2,), tf.int32),
            "valid": tf.TensorSpec((), tf.bool),
        }

    def _logits_of_pixels(self, faces: tf.Tensor) -> tf.Tensor:
        return self.classifier.logits(self.classifier.prepare(faces))

    def _of_some(self, faces: tf.Tensor, there: tf.Tensor, logits: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Return probabilities (N, C), computed for the faces that are present, zeros for the others."""
        index = tf.where(there)
        shape = tf.stack([tf.size(there, tf.int64), len(self.classes)])

        def part(index: tf.Tensor) -> tf.Tensor:
            return tf.nn.softmax(logits(tf.gather_nd(faces, index)))

        def some() -> tf.Tensor:
            return tf.scatter_nd(index, _in_parts(part, index, _ROWS, self._probabilities_signature()), shape)

        # Not every network accepts an empty batch.
        found = tf.cond(tf.size(index) > 0, some, lambda: tf.zeros(shape))
        return tf.ensure_shape(found, (None, len(self.classes)))

    def _probabilities_signature(self) -> tf.TensorSpec:
        return tf.TensorSpec((None, len(self.classes)))

    def _named(self, probabilities: tf.Tensor, valid: tf.Tensor) -> Tensors:
        number = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        return {
            "probabilities": probabilities,
            "label": tf.where(valid, tf.gather(self.classes, number), ""),
            "label_id": tf.where(valid, number, -1),
            "classes": self._classes_of(valid),
            "valid": valid,
        }

    def _classes_of(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.constant([self.classes]), tf.stack([tf.size(rows), 1]))


def _in_parts(function: Callable[[tf.Tensor], Any], rows: tf.Tensor, most: int, signature: Any) -> Any:
    """Apply a function to the rows of a tensor, at most so many at a time, so that memory does not grow with them.

    Args:
        function: from some rows to tensors of as many rows.
        rows: (N, ...).
        most: rows at a time.
        signature: of the function's results.

    Returns:
        The results for all rows.
    """
    count = tf.shape(rows)[0]
    parts = tf.maximum(1, -(-count // most))
    size = -(-count // parts)

    def part(number: tf.Tensor) -> Any:
        # The last part is filled up, since all must be of one size.
        return function(tf.gather(rows, tf.minimum(number * size + tf.range(size), count - 1)))

    found = tf.map_fn(part, tf.range(parts), fn_output_signature=signature, parallel_iterations=1)
    return tf.nest.map_structure(
        lambda x, s: tf.ensure_shape(tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))[:count], s.shape),
        found,
        signature,
    )

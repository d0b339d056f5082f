"""Define the signatures of an exported network.

The first dimension of every input and output is the rows of the request, as the row format of the REST API and the
batching of the server require.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.faces import detectors
from fer_tf.faces.extraction import FaceExtractor, RetinaFaceDetector
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.serving.decoding import AT_ONCE, MAX_PIXELS, decode_batch, decode_or_blank

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
        prepared, valid = decode_batch(
            image_bytes, lambda p: self.classifier.prepare(p[None])[0], shape, self.max_pixels
        )
        return self._named(self._of_some(prepared, valid, self.classifier.logits), valid)

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
            color = tf.ensure_shape(tf.cond(gray, lambda: tf.repeat(faces, 3, 3), lambda: faces), (None, None, None, 3))
        valid = tf.ones(shape[:1], tf.bool)
        return self._named(self._of_some(color, valid, self._logits_of_pixels), valid)

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
            "classes": self._classes_of(found["valid"]),
        }

    def _found(self, encoded: tf.Tensor) -> Tensors:
        photograph, valid = decode_or_blank(encoded, self.max_pixels)
        found = self.extractor(photograph)
        size = tf.where(valid, tf.shape(photograph)[:2], 0)
        wanted = ("count", "scores", "boxes", "landmarks", "faces")
        return {**{k: found[k] for k in wanted}, "size": size, "valid": valid}

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

        def some() -> tf.Tensor:
            return tf.scatter_nd(index, tf.nn.softmax(logits(tf.gather_nd(faces, index))), shape)

        # Not every network accepts an empty batch.
        found = tf.cond(tf.size(index) > 0, some, lambda: tf.zeros(shape))
        return tf.ensure_shape(found, (None, len(self.classes)))

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

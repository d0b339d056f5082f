"""Classify cropped faces, with preprocessing and calibration.

Prediction, Grad-CAM, export and the demo share this class. Arrays go through LiteRT if the network was read from a
file: for a single face that takes a tenth of TensorFlow's time. A network in memory may still be trained, so it runs in
TensorFlow, and so does a network that LiteRT cannot convert.
"""

import functools
import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.faces.detectors import library
from fer_tf.inference import inputs
from fer_tf.inference.inputs import Input
from fer_tf.io import cache
from fer_tf.metrics import calibration
from fer_tf.models import complexity, logits_of, metadata_of

__all__ = ["check_process"]

# The process that first used a network; a fork has its parent's number here.
_first: list[int] = []


def check_process() -> None:
    """Remember the process that uses networks, and refuse one that was forked from it.

    Raises:
        UserError: This process was forked after its parent had used a network.

    Example:
        >>> check_process()
    """
    if not _first:
        _first.append(os.getpid())
    elif _first[0] != os.getpid():
        raise UserError(
            "This process was forked after its parent had used a network, and TensorFlow would hang in it. Start "
            "processes with multiprocessing.get_context('spawn'), or load the network after the fork only."
        )


Prior = str | Mapping[str, float]
BATCH = 64
# Conversion takes two seconds, so the converted network is kept in the cache of the datasets.
LITERT = "litert-1"


class ExpressionClassifier(tf.Module):
    """Wrap a network with its preprocessing (size, gray, center crop) and calibrated softmax.

    ``predict`` takes arrays and files. The other methods take tensors and may be called in a ``tf.function``.

    Example:
        >>> import numpy as np
        >>> from fer_tf.inference import ExpressionClassifier
        >>> classifier = ExpressionClassifier("default")
        >>> classifier.predict(np.zeros((2, 60, 60, 3), np.uint8)).shape
        (2, 8)
    """

    def __init__(
        self,
        model: "keras.Model | Path | str" = "default",
        flip: bool = False,
        fast: bool = False,
        prior: Prior = "training",
        strength: float = 1.0,
    ):
        """Load the network; it is compiled at the first call.

        Args:
            model: Name of a shipped model, path of a ``.keras`` file, or a Keras model with metadata.
            flip: Average the logits of the face and its mirror image: slightly more accurate, twice the time.
            fast: Let ``predict`` use 8-bit weights, which takes less than half of the time. Probabilities change by
                0.001 in the median and by 0.06 at most; one label in 400 changes. Not for a model in memory.
            prior: How frequent the classes are among the faces to classify: ``"training"``, as in the training data;
                ``"uniform"``, all alike; or a dict from each class to its share.
            strength: How much of the change of the prior is applied, from 0 (nothing) to 1; see
                ``fer_tf.metrics.prior_shift``.

        Raises:
            UserError: The model does not exist or has no metadata, ``fast`` is set for a model in memory, or ``prior``
                or ``strength`` does not fit.
        """
        check_process()
        super().__init__(name="classifier")
        self._shared = isinstance(model, keras.Model)
        if fast and self._shared:
            raise UserError("fast=True is for shipped names and .keras files: a network in memory may be trained on.")
        self.fast = fast
        # Read before the network is, so that a file that changes meanwhile is not taken for what it was.
        self._digest = "" if self._shared else _digest(models.weights_path(model))
        self.network = model if self._shared else models.load_model(model)
        self._converting = threading.Lock()
        self.metadata = metadata_of(self.network)
        self.label_set = self.metadata.label_set
        self.flip = flip
        self.input_shape = tuple(self.network.input_shape[1:])
        self.shift = _shift(self.metadata, prior, strength)

    def prepare(self, faces: tf.Tensor) -> tf.Tensor:
        """Resize and crop faces to the network's input.

        Args:
            faces: Pixels from 0 to 255 of any numeric type, shape (N, h, w, 1 or 3), cropped as in FER2013. The number
                of channels must be static.

        Returns:
            float32 tensor of shape (N, H, W, channels): the network's input.
        """
        height, width, channels = self.input_shape
        x = tf.cast(faces, tf.float32)
        if channels == 1 and x.shape[-1] == 3:
            x = luma(x)
        elif channels == 3 and x.shape[-1] == 1:
            x = tf.repeat(x, 3, axis=-1)
        side = self.metadata.face_size
        fits = tf.reduce_all(tf.equal(tf.shape(x)[1:3], side))
        x = tf.cond(
            fits, lambda: x, lambda: tf.clip_by_value(tf.image.resize(x, (side, side), antialias=True), 0.0, 255.0)
        )
        return tf.ensure_shape(self.central(x), (None, height, width, channels))

    def central(self, faces: tf.Tensor) -> tf.Tensor:
        """Crop the center (N, H, W, channels), which the network sees, of faces (N, S, S, channels)."""
        height, width, _ = self.input_shape
        side = self.metadata.face_size
        top, left = round((side - height) / 2), round((side - width) / 2)
        return faces[:, top : top + height, left : left + width]

    def logits(self, prepared: tf.Tensor) -> tf.Tensor:
        """Compute the logits (N, C) of prepared faces, divided by the temperature and shifted to the prior."""
        found = logits_of(self.network(prepared, training=False))
        if self.flip:
            found = (found + logits_of(self.network(prepared[:, :, ::-1], training=False))) / 2
        found = found / self.metadata.temperature
        return found if self.shift is None else found + tf.constant(self.shift, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))], autograph=False)
    def _of_color(self, faces: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.logits(self.prepare(faces)))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 1))], autograph=False)
    def _of_gray(self, faces: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.logits(self.prepare(faces)))

    def probabilities(self, faces: tf.Tensor) -> tf.Tensor:
        """Compute the distributions of faces; one compilation serves all sizes and batch sizes.

        Args:
            faces: As in ``prepare``.

        Returns:
            float32 tensor of shape (N, C) over the classes of ``label_set``; each row sums to 1.
        """
        faces = tf.cast(faces, tf.float32)
        return (self._of_gray if faces.shape[-1] == 1 else self._of_color)(faces)

    def predict(self, faces: Input | Iterable[Input]) -> np.ndarray:
        """Compute the distributions of cropped faces.

        Args:
            faces: As in ``fer_tf.predict``.

        Returns:
            float32 array of shape (N, C) over the classes of ``label_set``; each row sums to 1.

        Raises:
            UserError: An array has another shape, values outside 0 to 255, or fractions from 0 to 1.
            DataError: A file cannot be read.
        """
        check_process()
        groups = inputs.face_batches(faces)
        results = np.empty((sum(len(index) for index, _ in groups), len(self.label_set)), np.float32)
        for index, batch in groups:
            results[index] = self._in_batches(batch)
        return results

    def _in_batches(self, faces: np.ndarray) -> np.ndarray:
        batches = [faces[i : i + BATCH] for i in range(0, len(faces), BATCH)]
        with self._converting:
            run = self._litert
        if run is None:
            found = [self.probabilities(batch).numpy() for batch in batches]
        elif len(batches) == 1:
            found = [self._through(run, faces, alone=True)]
        else:
            found = complexity.in_parallel(functools.partial(self._through, run, alone=False), batches)
        return np.concatenate(found)

    def _through(self, run: complexity.LiteRTRunner, faces: np.ndarray, alone: bool) -> np.ndarray:
        if faces.shape[1:3] == (self.metadata.face_size,) * 2:
            prepared = self._fitting(faces)
        else:
            prepared = self._prepared[faces.shape[-1]](tf.cast(faces, tf.float32)).numpy()
        return run({"faces": prepared}, alone)["probabilities"]

    def _fitting(self, faces: np.ndarray) -> np.ndarray:
        """Prepare faces that already have the right size, with NumPy in a tenth of TensorFlow's time."""
        seen = self.central(faces).astype(np.float32)
        if self.input_shape[-1] == 1 and seen.shape[-1] == 3:
            return luma(seen)
        return np.broadcast_to(seen, (len(seen), *self.input_shape))

    @functools.cached_property
    def _litert(self) -> complexity.LiteRTRunner | None:
        spec = tf.TensorSpec((None, *self.input_shape), tf.float32, name="faces")

        @tf.function(input_signature=[spec], autograph=False)
        def probabilities(faces: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": tf.nn.softmax(self.logits(faces))}

        if self._shared:
            return None

        def converted() -> dict[str, np.ndarray]:
            content = complexity.convert_to_litert(
                complexity.litert_converter(probabilities, self.network.variables, self.fast)
            )
            return {"content": np.frombuffer(content, np.uint8)}

        options = {
            "network": self._digest, "flip": self.flip, "fast": self.fast, "tensorflow": tf.__version__,
            "keras": keras.__version__, **({} if self.shift is None else {"shift": self.shift.tolist()}),
        }  # fmt: skip
        try:
            return complexity.LiteRTRunner(cache.cached(LITERT, (), options, converted)["content"].tobytes())
        except ValueError as error:
            if self.fast:
                raise UserError(f"fast=True: {error} Leave it out.") from None
            return None

    @functools.cached_property
    def _prepared(self) -> dict[int, tf.types.experimental.GenericFunction]:
        """``prepare``, compiled for gray faces and for color faces."""
        specs = {channels: tf.TensorSpec((None, None, None, channels)) for channels in (1, 3)}
        return {c: tf.function(self.prepare, input_signature=[spec], autograph=False) for c, spec in specs.items()}


def _shift(metadata: models.ModelMetadata, prior: Prior, strength: float) -> np.ndarray | None:
    """Return what to add to the logits (C,), or ``None`` where nothing is added."""
    classes = metadata.label_set.classes
    if prior == "training":
        return None
    if isinstance(prior, str) and prior != "uniform":
        raise UserError(f"prior={prior!r} is unknown. Expected 'training', 'uniform', or a dict of each class's share.")
    if isinstance(prior, Mapping) and set(prior) != set(classes):
        raise UserError(f"prior has the classes {', '.join(map(str, prior))}. Expected {', '.join(classes)}.")
    if metadata.prior is None:
        raise UserError("The network does not say how frequent the classes were in its training; leave prior out.")
    wanted = [1.0] * len(classes) if prior == "uniform" else [prior[name] for name in classes]
    return calibration.prior_shift(metadata.prior, wanted, strength)


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def luma(faces: "tf.Tensor | np.ndarray") -> "tf.Tensor | np.ndarray":
    """Convert RGB (..., 3) to gray (..., 1), rounded to whole levels, with the same result for tensors and arrays."""
    red, green, blue = (faces[..., i : i + 1] for i in range(3))
    level = 0.2989 * red + 0.587 * green + 0.114 * blue
    return library(level).round(level)

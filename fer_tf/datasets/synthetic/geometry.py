"""Compute expressions, shapes, poses and landmarks of drawn faces.

Everything is computed for N faces at once: numbers of a face are columns (N, 1), its shapes are points (N, k, 2).
Face coordinates: x to the picture's right, y down, origin between the eyes' line and the nose tip. The head is about
1.4 wide, its chin near y = 0.95, its crown near y = −1.15. One unit is half the picture at scale 1.

The actions follow the units of the Facial Action Coding System (Ekman and Friesen 1978): 0 is a face at rest, 1 the
full action.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from fer_tf.labels import SYNONYMS

EYE_Y, NOSE_Y, MOUTH_Y, EAR_Y = -0.16, 0.22, 0.52, -0.05
MARGIN = 0.03
MIRROR = np.array([-1.0, 1.0])

_SPAN = np.linspace(-1, 1, 13)
_BROW = np.linspace(0, 1, 9)
_JAW = np.linspace(0, np.pi, 33)
_CROWN = np.linspace(0, np.pi, 17)
_RING = np.linspace(0, 2 * np.pi, 17)
_CIRCLE = np.stack([np.cos(_RING), np.sin(_RING)], axis=1)
_LENS = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** 0.7 * (0.205, 0.15)

Shapes = dict[str, np.ndarray]


def draw_poses(rng: np.random.Generator, count: int) -> SimpleNamespace:
    """Draw head poses.

    Returns:
        Columns (N, 1) `yaw`, `pitch`, `roll` in radians (positive yaw to the picture's right, pitch down), mostly under
        20°, and `scale`; `shift` (N, 2) in half pictures.
    """
    turns = np.radians((9, 6, 6)) * np.clip(rng.standard_normal((count, 3)), -2.2, 2.2)
    yaw, pitch, roll = np.split(turns, 3, axis=1)
    scale = rng.uniform(0.84, 0.97, (count, 1))
    shift = rng.uniform((-0.06, -0.16), (0.06, -0.04), (count, 2))
    return SimpleNamespace(yaw=yaw, pitch=pitch, roll=roll, scale=scale, shift=shift)


def project(points: np.ndarray, poses: SimpleNamespace) -> np.ndarray:
    """Turn face points (N, K, 2) with the head and place them in the picture; both axes then run from −1 to 1.

    Depth comes from the position: an ellipsoid for the head, and a bump for the nose.
    """
    x, y = points[..., 0], points[..., 1]
    dome = np.sqrt(np.maximum(1 - (x / 0.74) ** 2 - (y / 1.15) ** 2, 0))
    depth = 0.62 * dome + 0.17 * np.exp(-((x / 0.14) ** 2) - ((y - 0.2) / 0.17) ** 2)
    x = x * np.cos(poses.yaw) + depth * np.sin(poses.yaw)
    y = y * np.cos(poses.pitch) + (depth - 0.35) * np.sin(poses.pitch)
    cos, sin = np.cos(poses.roll), np.sin(poses.roll)
    return poses.scale[..., None] * _points(x * cos - y * sin, x * sin + y * cos) + poses.shift[:, None]


def keep_inside(points: np.ndarray, poses: SimpleNamespace) -> SimpleNamespace:
    """Change the shifts so that face points (N, K, 2) keep a margin to the picture's edge."""
    placed, limit = project(points, poses), 1 - MARGIN
    back = np.maximum(-limit - placed.min(axis=1), 0) - np.maximum(placed.max(axis=1) - limit, 0)
    return SimpleNamespace(**{**vars(poses), "shift": poses.shift + back})


def _points(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y), axis=-1)


def _band(x: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Close the area between two curves over the same x: upper one first, lower one back."""
    return np.concatenate([_points(x, above), _points(x, below)[:, ::-1]], axis=1)


def _pair(name: str, shape: np.ndarray) -> Shapes:
    """Name a shape of the picture's right side and its mirror image."""
    return {f"{name}_left": shape * MIRROR, f"{name}_right": shape}


def _head(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> Shapes:
    """Outline of the head (33 points of the jaw from ear to ear first), ears, neck, shoulders and beard."""
    chin = who.chin + 0.11 * np.maximum(act["mouth_open"], 0) - EAR_Y
    c, s, power = np.cos(_JAW), np.sin(_JAW), 2 / who.squareness
    jaw = _points(-who.width * np.sign(c) * np.abs(c) ** power * (1 - who.taper * s**2), EAR_Y + chin * s**power)
    cranium = _points(who.width * 1.02 * np.cos(_CROWN), EAR_Y - 1.1 * np.sin(_CROWN) ** 0.9)
    ear = _points(who.width + 0.02 + 0.09 * _CIRCLE[:, 0], EAR_Y + 0.06 + 0.17 * _CIRCLE[:, 1])
    neck = np.array([(-0.4, 0.3), (0.4, 0.3), (0.46, 1.6), (-0.46, 1.6)])
    shoulders = np.array([(-2, 1.9), (-1.3, 1.25), (-0.42, 1.1), (0, 1.3), (0.42, 1.1), (1.3, 1.25), (2, 1.9)])
    side = jaw[:, 3:30]
    inner = side * (0.8, 1) - _points(0 * _JAW, 0.2 * np.sin(_JAW))[3:30]
    return {
        "jaw": jaw, "head": np.concatenate([jaw, cranium], axis=1), **_pair("ear", ear),
        "neck": neck + 0 * jaw[:, :1], "shoulders": shoulders + 0 * jaw[:, :1],
        "beard": np.concatenate([side, inner[:, ::-1]], axis=1),
    }  # fmt: skip


def _hair(who: SimpleNamespace) -> Shapes:
    """Hair behind the head and in front of it, one of five styles."""
    u, flat = np.cos(_CROWN), np.zeros(17)
    outer = _points(who.width * 1.1 * u, EAR_Y - 1.2 * np.sin(_CROWN) ** 0.9)
    low = np.array([-0.1, -0.1, -0.1, 0.1, 1.5])[who.hair_style][:, None]
    ends = _points(1.2 * who.width * np.array([-1, 1]), low)
    drops = np.array([flat, flat, 0.22 - 0.1 * u**2, 0.3 * np.abs(u - 0.35) ** 0.7 - 0.08, flat - 0.02])
    edge = np.maximum(EAR_Y - 0.1 - (1 - np.abs(u) ** 5) * 2, who.hairline + 0.1 * u**2 + drops[who.hair_style])
    return {
        "hair_back": np.concatenate([outer * (1.06, 1), ends], axis=1),
        "hair_front": np.concatenate([outer, _points(who.width * u, edge)[:, ::-1]], axis=1),
    }


def _brows(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> Shapes:
    """Center lines of the brows, inner end first (9 points each), and their polygons."""
    t, lowered = _BROW, act["brow_lower"]
    x = 0.12 + 0.4 * t - 0.05 * lowered * (1 - t)
    rest = EYE_Y - who.brow_height - who.brow_arch * np.sin(np.pi * (0.15 + 0.75 * t))
    moved = 0.125 * lowered * (1 - 0.85 * t) - 0.15 * act["brow_inner"] * (1 - t) ** 1.3
    y = rest + moved - 0.13 * act["brow_outer"] * np.sin(np.pi * (0.12 + 0.6 * t))
    half = 0.5 * who.brow_thickness * (1 - 0.7 * t**1.5)
    return {**_pair("brow_line", _points(x, y)), **_pair("brow", _band(x, y - half, y + half))}


def _eyes(who: SimpleNamespace, act: Mapping[str, np.ndarray], gaze: np.ndarray) -> Shapes:
    """Eye openings (13 upper points from the inner corner outward, 13 lower ones back), lids, irises, glasses."""
    rise = 1 + 0.65 * act["lid_raise"] - 0.4 * act["lid_tight"] - 0.2 * act["cheek_raise"]
    floor = 0.6 - 0.3 * act["lid_tight"] - 0.42 * act["cheek_raise"] + 0.1 * act["lid_raise"]
    droop = 0.5 * np.maximum(-act["lid_raise"], 0)

    def lids(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height of the upper and lower lid at a place from −1 (inner corner) to 1 (outer corner)."""
        arc, line = (place + 1) / 2, EYE_Y + who.eye_tilt * place
        bow = who.eye_height * np.abs(np.sin(np.pi * arc)) ** 0.85
        return line - np.maximum(rise, 0.12) * bow * (1 - droop * arc), line + np.maximum(floor, 0.08) * bow

    upper, lower = lids(_SPAN)
    x = who.eye_spacing + who.eye_width * _SPAN
    shapes = _pair("eye", _band(x, upper, lower)) | _pair("lid", _points(x, upper - 0.012))
    for part, radius in (("iris", 0.92), ("pupil", 0.45)):
        for name, side in (("left", -1), ("right", 1)):
            x = gaze * side + radius * who.eye_height * _CIRCLE[:, 0]
            y = EYE_Y + (radius * _CIRCLE[:, 1] - 0.1) * who.eye_height
            seen = np.clip(y, *lids(np.clip(x / who.eye_width, -1, 1)))
            shapes[f"{part}_{name}"] = _points((who.eye_spacing + x) * side, seen)
    rim = _points(who.eye_spacing + 0.01 + _LENS[:, 0], EYE_Y + 0.02 + _LENS[:, 1])
    bridge = _points((who.eye_spacing - 0.19) * np.array([-1, 1]), np.full(2, EYE_Y - 0.02))
    return {**shapes, **_pair("rim", rim), "rim_bridge": bridge}


def _nose(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> Shapes:
    """Bridge line (4 points), base line (5 points, left to right), nostrils."""
    wrinkle = act["nose_wrinkle"]
    base = NOSE_Y + who.nose_length - 0.045 * wrinkle
    half = who.nose_width * (1 + 0.15 * wrinkle + 0.08 * act["corner_pull"])
    bridge = _points(np.zeros(4), EYE_Y + 0.02 + (base - EYE_Y - 0.07) * np.linspace(0, 1, 4))
    bottom = _points(half * np.linspace(-0.75, 0.75, 5), base + 0.035 * np.array([-0.2, 0.6, 1, 0.6, -0.2]))
    hole = _points(half * (0.45 + 0.3 * _CIRCLE[:, 0]), base + 0.008 + (0.02 + 0.006 * wrinkle) * _CIRCLE[:, 1])
    return {"bridge": bridge, "nose_base": bottom, **_pair("nostril", hole)}


def _mouth(who: SimpleNamespace, act: Mapping[str, np.ndarray], side: np.ndarray) -> Shapes:
    """Lips, opening, teeth and tongue: 13 upper points from the picture's left to its right, 13 lower ones back."""
    s, rim = _SPAN, 1 - _SPAN**2
    opening, raised = np.maximum(act["mouth_open"], 0), np.maximum(act["lip_raise"], 0)
    pull, drop, stretch = act["corner_pull"], act["corner_drop"], act["lip_stretch"]
    smirk = np.maximum(act["one_sided"], 0) * np.clip(0.4 + 0.9 * side * s, 0, 1)
    tight = np.clip(np.maximum(pull, stretch), 0, 1)
    wider = 1 + 0.34 * pull + 0.32 * stretch - 0.26 * opening * (1 - tight) + 0.3 * smirk * np.abs(s)
    corner = -0.17 * pull + 0.15 * drop + 0.03 * stretch - 0.21 * smirk
    line = MOUTH_Y + who.mouth_height + 0.03 * pull - 0.035 * drop + corner * np.abs(s) ** 1.6
    lips = who.lip_thickness * np.maximum(1 - 0.75 * act["lip_press"] - 0.25 * pull, 0.2)
    top = line - (0.08 * raised + 0.02 * opening) * rim
    floor = np.maximum(line + 0.32 * opening * rim**0.6 + 0.01 * raised * rim, top)
    above = top - 0.8 * lips * rim**0.6 * (1 - 0.22 * np.exp(-((s / 0.16) ** 2)))
    teeth = np.minimum(top + (0.035 + 0.08 * tight + 0.02 * raised) * rim**0.4, floor)
    tongue = np.maximum(floor - 0.1 * opening * rim**0.6, teeth)
    x = s * who.mouth_width * wider
    inner = 0.93 * x
    return {
        "upper_lip": _band(x, above, top + 0.004), "lips": _band(x, above, floor + lips * rim**0.6),
        "opening": _band(inner, top, floor), "teeth": _band(inner, top, teeth), "tongue": _band(inner, tongue, floor),
    }  # fmt: skip


def landmarks(shapes: Shapes) -> np.ndarray:
    """Pick the 68 points of the iBUG order from the drawn shapes: float (N, 68, 2), same coordinates."""
    left, right, lips, inner = (shapes[k] for k in ("eye_left", "eye_right", "lips", "opening"))
    return np.concatenate([
        shapes["jaw"][:, ::2], shapes["brow_line_left"][:, ::-2], shapes["brow_line_right"][:, ::2],
        shapes["bridge"], shapes["nose_base"],
        left[:, [12, 8, 4, 0, 21, 17]], right[:, [0, 4, 8, 12, 17, 21]],
        lips[:, [0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23]], inner[:, [0, 3, 6, 9, 12, 16, 19, 22]],
    ], axis=1)  # fmt: skip


def face_shapes(who: SimpleNamespace, act: Mapping[str, np.ndarray], side: np.ndarray, gaze: np.ndarray) -> Shapes:
    """Compute every shape of N faces in face coordinates.

    Args:
        who: the persons, as `people.draw_people` returns.
        act: from the name of an action to its amounts (N, 1).
        side: float (N, 1), −1 or 1, where a one-sided mouth pulls.
        gaze: float (N, 1), shift of both irises in face units.

    Returns:
        From the name of a shape to its points (N, k, 2).
    """
    face = _head(who, act) | _hair(who) | _brows(who, act)
    return face | _eyes(who, act, gaze) | _nose(who, act) | _mouth(who, act, side)


ACTIONS = (
    "brow_inner", "brow_outer", "brow_lower", "lid_raise", "cheek_raise", "lid_tight", "nose_wrinkle",
    "lip_raise", "corner_pull", "corner_drop", "lip_stretch", "lip_press", "mouth_open", "one_sided",
)  # fmt: skip
EYE_ACTIONS = frozenset({"brow_inner", "brow_outer", "brow_lower", "lid_raise", "cheek_raise", "lid_tight"})

# An expression may have several ways to show it; each is a row for the taggers, and a face takes one of them.
PROTOTYPES: Mapping[str, tuple[Mapping[str, float], ...]] = {
    "angry": (
        {"brow_lower": 1.0, "lid_raise": 0.3, "lid_tight": 0.6, "lip_press": 1.0, "corner_drop": 0.25},
        {"brow_lower": 1.0, "lid_raise": 0.4, "lid_tight": 0.5, "mouth_open": 0.5, "lip_stretch": 0.2,
         "corner_drop": 0.3},
    ),
    "disgust": (
        {"brow_lower": 0.5, "nose_wrinkle": 1.0, "lip_raise": 1.0, "corner_drop": 0.5, "lid_tight": 0.6,
         "cheek_raise": 0.5},
    ),
    "fear": (
        {"brow_inner": 1.0, "brow_outer": 0.4, "brow_lower": 0.4, "lid_raise": 1.0, "lip_stretch": 1.0,
         "mouth_open": 0.35, "corner_drop": 0.3},
    ),
    "happy": (
        {"cheek_raise": 0.9, "corner_pull": 1.0, "mouth_open": 0.35},
        {"cheek_raise": 0.7, "corner_pull": 0.9},
    ),
    "sad": (
        {"brow_inner": 1.0, "brow_lower": 0.3, "lid_raise": -0.5, "corner_drop": 1.0, "lip_press": 0.2},
    ),
    "surprise": (
        {"brow_inner": 0.9, "brow_outer": 1.0, "lid_raise": 0.9, "mouth_open": 1.0},
        {"brow_inner": 1.0, "brow_outer": 1.0, "lid_raise": 1.0, "mouth_open": 0.5},
    ),
    "neutral": ({},),
    "contempt": (
        {"one_sided": 1.0, "lid_tight": 0.35, "lid_raise": -0.2},
    ),
}  # fmt: skip

# Taggers expect a clear expression; a weak one looks neutral to some of them.
INTENSITIES = (0.55, 1.15)
EXPECTED_INTENSITIES = (0.75, 1.15)
MAIN_SHARES = (0.52, 0.8)
PERSONAL_SPREAD = 0.08
PERCEPTION_SPREAD = 0.29
DISTANCE_SCALE = 0.35
HIDDEN_WEIGHT = 0.1


@dataclass(frozen=True)
class Blends:
    """Expressions of N faces: `share` of the main class, the rest of the second one.

    Attributes:
        main: int (N,), class index.
        second: int (N,), class index.
        share: float (N,), 1 where one expression is shown alone.
        actions: float (N, A), the amounts drawn.
    """

    main: np.ndarray
    second: np.ndarray
    share: np.ndarray
    actions: np.ndarray


def can_show(classes: Sequence[str]) -> bool:
    """Tell whether every class is an expression that can be drawn."""
    return all(SYNONYMS.get(name, name) in PROTOTYPES for name in classes)


def action_rows(name: str) -> np.ndarray:
    """Return the ways to show an expression (noun or adjective) as float rows (ways, A)."""
    ways = PROTOTYPES[SYNONYMS.get(name, name)]
    return np.array([[way.get(action, 0.0) for action in ACTIONS] for way in ways])


def action_weights(hidden: np.ndarray) -> np.ndarray:
    """Weigh the actions, float (N, A), where nothing (0), the eyes (1) or the mouth (2) is hidden (N,)."""
    at_eyes = np.array([action in EYE_ACTIONS for action in ACTIONS])
    covered = np.where(at_eyes, hidden[:, None] == 1, hidden[:, None] == 2)
    return np.where(covered, HIDDEN_WEIGHT, 1.0)


class Expressions:
    """Draw expressions of one label set, and simulate annotators who name them.

    Args:
        classes: names of expressions, nouns or adjectives.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> expressions = Expressions(("happy", "sad", "neutral"))
    >>> blends = expressions.draw(rng, count=5, ambiguity=0.0)
    >>> named, likely = expressions.vote(rng, blends.actions, np.ones((5, len(ACTIONS))), taggers=10)
    >>> named.shape, likely.shape
    ((5, 10), (5, 3))
    """

    def __init__(self, classes: Sequence[str]):
        rows = [action_rows(name) for name in classes]
        self._ways = np.array([len(r) for r in rows])
        self._bank = np.concatenate(rows)
        self._starts = np.cumsum(self._ways) - self._ways

    def draw(self, rng: np.random.Generator, count: int, ambiguity: float) -> Blends:
        """Draw `count` faces' actions; with probability `ambiguity` a blend of two expressions.

        Intensity and each face's own deviation from the prototype are drawn too. The drawn numbers are the same for
        every `ambiguity`, so other properties of a face stay when it changes.
        """
        u = rng.random((count, 7))
        main = (u[:, 0] * len(self._ways)).astype(int)
        second = (main + 1 + (u[:, 1] * (len(self._ways) - 1)).astype(int)) % len(self._ways)
        share = np.where(u[:, 2] < ambiguity, _between(u[:, 3], MAIN_SHARES), 1.0)[:, None]
        first, other = self._way(main, u[:, 4]), self._way(second, u[:, 5])
        mixed = _between(u[:, 6:], INTENSITIES) * (share * first + (1 - share) * other)
        actions = mixed + rng.normal(0, PERSONAL_SPREAD, mixed.shape)
        return Blends(main, second, share[:, 0], np.clip(actions, -0.6, 1.2))

    def _way(self, classes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        return self._bank[self._starts[classes] + (uniform * self._ways[classes]).astype(int)]

    def distances(self, actions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Measure squared distances (N, T, C) of actions to each class's nearest prototype, at its best intensity.

        Args:
            actions: float (N, T, A).
            weights: float (N, A), how much each action counts.
        """
        along = (actions * weights[:, None]) @ self._bank.T
        length = (weights @ (self._bank**2).T)[:, None]
        t = np.clip(along / np.maximum(length, 1e-9), *EXPECTED_INTENSITIES)
        squared = (actions**2 * weights[:, None]).sum(axis=-1, keepdims=True)
        return np.minimum.reduceat(squared - 2 * t * along + t * t * length, self._starts, axis=-1)

    def vote(
        self, rng: np.random.Generator, actions: np.ndarray, weights: np.ndarray, taggers: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let T taggers name each face's expression.

        Each sees the actions with an error of their own, and names class c with probability ∝ exp(−d_c / 2s²).

        Args:
            rng: of the errors and choices.
            actions: float (N, A), what is drawn.
            weights: float (N, A), how much each action counts; small where it is hidden.
            taggers: T.

        Returns:
            int (N, T), the classes named, and float (N, C), the probabilities averaged over taggers.
        """
        seen = actions[:, None] + rng.normal(0, PERCEPTION_SPREAD, (len(actions), taggers, len(ACTIONS)))
        likely = np.exp(self.distances(seen, weights) / (-2 * DISTANCE_SCALE**2))
        likely /= likely.sum(axis=-1, keepdims=True)
        bounds = likely.cumsum(axis=-1)[..., :-1]
        return (bounds < rng.random((len(actions), taggers, 1))).sum(axis=-1), likely.mean(axis=1)


def _between(uniform: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform

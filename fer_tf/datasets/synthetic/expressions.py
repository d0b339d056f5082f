"""Expressions as amounts of facial action, their blends, and simulated votes.

The actions follow the units of the Facial Action Coding System (Ekman and Friesen 1978): 0 is a face at rest, 1 the
full action.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.labels import SYNONYMS

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

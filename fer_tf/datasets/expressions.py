"""Expressions as amounts of facial action, blends of them, and the taggers who vote on a drawn face.

The actions follow the units of the Facial Action Coding System (Ekman and Friesen 1978): 0 is a face at rest, 1 the
full action.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.datasets.draws import RowDraws
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

# Valence and arousal in −1 to 1, about where the circumplex of affect (Russell 1980) has each expression.
CIRCUMPLEX: Mapping[str, tuple[float, float]] = {
    "angry": (-0.55, 0.65), "disgust": (-0.65, 0.4), "fear": (-0.45, 0.8), "happy": (0.8, 0.35), "sad": (-0.7, -0.3),
    "surprise": (0.2, 0.8), "neutral": (0.0, 0.0), "contempt": (-0.55, 0.2),
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
    """What N faces show: ``share`` of the main class and the rest of the second one.

    Attributes:
        main: int (N, 1), class index.
        second: int (N, 1), class index.
        share: float (N, 1), 1 where one expression is shown alone.
        actions: float (N, A), the amounts drawn.
    """

    main: np.ndarray
    second: np.ndarray
    share: np.ndarray
    actions: np.ndarray


def valence_arousal(shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the mean place on the circumplex, float32 (N, 2), of the shares (N, C) of expressions."""
    places = np.array([CIRCUMPLEX[SYNONYMS.get(name, name)] for name in classes])
    return (shares @ places).astype(np.float32)


def can_show(classes: Sequence[str]) -> bool:
    """Tell whether every class is an expression that can be drawn."""
    return all(SYNONYMS.get(name, name) in PROTOTYPES for name in classes)


def action_rows(name: str) -> np.ndarray:
    """Return the ways to show an expression (noun or adjective) as float rows (ways, A)."""
    ways = PROTOTYPES[SYNONYMS.get(name, name)]
    return np.array([[way.get(action, 0.0) for action in ACTIONS] for way in ways])


def action_weights(hidden: np.ndarray) -> np.ndarray:
    """Return how much each action counts, float (N, A), where nothing (0), the eyes (1) or the mouth (2) is hidden."""
    at_eyes = np.array([action in EYE_ACTIONS for action in ACTIONS])
    covered = ((hidden == 1) & at_eyes) | ((hidden == 2) & ~at_eyes)
    return np.where(covered, HIDDEN_WEIGHT, 1.0)


class Expressions:
    """The expressions of one label set: draws faces' actions and lets taggers vote on them."""

    def __init__(self, classes: Sequence[str]):
        rows = [action_rows(name) for name in classes]
        self._ways = np.array([len(r) for r in rows])
        self._bank = np.concatenate(rows)
        self._starts = np.cumsum(self._ways) - self._ways

    def draw(self, draws: RowDraws, ambiguity: float) -> Blends:
        """Draw a blend of two expressions with probability ``ambiguity``, else one expression alone.

        Intensity and each face's own deviation from the textbook are drawn too. The draws are the same for every
        ``ambiguity``, so the rest of a face stays when it changes.
        """
        classes = len(self._ways)
        main = draws.integers(classes)
        second = (main + 1 + draws.integers(classes - 1)) % classes
        drawn = draws.uniform(*MAIN_SHARES)
        share = np.where(draws.happens(ambiguity), drawn, 1.0)
        first, other = (self._some_way(c[:, 0], draws.uniform()[:, 0]) for c in (main, second))
        mixed = draws.uniform(*INTENSITIES) * (share * first + (1 - share) * other)
        actions = mixed + draws.normal(0, PERSONAL_SPREAD, len(ACTIONS))
        return Blends(main, second, share, np.clip(actions, -0.6, 1.2))

    def _some_way(self, classes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        return self._bank[self._starts[classes] + (uniform * self._ways[classes]).astype(np.int64)]

    def distances(self, actions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Measure how far actions are from each class, at the class's best-fitting way and expected intensity.

        Args:
            actions: float (N, T, A).
            weights: float (N, A), how much each action counts.

        Returns:
            float (N, T, C), squared distances.
        """
        along = (actions * weights[:, None]) @ self._bank.T
        length = (weights @ (self._bank**2).T)[:, None]
        t = np.clip(along / np.maximum(length, 1e-9), *EXPECTED_INTENSITIES)
        squared = (actions**2 * weights[:, None]).sum(axis=-1, keepdims=True)
        return np.minimum.reduceat(squared - 2 * t * along + t * t * length, self._starts, axis=-1)

    def vote(
        self, actions: np.ndarray, weights: np.ndarray, draws: RowDraws, taggers: int = 10
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let taggers name the expression of each face.

        Each sees the actions with an error of their own, and names class c with probability ∝ exp(−d_c / 2s²).

        Args:
            actions: float (N, A), what is drawn.
            weights: float (N, A), how much each action counts; small where it is hidden.
            draws: source of the perceptions and choices.
            taggers: T.

        Returns:
            int (N, T), the classes named, and float (N, C), the probabilities averaged over taggers.
        """
        errors = draws.normal(0, PERCEPTION_SPREAD, taggers * len(ACTIONS)).reshape(-1, taggers, len(ACTIONS))
        logits = self.distances(actions[:, None] + errors, weights) / (-2 * DISTANCE_SCALE**2)
        likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
        likely /= likely.sum(axis=-1, keepdims=True)
        bounds = likely.cumsum(axis=-1)[..., :-1]
        chosen = (bounds < draws.uniform(columns=taggers)[..., None]).sum(axis=-1)
        return chosen, likely.mean(axis=1)

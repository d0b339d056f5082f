"""Folds and soft shadows of drawn faces: strokes on the skin, deeper with the actions behind them."""

import numpy as np

from fer_tf.datasets.geometry import EYE_Y, MIRROR, MOUTH_Y, NOSE_Y, Acts, ribbons
from fer_tf.datasets.people import People

Stroke = tuple[tuple[tuple[float | np.ndarray, float | np.ndarray], ...], float, float | np.ndarray]


def folds(who: People, act: Acts) -> tuple[np.ndarray, np.ndarray]:
    """Make the strokes of N faces.

    Returns:
        Polygons (N, R, 14, 2) in face units, and levels (N, R) to add to a neutral 128.
    """
    shape = (len(who.width), 1)
    side, middle = _side_strokes(who, act), _middle_strokes(who, act)
    controls = np.stack([_controls(points, shape) for points, _, _ in side + middle], axis=1)
    widths = np.array([width for _, width, _ in side + middle])
    levels = np.concatenate([np.broadcast_to(level, shape) for _, _, level in side + middle], axis=1)
    drawn = ribbons(controls, np.broadcast_to(widths, levels.shape))
    mirrored = drawn[:, : len(side)] * MIRROR
    return np.concatenate([mirrored, drawn], axis=1), np.concatenate([levels[:, : len(side)], levels], axis=1)


def _controls(points: tuple, shape: tuple[int, int]) -> np.ndarray:
    """Bring three points whose coordinates are numbers or columns into one array (N, 3, 2)."""
    return np.stack([np.concatenate([np.broadcast_to(v, shape) for v in point], axis=1) for point in points], axis=1)


def _side_strokes(who: People, act: Acts) -> list[Stroke]:
    """Strokes of the picture's right half, each mirrored on the left."""
    base, wing, mouth = NOSE_Y + who.nose_length, who.nose_width, MOUTH_Y + who.mouth_height
    pull, drop, wrinkle, frown = (act[a] for a in ("corner_pull", "corner_drop", "nose_wrinkle", "brow_lower"))
    brow = EYE_Y - who.brow_height
    cheek = 0.08 + 0.5 * np.maximum(pull, 0) + 0.5 * np.maximum(wrinkle, 0) + 0.3 * np.maximum(act["lip_raise"], 0)
    end = who.mouth_width * (1.25 + 0.25 * pull)
    return [
        (((wing, base - 0.02), (wing + 0.12, base + 0.05), (end + 0.04, mouth - 0.08 * pull)), 0.06, -55 * cheek),
        (((0.05, brow - 0.1), (0.035, brow), (0.05, brow + 0.12)), 0.05, -66 * frown),
        (((0.05, EYE_Y + 0.02), (0.11, EYE_Y + 0.1), (0.13, EYE_Y + 0.2)), 0.055, -60 * wrinkle),
        (((0.16, EYE_Y + 0.1), (0.3, EYE_Y + 0.16), (0.45, EYE_Y + 0.08)), 0.05, -14 - 34 * act["cheek_raise"]),
        (((0.16, EYE_Y - 0.06), (0.3, EYE_Y - 0.15), (0.46, EYE_Y - 0.05)), 0.1, -26 - 8 * frown),
        (((0.1, EYE_Y), (0.06, 0.05), (wing * 0.9, base - 0.04)), 0.07, -16),
        (((wing * 0.75, base - 0.07), (wing * 1.1, base), (wing * 0.6, base + 0.03)), 0.035, -46 - 20 * wrinkle),
        (((end, mouth - 0.02), (end + 0.03, mouth + 0.05), (end + 0.02, mouth + 0.14)), 0.05, -45 * drop),
    ]


def _middle_strokes(who: People, act: Acts) -> list[Stroke]:
    """Strokes across the middle line."""
    base, mouth, brow = NOSE_Y + who.nose_length, MOUTH_Y + who.mouth_height, EYE_Y - who.brow_height
    raised = 0.5 * (act["brow_inner"] + act["brow_outer"])
    chin = mouth + 0.32 * np.maximum(act["mouth_open"], 0)
    return [
        (((-0.3, brow - 0.2), (0, brow - 0.24), (0.3, brow - 0.2)), 0.035, -36 * raised),
        (((-0.32, brow - 0.3), (0, brow - 0.34), (0.32, brow - 0.3)), 0.03, -30 * raised),
        (((0, EYE_Y), (0, 0), (0, base - 0.03)), 0.08, 16),
        (((-0.16, chin + 0.19), (0, chin + 0.16), (0.16, chin + 0.19)), 0.05, -22 - 12 * act["lip_press"]),
        (((-0.03, base + 0.06), (0, base + 0.1), (0.03, base + 0.06)), 0.05, -12),
        (((-0.1, 0.02), (0, -0.02), (0.1, 0.02)), 0.035, -45 * act["nose_wrinkle"]),
    ]

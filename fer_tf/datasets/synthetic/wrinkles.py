"""Draw wrinkles and soft shadows that deepen with the actions behind them."""

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np

from fer_tf.datasets.synthetic.geometry import EYE_Y, MIRROR, MOUTH_Y, NOSE_Y

_T = np.linspace(0, 1, 6)
_BEZIER = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], axis=1)

# Three control points (x, y), numbers or columns (N, 1); width in face units; change of brightness, 0 to ±1.
_Stroke = tuple[tuple[tuple, tuple, tuple], float, float | np.ndarray]


def wrinkles(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Draw the strokes of N faces.

    Returns:
        One a stroke: points (N, 6, 2) and width in face units, and the change of the skin's brightness (N, 1).
    """
    shape = (len(who.width), 1)
    sides, middle = _side_strokes(who, act), _middle_strokes(who, act)
    strokes = [(_curve(points, shape), width, np.broadcast_to(level, shape)) for points, width, level in sides + middle]
    return [(points * MIRROR, *rest) for points, *rest in strokes[: len(sides)]] + strokes


def _curve(points: tuple, shape: tuple[int, int]) -> np.ndarray:
    controls = [np.concatenate([np.broadcast_to(v, shape) for v in point], axis=1) for point in points]
    return _BEZIER @ np.stack(controls, axis=1)


def _side_strokes(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> list[_Stroke]:
    """Strokes of the picture's right half, each mirrored on the left."""
    base, wing, mouth = NOSE_Y + who.nose_length, who.nose_width, MOUTH_Y + who.mouth_height
    pull, drop, wrinkle, frown = (act[a] for a in ("corner_pull", "corner_drop", "nose_wrinkle", "brow_lower"))
    brow = EYE_Y - who.brow_height
    cheek = 0.08 + 0.5 * np.maximum(pull, 0) + 0.5 * np.maximum(wrinkle, 0) + 0.3 * np.maximum(act["lip_raise"], 0)
    end = who.mouth_width * (1.25 + 0.25 * pull)
    return [
        (((wing, base - 0.02), (wing + 0.12, base + 0.05), (end + 0.04, mouth - 0.08 * pull)), 0.05, -0.43 * cheek),
        (((0.05, brow - 0.1), (0.035, brow), (0.05, brow + 0.12)), 0.04, -0.52 * frown),
        (((0.05, EYE_Y + 0.02), (0.11, EYE_Y + 0.1), (0.13, EYE_Y + 0.2)), 0.045, -0.47 * wrinkle),
        (((0.16, EYE_Y + 0.1), (0.3, EYE_Y + 0.16), (0.45, EYE_Y + 0.08)), 0.04, -0.11 - 0.27 * act["cheek_raise"]),
        (((0.16, EYE_Y - 0.06), (0.3, EYE_Y - 0.15), (0.46, EYE_Y - 0.05)), 0.08, -0.2 - 0.06 * frown),
        (((0.1, EYE_Y), (0.06, 0.05), (wing * 0.9, base - 0.04)), 0.06, -0.12),
        (((wing * 0.75, base - 0.07), (wing * 1.1, base), (wing * 0.6, base + 0.03)), 0.03, -0.36 - 0.16 * wrinkle),
        (((end, mouth - 0.02), (end + 0.03, mouth + 0.05), (end + 0.02, mouth + 0.14)), 0.04, -0.35 * drop),
    ]


def _middle_strokes(who: SimpleNamespace, act: Mapping[str, np.ndarray]) -> list[_Stroke]:
    """Strokes across the middle line."""
    base, mouth, brow = NOSE_Y + who.nose_length, MOUTH_Y + who.mouth_height, EYE_Y - who.brow_height
    raised = 0.5 * (act["brow_inner"] + act["brow_outer"])
    chin = mouth + 0.32 * np.maximum(act["mouth_open"], 0)
    return [
        (((-0.3, brow - 0.2), (0, brow - 0.24), (0.3, brow - 0.2)), 0.03, -0.28 * raised),
        (((-0.32, brow - 0.3), (0, brow - 0.34), (0.32, brow - 0.3)), 0.025, -0.23 * raised),
        (((0, EYE_Y), (0, 0), (0, base - 0.03)), 0.07, 0.12),
        (((-0.16, chin + 0.19), (0, chin + 0.16), (0.16, chin + 0.19)), 0.04, -0.17 - 0.09 * act["lip_press"]),
        (((-0.1, 0.02), (0, -0.02), (0.1, 0.02)), 0.03, -0.35 * act["nose_wrinkle"]),
    ]

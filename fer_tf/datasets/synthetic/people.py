"""Draw who is shown (lengths and colors of a head) and the scene around it."""

from types import SimpleNamespace

import numpy as np

BALD, SHORT, FRINGE, PARTED, LONG = range(5)
NOTHING, BAR, SUNGLASSES, HAND, MASK = range(5)
CLEAR, EYES, MOUTH = range(3)

# What each of the things in front of a face hides.
HIDES = np.array([CLEAR, EYES, EYES, MOUTH, MOUTH])

# Smallest and largest value in face units, see `geometry`.
LENGTHS = {
    "width": (0.62, 0.73), "chin": (0.88, 0.98), "squareness": (1.9, 2.6), "taper": (0.0, 0.22),
    "brow_thickness": (0.05, 0.105), "brow_height": (0.18, 0.23), "brow_arch": (0.015, 0.06),
    "eye_spacing": (0.275, 0.32), "eye_width": (0.13, 0.165), "eye_height": (0.064, 0.09), "eye_tilt": (-0.025, 0.012),
    "nose_width": (0.12, 0.18), "nose_length": (-0.04, 0.04), "mouth_width": (0.23, 0.3), "mouth_height": (-0.02, 0.03),
    "lip_thickness": (0.05, 0.095), "hairline": (-0.8, -0.64),
}  # fmt: skip
HAIR = np.array([[28, 22, 20], [72, 46, 30], [122, 84, 48], [186, 150, 96], [150, 148, 146]])
IRIS = np.array([[62, 40, 24], [84, 62, 34], [74, 100, 66], [82, 116, 146]])


def _pick(uniform: np.ndarray, shares: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Turn uniform numbers (N, 1) into choices, int (N,), with the given shares (K,) or (N, K)."""
    return (uniform > np.atleast_2d(np.cumsum(shares, axis=-1))[:, :-1]).sum(axis=1)


def draw_people(rng: np.random.Generator, count: int) -> SimpleNamespace:
    """Draw persons; the first ones are the same for a larger `count`.

    Returns:
        Columns (N, 1) of `LENGTHS`, `hair_style` (N,), `beard` (N, 1, 0 to 1), `glasses` (N,), and the colors `skin`,
        `hair` and `iris` as RGB (N, 3).
    """
    drawn = rng.random((count, len(LENGTHS) + 6))
    low, high = np.array(list(LENGTHS.values())).T
    lengths = np.split(low + (high - low) * drawn[:, : len(LENGTHS)], len(LENGTHS), axis=1)
    u = drawn[:, len(LENGTHS) :, None].swapaxes(0, 1)
    melanin = u[0] ** 1.4
    dark = melanin > 0.45
    return SimpleNamespace(
        **dict(zip(LENGTHS, lengths, strict=True)),
        skin=np.array([238, 202, 178]) - melanin * np.array([130, 132, 128]),
        hair=HAIR[_pick(u[1], np.where(dark, (0.8, 0.1, 0, 0, 0.1), (0.25, 0.3, 0.2, 0.15, 0.1)))],
        iris=IRIS[_pick(u[2], np.where(dark, (0.85, 0.15, 0, 0), (0.4, 0.2, 0.15, 0.25)))],
        hair_style=_pick(u[3], (0.08, 0.3, 0.2, 0.2, 0.22)),
        beard=np.array([0.0, 0.35, 0.8])[_pick(u[4], (0.7, 0.15, 0.15))][:, None],
        glasses=u[5, :, 0] < 0.15,
    )


def draw_scenes(rng: np.random.Generator, count: int, occlusion: float) -> SimpleNamespace:
    """Draw light, camera and background, and with probability `occlusion` something in front of the face.

    Returns:
        Columns (N, k): `light` (change of brightness to the right and downward, as a share of it), `brightness` and
        `contrast` (factors), `noise` (standard deviation in gray levels), `blur` (radius as a share of the picture),
        `upper`, `lower` and `clothes` (RGB), `place` (of the thing in front, in face units); int (N,): `occluder`
        (`NOTHING` to `MASK`) and `hidden` (`CLEAR`, `EYES` or `MOUTH`).
    """
    column = (count, 1)
    wall = rng.uniform(25, 225, column) + rng.uniform(-28, 28, (count, 3))
    kind = np.where(rng.random(count) < occlusion, rng.integers(BAR, MASK + 1, count), NOTHING)
    return SimpleNamespace(
        light=rng.normal((0, -0.05), (0.2, 0.09), (count, 2)),
        brightness=rng.uniform(0.82, 1.18, column),
        contrast=rng.uniform(0.8, 1.25, column),
        noise=rng.uniform(1, 7, column),
        blur=rng.uniform(0, 0.011, column),
        upper=np.clip(wall, 0, 255),
        lower=np.clip(wall + rng.uniform(-50, 50, column), 0, 255),
        clothes=np.clip(rng.uniform(20, 210, column) + rng.uniform(-40, 40, (count, 3)), 0, 255),
        place=rng.normal(0, 0.035, (count, 1, 2)),
        occluder=kind,
        hidden=HIDES[kind],
    )

"""What masks look like: surgical, cloth and N95.

A mask is a sheet with its own coordinates: u from −1 (the picture's left edge) to 1, v from 0 (over the nose) to 1
(under the chin). A kind gives the sheet's cut, its colour at every (u, v), and its bands. Lengths are eye distances.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Ink = np.ndarray | None


@dataclass(frozen=True)
class Cut:
    """The sheet's outline as worn, seen from the front, and how far it stands out.

    Attributes:
        width: half the width of the sheet.
        top: y of the upper edge on the nose, on the cheek, and at the side.
        bottom: y of the lower edge under the chin and at the side.
        bulge: how far the middle stands out from the face.
        roundness: 0 for upright sides, 1 for an oval.
    """

    width: float
    top: tuple[float, float, float]
    bottom: tuple[float, float]
    bulge: float
    roundness: float = 0.0


@dataclass(frozen=True, eq=False)
class Band:
    """An ear loop or strap of the picture's left side, mirrored for the other: points (P, 3) and thickness."""

    points: np.ndarray
    thickness: float
    ink: np.ndarray


@dataclass(frozen=True, eq=False)
class Mask:
    """One mask, ready to be worn.

    Attributes:
        cut: its shape.
        paint: from u and v, both (N,), and the size of a pixel in eye distances to RGB (N, 3), 0 to 255, before light.
        bands: what holds it.
    """

    cut: Cut
    paint: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    bands: tuple[Band, ...]


def surgical(rng: np.random.Generator, ink: Ink = None, pleats: int = 3) -> Mask:
    """Make a pleated surgical mask with ear loops.

    Args:
        rng: draws colour and folds.
        ink: RGB (3,), or ``None`` for one of the usual colours, mostly light blue.
        pleats: folds across, 0 to 6.
    """
    if not 0 <= pleats <= 6:
        raise ValueError(f"pleats={pleats!r} is out of range. Expected 0 to 6.")
    ink = _ink(
        rng, ink, [(126, 178, 214), (138, 190, 222), (118, 186, 190), (228, 233, 236), (232, 186, 200), (48, 50, 56)]
    )
    places = 0.3 + 0.42 * (np.arange(pleats) + 0.5) / max(pleats, 1) + rng.uniform(-0.015, 0.015, pleats)
    # Plain numbers: those of NumPy would make every picture float64.
    folds = list(zip(places.tolist(), rng.uniform(-0.012, 0.012, pleats).tolist(), strict=True))
    creases = _Creases(rng, 0.035)

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        shade = 1 + creases(u, v)
        for fold, slope in folds:
            # Each pleat laps over the next one: brightest at its lip, a dark line under the lip, then slowly out of it.
            below = v - fold - slope * u
            shade += 0.07 * np.exp(-np.square((below + 0.035) / 0.03)) - 0.2 * _line(below, 0.007, pixel)
            shade -= 0.13 * np.exp(-np.maximum(below, 0) / 0.05) * (below > 0)
        rim = np.minimum(np.minimum(v, 1 - v) * 1.6, (1 - abs(u)) * 0.9)
        shade += 0.05 * (rim < 0.06) - 0.1 * _line(rim - 0.06, 0.006, pixel)
        wire = abs(u) < 0.42
        shade += wire * (0.09 * _line(v - 0.03, 0.012, pixel) - 0.09 * _line(v - 0.052, 0.007, pixel))
        return _shaded(ink, shade)

    white = np.array([236.0, 238, 240])
    return Mask(Cut(0.93, (0.24, 0.41, 0.5), (1.8, 1.16), 0.3), paint, _loops(0.52, 1.1, 0.026, white))


def cloth(rng: np.random.Generator, ink: Ink = None, seam: bool = True) -> Mask:
    """Make a sewn cloth mask, pointed at nose and chin, with ear loops of its own colour.

    Args:
        rng: draws colour and wrinkles.
        ink: RGB (3,), or ``None`` for one of a palette, dark and light.
        seam: sew the two halves together down the middle.
    """
    if not isinstance(seam, bool):
        raise ValueError(f"seam={seam!r} is unknown. Expected True or False.")
    ink = _ink(
        rng,
        ink,
        [(38, 38, 42), (42, 54, 86), (122, 124, 130), (150, 48, 54), (74, 98, 82), (206, 196, 178), (104, 122, 158)],
    )
    creases, weave = _Creases(rng, 0.09), float(rng.uniform(90, 120))

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        shade = 1 + creases(u, v) + 0.02 * np.sin(weave * u) * np.sin(1.8 * weave * v) * (pixel < 0.012)
        rim = np.minimum(np.minimum(v, 1 - v) * 1.6, (1 - abs(u)) * 0.85)
        shade -= 0.16 * _line(rim - 0.075, 0.006, pixel) * (np.sin(70 * (u + v)) > -0.3)
        shade += 0.06 * (rim < 0.07)
        if seam:
            shade += 0.1 * np.exp(-np.square((abs(u) - 0.035) / 0.025)) - 0.34 * _line(u, 0.008, pixel)
        return _shaded(ink, shade)

    return Mask(Cut(0.89, (0.2, 0.44, 0.62), (1.82, 1.04), 0.36), paint, _loops(0.66, 1.0, 0.038, 0.85 * ink + 6))


def n95(rng: np.random.Generator, ink: Ink = None, valve: bool | None = None) -> Mask:
    """Make an N95 respirator: a stiff cup with a rim, a metal nose clip and two straps around the head.

    Args:
        rng: draws colour and whether there is a valve.
        ink: RGB (3,), or ``None`` for white or nearly so.
        valve: an exhalation valve in front of the mouth; ``None`` draws it.
    """
    if valve is not None and not isinstance(valve, bool):
        raise ValueError(f"valve={valve!r} is unknown. Expected True, False or None.")
    ink = _ink(rng, ink, [(236, 236, 232), (228, 230, 234), (240, 236, 224), (210, 222, 232)])
    has_valve = bool(rng.random() < 0.5) if valve is None else valve
    creases = _Creases(rng, 0.012)

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        rim = np.minimum(np.minimum(v, 1 - v) * 1.55, (1 - abs(u)) * 0.8)
        shade = 1 + creases(u, v) - 0.16 * np.exp(-np.square((rim - 0.085) / 0.02)) + 0.04 * (rim < 0.06)
        shade -= 0.1 * _line(rim - 0.035, 0.006, pixel) * (np.sin(110 * (u + v)) > 0)
        shade -= 0.07 * _line(v - 0.47, 0.006, pixel) * (rim > 0.1)
        colours = _shaded(ink, shade)
        _metal(colours, u, v, pixel)
        if has_valve:
            _valve(colours, u * 0.8, (v - 0.58) * 1.55, pixel)
        return colours

    yellow = np.array([222.0, 190, 96]) if rng.random() < 0.6 else np.array([226.0, 226, 222])
    upper = np.array([(-0.72, 0.66, 0.0), (-0.95, 0.44, -0.4), (-1.1, 0.14, -0.8)])
    lower = np.array([(-0.7, 1.06, 0.0), (-0.9, 0.98, -0.4), (-1.04, 0.86, -0.8)])
    bands = tuple(Band(line, 0.07, yellow) for line in (upper, lower))
    return Mask(Cut(0.8, (0.22, 0.4, 0.66), (1.74, 1.08), 0.5, roundness=0.1), paint, bands)


def _ink(rng: np.random.Generator, ink: Ink, palette: list[tuple[int, int, int]]) -> np.ndarray:
    """Draw a colour near one of the palette; the draws are made also where the colour is given."""
    drawn = np.array(palette[rng.integers(len(palette))]) + rng.uniform(-8, 8) + rng.uniform(-4, 4, 3)
    return np.clip(drawn if ink is None else ink, 0, 255).astype(np.float32)


def _loops(upper: float, lower: float, thickness: float, ink: np.ndarray) -> tuple[Band, ...]:
    """Make an ear loop from a mask's corners at the heights ``upper`` and ``lower`` to where the ear hides it."""
    above = np.array([(-0.86, upper, -0.3), (-1.0, 0.5 * upper + 0.06, -0.6), (-1.13, 0.06, -0.85)])
    below = np.array([(-0.84, lower, -0.3), (-1.0, 0.5 * lower + 0.36, -0.6), (-1.12, 0.7, -0.85)])
    return Band(above, thickness, ink), Band(below, thickness, ink)


def _shaded(ink: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Multiply the colour; a share that is added shows folds on black too."""
    return ink * shade[:, None] + 26 * (shade[:, None] - 1)


def _line(distance: np.ndarray, thickness: float, pixel: float) -> np.ndarray:
    """Draw a soft line, never thinner than a pixel but then fainter."""
    wide = max(thickness, 0.6 * pixel)
    return thickness / wide * np.exp(-np.square(distance / wide))


def _metal(colours: np.ndarray, u: np.ndarray, v: np.ndarray, pixel: float) -> None:
    """Put the nose clip on the colours (N, 3), in place."""
    across, down = abs(u) / 0.36, (v - 0.062) / 0.026
    edge = across**6 + abs(down) ** 3
    clip = edge < 1
    colours[clip] = np.array([148.0, 150, 154]) * (1.05 - 0.16 * down[clip, None])
    colours -= 34 * _line(edge - 1.05, 0.12, pixel)[:, None]


def _valve(colours: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: float) -> None:
    """Put the valve's round-cornered lid with its slits on the colours (N, 3), in place."""
    edge = (abs(x) / 0.2) ** 4 + (abs(y) / 0.17) ** 4
    shadow = (abs(x) / 0.23) ** 4 + (abs(y - 0.02) / 0.2) ** 4
    colours -= 40 * np.exp(-np.square(np.maximum(shadow - 0.6, 0)))[:, None] * (edge >= 1)[:, None]
    lid = edge < 1
    tone = 214 - 60 * (edge[lid] > 0.72) - 46 * sum(_line(y[lid] - at, 0.012, pixel) for at in (-0.07, 0.0, 0.07))
    colours[lid] = tone[:, None] - 30 * y[lid, None] / 0.17


class _Creases:
    """Soft folds at random places and angles, of strength about ``depth``; the same at every size."""

    def __init__(self, rng: np.random.Generator, depth: float, count: int = 6):
        angle = rng.uniform(-0.9, 0.9, count)
        width, reach = rng.uniform(0.03, 0.09, count), rng.uniform(0.2, 0.5, count)
        strength = depth * rng.uniform(0.5, 1, count) * np.where(rng.random(count) < 0.6, -1, 1)
        centre = rng.uniform(-0.9, 0.9, count), rng.uniform(0.15, 1.3, count)
        self._folds = np.stack([np.sin(angle), np.cos(angle), width, reach, strength, *centre], axis=1).tolist()

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        total = np.zeros_like(u)
        for sin, cos, width, reach, strength, cu, cv in self._folds:
            across = (u - cu) * (sin / width) + (v - cv / 1.6) * (1.6 * cos / width)
            along = (u - cu) * (cos / reach) - (v - cv / 1.6) * (1.6 * sin / reach)
            total += strength * np.exp(-across * across - along * along)
        return total

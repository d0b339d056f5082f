"""Define kinds of masks, and bend their sheets around a head.

A mask is a sheet with its own coordinates: u from −1 (the picture's left edge) to 1, v from 0 (over the nose) to 1
(under the chin). A kind gives the sheet's outline, its color at every (u, v), and its bands. Lengths are eye distances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import ImageColor

from fer_tf.errors import UserError
from fer_tf.faces.masks.head_pose import HeadPose
from fer_tf.registry import Registry

MASKS = Registry("mask")
MASKS.add("surgical", "fer_tf.faces.masks.kinds:surgical")
MASKS.add("cloth", "fer_tf.faces.masks.kinds:cloth")
MASKS.add("n95", "fer_tf.faces.masks.kinds:n95")

Ink = np.ndarray | None


@dataclass(frozen=True, eq=False)
class Mask:
    """One mask, ready to be drawn on a face.

    Attributes:
        width: half the width of the sheet.
        top: y of the upper edge on the nose, on the cheek, and at the side.
        bottom: y of the lower edge under the chin and at the side.
        bulge: how far the middle stands out from the face.
        paint: from u and v, both (N,), and the size of a pixel to RGB (N, 3), 0 to 255, before light.
        bands: ear loops or straps of the picture's left side, mirrored for the other: points (P, 3) in the units of
            the head, thickness, and RGB (3,).
    """

    width: float
    top: tuple[float, float, float]
    bottom: tuple[float, float]
    bulge: float
    paint: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    bands: tuple[tuple[np.ndarray, float, np.ndarray], ...]


def surgical(rng: np.random.Generator, ink: Ink = None, pleats: int = 3) -> Mask:
    """Make a pleated surgical mask with ear loops.

    Args:
        rng: draws color and folds.
        ink: RGB (3,), or `None` for one of the usual colors, mostly light blue.
        pleats: folds across, 0 to 6.
    """
    if not 0 <= pleats <= 6:
        raise ValueError(f"pleats={pleats!r} is out of range. Expected 0 to 6.")
    palette = [(126, 178, 214), (138, 190, 222), (118, 186, 190), (228, 233, 236), (232, 186, 200), (48, 50, 56)]
    ink, creases = _ink(rng, ink, palette), _creases(rng, 0.035)
    places = 0.3 + 0.42 * (np.arange(pleats) + 0.5) / max(pleats, 1) + rng.uniform(-0.015, 0.015, pleats)
    # Plain numbers: those of NumPy would make every picture float64.
    folds = list(zip(places.tolist(), rng.uniform(-0.012, 0.012, pleats).tolist(), strict=True))

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        shade = 1 + creases(u, v)
        for fold, slope in folds:
            # Each pleat laps over the next one: brightest at its lip, a dark line under the lip, then slowly out of it.
            below = v - fold - slope * u
            shade += 0.07 * _line(below + 0.035, 0.03, pixel) - 0.2 * _line(below, 0.007, pixel)
            shade -= 0.13 * np.exp(-np.maximum(below, 0) / 0.05) * (below > 0)
        rim = _rim(u, v)
        shade += 0.05 * (rim < 0.06) - 0.1 * _line(rim - 0.06, 0.006, pixel)
        shade += (abs(u) < 0.42) * 0.09 * (_line(v - 0.03, 0.012, pixel) - _line(v - 0.052, 0.007, pixel))
        return _shaded(ink, shade)

    bands = _loops(0.52, 1.1, 0.026, np.array([236.0, 238, 240]))
    return Mask(0.93, (0.24, 0.41, 0.5), (1.8, 1.16), 0.3, paint, bands)


def cloth(rng: np.random.Generator, ink: Ink = None, seam: bool = True) -> Mask:
    """Make a sewn cloth mask, pointed at nose and chin, with ear loops of its own color.

    Args:
        rng: draws color and creases.
        ink: RGB (3,), or `None` for one of a palette, dark and light.
        seam: sew the two halves together down the middle.
    """
    if not isinstance(seam, bool):
        raise ValueError(f"seam={seam!r} is unknown. Expected True or False.")
    palette = [
        (38, 38, 42), (42, 54, 86), (122, 124, 130), (150, 48, 54), (74, 98, 82), (206, 196, 178), (104, 122, 158),
    ]  # fmt: skip
    ink, creases = _ink(rng, ink, palette), _creases(rng, 0.09)

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        rim = _rim(u, v)
        stitches = np.sin(70 * (u + v)) > -0.3
        shade = 1 + creases(u, v) + 0.06 * (rim < 0.07) - 0.16 * stitches * _line(rim - 0.075, 0.006, pixel)
        if seam:
            shade += 0.1 * _line(abs(u) - 0.035, 0.025, pixel) - 0.34 * _line(u, 0.008, pixel)
        return _shaded(ink, shade)

    return Mask(0.89, (0.2, 0.44, 0.62), (1.82, 1.04), 0.36, paint, _loops(0.66, 1.0, 0.038, 0.85 * ink + 6))


def n95(rng: np.random.Generator, ink: Ink = None, valve: bool | None = None) -> Mask:
    """Make an N95 respirator: a stiff cup with a rim, a metal nose clip and two straps around the head.

    Args:
        rng: draws color and whether there is a valve.
        ink: RGB (3,), or `None` for white or nearly so.
        valve: an exhalation valve in front of the mouth; `None` draws it.
    """
    if valve is not None and not isinstance(valve, bool):
        raise ValueError(f"valve={valve!r} is unknown. Expected True, False or None.")
    ink = _ink(rng, ink, [(236, 236, 232), (228, 230, 234), (240, 236, 224), (210, 222, 232)])
    drawn, yellow = rng.random(2) < (0.5, 0.6)
    has_valve = bool(drawn) if valve is None else valve

    def paint(u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
        rim = _rim(u, v)
        shade = 1 - 0.16 * _line(rim - 0.085, 0.02, pixel) - 0.07 * _line(v - 0.47, 0.006, pixel) * (rim > 0.1)
        shade -= 0.1 * _line(rim - 0.035, 0.006, pixel) * (np.sin(110 * (u + v)) > 0)
        colors = _shaded(ink, shade)
        clip = (u / 0.36) ** 6 + abs((v - 0.062) / 0.026) ** 3 < 1
        colors[clip] = np.array([148.0, 150, 154], np.float32)
        if has_valve:
            x, y = u * 0.8, (v - 0.58) * 1.55
            edge = (x / 0.2) ** 4 + (y / 0.17) ** 4
            slits = sum(_line(y - at, 0.012, pixel) for at in (-0.07, 0.0, 0.07))
            tone = 214 - 60 * (edge > 0.72) - 46 * slits - 176 * y
            colors = np.where((edge < 1)[:, None], tone[:, None], colors - 40 * _line(edge - 1, 0.5, pixel)[:, None])
        return colors

    upper = np.array([(-0.72, 0.66, 0.0), (-0.95, 0.44, -0.4), (-1.1, 0.14, -0.8)])
    lower = np.array([(-0.7, 1.06, 0.0), (-0.9, 0.98, -0.4), (-1.04, 0.86, -0.8)])
    strap = np.array([222.0, 190, 96] if yellow else [226.0, 226, 222])
    return Mask(0.8, (0.22, 0.4, 0.66), (1.74, 1.08), 0.5, paint, ((upper, 0.07, strap), (lower, 0.07, strap)))


def drawn_kind(seed: Sequence[int]) -> str:
    """Draw one of the names of `MASKS`, each as likely as the others, for a face's seed.

    Example:

    >>> drawn_kind((0, 1, 2)) in MASKS
    True
    """
    names = sorted(MASKS)
    return names[np.random.default_rng((*seed, 1)).integers(len(names))]


def read_color(color: str | tuple[int, int, int]) -> np.ndarray:
    """Return RGB (3,), 0 to 255, of a name, of `#rrggbb`, or of three numbers.

    Example:

    >>> read_color("#ff8000").tolist()
    [255.0, 128.0, 0.0]
    """
    try:
        rgb = np.array(ImageColor.getrgb(color)[:3] if isinstance(color, str) else color, dtype=float)
    except ValueError:
        raise UserError(f"color {color!r} is unknown. Expected #rrggbb or a name such as white.") from None
    if rgb.shape != (3,) or not ((rgb >= 0) & (rgb <= 255)).all():
        raise UserError(f"color {color!r} is not a color. Expected three numbers from 0 to 255.")
    return rgb


def _ink(rng: np.random.Generator, ink: Ink, palette: list[tuple[int, int, int]]) -> np.ndarray:
    """Draw a color near one of the palette; the draws are made also where the color is given."""
    drawn = np.array(palette[rng.integers(len(palette))]) + rng.uniform(-8, 8) + rng.uniform(-4, 4, 3)
    return np.clip(drawn if ink is None else ink, 0, 255).astype(np.float32)


def _loops(upper: float, lower: float, thickness: float, ink: np.ndarray) -> tuple:
    """Make an ear loop from a mask's corners at the heights `upper` and `lower` to where the ear hides it."""
    above = np.array([(-0.86, upper, -0.3), (-1.0, 0.5 * upper + 0.06, -0.6), (-1.13, 0.06, -0.85)])
    below = np.array([(-0.84, lower, -0.3), (-1.0, 0.5 * lower + 0.36, -0.6), (-1.12, 0.7, -0.85)])
    return (above, thickness, ink), (below, thickness, ink)


def _shaded(ink: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Multiply the color; a share that is added shows folds on black too."""
    return ink * shade[:, None] + 26 * (shade[:, None] - 1)


def _rim(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return about the distance to the sheet's edge."""
    return np.minimum(np.minimum(v, 1 - v) * 1.6, (1 - abs(u)) * 0.85)


def _line(distance: np.ndarray, thickness: float, pixel: float) -> np.ndarray:
    """Draw a soft line, never thinner than a pixel but then fainter."""
    wide = max(thickness, 0.6 * pixel)
    return thickness / wide * np.exp(-np.square(distance / wide))


def _creases(rng: np.random.Generator, depth: float, count: int = 6) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Draw soft folds at random places and angles, of strength about `depth`; the same at every size."""
    angle = rng.uniform(-0.9, 0.9, count)
    width, reach = rng.uniform(0.03, 0.09, count), rng.uniform(0.2, 0.5, count)
    strength = depth * rng.uniform(0.5, 1, count) * np.where(rng.random(count) < 0.6, -1, 1)
    center_u, center_v = rng.uniform(-0.9, 0.9, count), rng.uniform(0.15, 1.3, count) / 1.6
    columns = np.stack([np.sin(angle), np.cos(angle), width, reach, strength, center_u, center_v], axis=1).tolist()

    def shade(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        total = np.zeros_like(u)
        for sin, cos, wide, far, strong, cu, cv in columns:
            across = (u - cu) * (sin / wide) + (v - cv) * (1.6 * cos / wide)
            along = (u - cu) * (cos / far) - (v - cv) * (1.6 * sin / far)
            total += strong * np.exp(-across * across - along * along)
        return total

    return shade


_ROWS, _COLUMNS = 25, 33
# From above and in front, in the head's units; the side that the light comes from is taken from the face itself.
_LIGHT = np.array([0.0, -0.62, 0.78])
_BACK = -0.6
# Samples of the sheet lie so many pixels apart at most, so that every pixel on it has one.
_STEP = 0.7


class Seen(NamedTuple):
    """The pixels of a picture that show the sheet: bool (H, W), and u, v and light of each, float32 (N,)."""

    inside: np.ndarray
    u: np.ndarray
    v: np.ndarray
    light: np.ndarray


def bend(mask: Mask) -> np.ndarray:
    """Bend a mask around a head: points (rows, columns, 3) in the head's units; v grows by row, u by column."""
    u, v = np.meshgrid(np.linspace(-1, 1, _COLUMNS), np.linspace(0, 1, _ROWS))
    x = mask.width * u
    on_nose, on_cheek, at_side = mask.top
    top = on_cheek + (at_side - on_cheek) * np.square(u)
    under_chin, at_corner = mask.bottom
    bottom = under_chin - (under_chin - at_corner) * np.abs(u) ** 2.2
    # Only the upper edge is drawn up over the nose: pleats run straight across.
    y = top + v * (bottom - top) - (on_cheek - on_nose) * np.exp(-np.square(x / 0.24)) * (1 - v) ** 4
    return np.stack([x, y, _depth(x, y, v, mask.bulge)], axis=-1)


def _depth(x: np.ndarray, y: np.ndarray, v: np.ndarray, bulge: float) -> np.ndarray:
    """How far the sheet is in front of the eyes: an oval head, and a tent over the nose that widens to the mouth."""
    half = 1.1 * (1 - np.clip(y / 1.9, 0, 0.999) ** 3.2) ** 0.6
    around = np.sqrt(np.clip(1 - np.square(x / half), 0.02, 1))
    back = _BACK + 0.5 * np.clip((y - 1.1) / 0.6, 0, 1)
    face = 0.15 * np.clip(y / 1.04, 0, 1)
    tent = 0.2 * (1 - v) - 0.02 * v + bulge * np.clip(4 * v * (1 - v), 0, 1) ** 0.7
    width = 0.16 + 0.9 * np.clip(v / 0.4, 0, 1)
    return back + (face - back) * around + tent * np.exp(-np.square(x / width))


def _brightness(points: np.ndarray) -> np.ndarray:
    """Light on a sheet (R, C, 3), about 1 in the mean: (R, C)."""
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return 0.66 + 0.42 * np.clip(normal @ _LIGHT, -0.3, 1)


def look(points: np.ndarray, head: HeadPose, placed: np.ndarray, size: tuple[int, int]) -> Seen:
    """Find which pixels show the sheet, and which place of it.

    The sheet is sampled so densely that each of its pixels holds a sample; where it hides itself, samples of the side
    that turns away are overwritten by those of the near side.

    Args:
        points: what `bend` returned.
        head: the head that it is bent around.
        placed: (rows, columns, 2), the points in pixels; (0, 0) is the corner of the first pixel.
        size: height and width of the picture.
    """
    values = np.concatenate([placed, _brightness(points)[..., None]], axis=-1).astype(np.float32)
    if head.towards[0] < 0:
        values = values[:, ::-1]
    down, across = (_places(values[..., :2], axis) for axis in (0, 1))
    # Columns first, so that the near ones come last.
    x, y, light = np.moveaxis(_resampled(_resampled(values, down).swapaxes(0, 1), across), -1, 0).reshape(3, -1)
    drawn = np.flatnonzero((x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]))
    sample = np.full(size, -1, np.int32)
    # Of several samples in one pixel NumPy keeps the last.
    sample[y[drawn].astype(np.int32), x[drawn].astype(np.int32)] = drawn
    inside = sample >= 0
    sample = sample[inside]
    column, row = np.divmod(sample, np.int32(len(down)))
    u = across[column] * np.float32(2 / (_COLUMNS - 1)) - 1
    return Seen(inside, -u if head.towards[0] < 0 else u, down[row] * np.float32(1 / (_ROWS - 1)), light[sample])


def _places(points: np.ndarray, axis: int) -> np.ndarray:
    """Choose places between the N rows or columns of points, 0 to N − 1, that lie `_STEP` pixels apart at most."""
    longest = np.linalg.norm(np.diff(points, axis=axis), axis=-1).max(axis=1 - axis)
    along = np.concatenate([[0], np.cumsum(longest)])
    count = 1 + int(along[-1] / _STEP)
    return np.interp((np.arange(count) + 0.5) * (along[-1] / count), along, np.arange(len(along))).astype(np.float32)


def _resampled(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate linearly between the rows of values (N, ...) at places of 0 to N − 1."""
    low = np.minimum(places.astype(np.int32), len(values) - 2)
    share = (places - low).reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    return values[low] * (1 - share) + values[low + 1] * share

"""Draw people and scenes with Pillow: shapes, wrinkles, light, blur and noise."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_tf.datasets.synthetic.geometry import EYE_Y, MIRROR, MOUTH_Y, NOSE_Y, Shapes, project

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


_LUMA = np.array([0.299, 0.587, 0.114])


class Layer(NamedTuple):
    """A shape of N faces: points (N, k, 2), RGB (N, 3), width of a line (0 fills), and who has it (N,)."""

    points: np.ndarray
    color: np.ndarray
    width: float = 0.0
    shown: np.ndarray | None = None


def _mix(a: np.ndarray, b: np.ndarray | tuple[int, int, int], share: float | np.ndarray) -> np.ndarray:
    return a + (np.asarray(b) - a) * share


def _skin_layers(
    who: SimpleNamespace, scenes: SimpleNamespace, shapes: Shapes, act: Mapping[str, np.ndarray]
) -> list[Layer]:
    """List body, head and wrinkles in painting order."""
    skin = who.skin
    layers = [
        Layer(shapes["hair_back"], 0.75 * who.hair, 0, who.hair_style != BALD),
        Layer(shapes["neck"], 0.72 * skin), Layer(shapes["shoulders"], scenes.clothes),
        Layer(shapes["ear_left"], 0.8 * skin), Layer(shapes["ear_right"], 0.8 * skin), Layer(shapes["head"], skin),
    ]  # fmt: skip
    strokes = wrinkles(who, act)
    # A fainter rim around each stroke makes its edge soft.
    for wider, deep in ((1.6, 0.4), (0.9, 1.0)):
        for points, width, level in strokes:
            layers.append(Layer(points, skin * (1 + deep * level), wider * width, np.abs(level[:, 0]) > 0.02))
    return layers


def _feature_layers(who: SimpleNamespace, shapes: Shapes) -> list[Layer]:
    """List hair, eyes, brows, nose, mouth and glasses in painting order."""
    skin, hair = who.skin, who.hair
    lip, black = _mix(0.75 * skin, (150, 40, 50), 0.35), np.full_like(skin, 11)
    layers = [
        Layer(shapes["hair_front"], hair, 0, who.hair_style != BALD),
        Layer(shapes["beard"], _mix(skin, hair, who.beard), 0, who.beard[:, 0] > 0),
    ]
    for side in ("left", "right"):
        layers += [
            Layer(shapes[f"eye_{side}"], _mix(skin, (236, 234, 230), 0.88)), Layer(shapes[f"iris_{side}"], who.iris),
            Layer(shapes[f"pupil_{side}"], black), Layer(shapes[f"lid_{side}"], 0.32 * skin, 0.036),
            Layer(shapes[f"brow_{side}"], 0.8 * _mix(hair, skin, 0.1)), Layer(shapes[f"nostril_{side}"], 0.4 * skin),
        ]  # fmt: skip
    layers += [Layer(shapes["lips"], _mix(lip, skin, 0.25)), Layer(shapes["upper_lip"], 0.92 * lip)]
    for name, color in (("opening", (46, 18, 20)), ("tongue", (138, 62, 62)), ("teeth", (236, 232, 222))):
        layers.append(Layer(shapes[name], np.full_like(skin, color)))
    return layers + [
        Layer(shapes[name], 2.6 * black, 0.03, who.glasses) for name in ("rim_left", "rim_right", "rim_bridge")
    ]


def _occluder_layers(who: SimpleNamespace, scenes: SimpleNamespace, shapes: Shapes) -> list[Layer]:
    """List what stands in front of some faces: a bar or sunglasses, a hand or a mask."""
    bar, sunglasses, hand, mask = (scenes.occluder == kind for kind in (BAR, SUNGLASSES, HAND, MASK))
    here, dark = scenes.place, np.full_like(who.skin, 22)
    bar_points = np.array([(-0.75, -0.5), (0.75, -0.5), (0.75, 0.04), (-0.75, 0.04)]) + here
    lens = np.array([(-0.24, -0.14), (0.24, -0.14), (0.22, 0.09), (0.1, 0.18), (-0.1, 0.18), (-0.22, 0.09)])
    arm = np.array([(-0.7, EYE_Y - 0.1), (0.7, EYE_Y - 0.1)]) + 0 * here
    top = np.array([(0.5, 0.12), (0.16, 0.04), (-0.16, 0.04), (-0.5, 0.12)]) + 0 * here
    cloth = _mix(scenes.clothes, (210, 225, 232), 0.6)
    layers = [
        Layer(bar_points, 0.5 * scenes.clothes, 0, bar), Layer(arm, dark, 0.05, sunglasses),
        *(Layer(lens + shapes[f"eye_{s}"].mean(axis=1, keepdims=True), dark, 0, sunglasses) for s in ("left", "right")),
        Layer(np.concatenate([shapes["jaw"][:, 3:30], top], axis=1), cloth, 0, mask),
        Layer(np.array([(-0.42, 0.45), (0.42, 0.45)]) + 0 * here, 0.85 * cloth, 0.03, mask),
    ]  # fmt: skip
    palm = np.array([(-1.2, 1.0), (-0.75, 0.4), (-0.45, 0.45), (-0.3, 1.0), (-0.5, 1.85), (-1.2, 1.85)])
    layers.append(Layer(palm + here, 0.84 * who.skin, 0, hand))
    for y, tone in ((-0.19, 0.9), (-0.06, 0.8), (0.07, 0.9), (0.2, 0.78)):
        finger = np.array([(-0.6, y + 0.14), (-0.35, y + 0.05), (-0.1, y), (0.4, y)]) + np.array([0, MOUTH_Y])
        layers.append(Layer(finger + here, tone * who.skin, 0.15, hand))
    return layers


def paint(
    who: SimpleNamespace, scenes: SimpleNamespace, poses: SimpleNamespace, shapes: Shapes,
    act: Mapping[str, np.ndarray], size: int, channels: int, rng: np.random.Generator,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Paint N faces, one at a time.

    Args:
        who, scenes: as `people` draws them.
        poses, shapes: as `geometry` draws and computes them.
        act: amounts of facial action; they deepen the wrinkles.
        size: pixels a side.
        channels: 1 (gray) or 3 (RGB).
        rng: of the camera noise.

    Yields:
        uint8 (size, size, channels).
    """
    fine = size * (3 if size < 96 else 2)
    layers = _skin_layers(who, scenes, shapes, act) + _feature_layers(who, shapes)
    placed = _placed(layers + _occluder_layers(who, scenes, shapes), poses, fine, channels)
    upper, lower = _inks(scenes.upper, channels), _inks(scenes.lower, channels)
    ramp = Image.linear_gradient("L").resize((fine, fine))
    for row in range(len(who.skin)):
        canvas = Image.new("L" if channels == 1 else "RGB", ramp.size, upper[row])
        canvas.paste(lower[row], mask=ramp)
        _draw(canvas, placed, row)
        lens = ImageFilter.BoxBlur(float(scenes.blur[row, 0]) * size)
        picture = np.array(canvas.reduce(fine // size).filter(lens), np.float32).reshape(size, size, channels)
        yield _lit(picture, row, scenes, poses, rng)


def _inks(colors: np.ndarray, channels: int) -> list:
    """Turn RGB rows (N, 3) into what Pillow fills with: tuples, or their luma for gray."""
    if channels == 1:
        return (colors @ _LUMA).round().astype(int).tolist()
    return [tuple(row) for row in colors.round().astype(int).tolist()]


def _placed(layers: list[Layer], poses: SimpleNamespace, fine: int, channels: int) -> list[tuple]:
    """Place layers on canvases of `fine` pixels: flat coordinates, ink, line width and presence, one a face each."""
    pixels = (project(np.concatenate([layer.points for layer in layers], axis=1), poses) + 1) * (0.5 * fine)
    ends = np.cumsum([2 * layer.points.shape[1] for layer in layers])
    placed = []
    for layer, xy in zip(layers, np.split(pixels.reshape(len(pixels), -1), ends[:-1], axis=1), strict=True):
        widths = np.maximum(0.5 * fine * layer.width * poses.scale[:, 0], 1).round().astype(int).tolist()
        shown = [True] * len(xy) if layer.shown is None else layer.shown.tolist()
        placed.append((xy.tolist(), _inks(layer.color, channels), widths if layer.width else None, shown))
    return placed


def _draw(canvas: Image.Image, placed: list[tuple], row: int) -> None:
    pen = ImageDraw.Draw(canvas)
    for xy, inks, widths, shown in placed:
        if shown[row] and widths:
            pen.line(xy[row], inks[row], widths[row])
        elif shown[row]:
            pen.polygon(xy[row], inks[row])


def _lit(
    picture: np.ndarray, row: int, scenes: SimpleNamespace, poses: SimpleNamespace, rng: np.random.Generator
) -> np.ndarray:
    """Light the face from one side, darker where the head turns away; apply contrast and noise; return uint8."""
    size, scale = len(picture), float(poses.scale[row, 0])
    (across, down), (right, below) = scenes.light[row].tolist(), poses.shift[row].tolist()
    grid = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    u, v = (grid - right) / (0.78 * scale), (grid - below) / (1.1 * scale)
    columns, rows = 1.06 + across * u - 0.13 * np.minimum(u * u, 1.4), down * v - 0.08 * v * v
    contrast, noise = float(scenes.contrast[row, 0]), float(scenes.noise[row, 0])
    light = np.maximum(columns + rows[:, None], 0.25) * np.float32(scenes.brightness[row, 0] * contrast)
    shifted = noise * rng.standard_normal((size, size), dtype=np.float32) + np.float32(128 * (1 - contrast))
    picture *= light[..., None]
    picture += shifted[..., None]
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)

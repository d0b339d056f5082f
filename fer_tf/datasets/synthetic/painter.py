"""Paint faces with Pillow: shapes, then light, lens blur and camera noise."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_tf.datasets.synthetic.geometry import EYE_Y, MOUTH_Y, Shapes, project
from fer_tf.datasets.synthetic.people import BALD, BAR, HAND, MASK, SUNGLASSES
from fer_tf.datasets.synthetic.wrinkles import wrinkles

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

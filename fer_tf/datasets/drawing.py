"""Paints faces with Pillow: flat shapes, soft folds and shadows, light, things in front of them, camera noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_tf.datasets.draws import RowDraws, take_rows
from fer_tf.datasets.folds import folds
from fer_tf.datasets.geometry import EYE_Y, MOUTH_Y, Acts, Poses, Shapes, project, ribbons
from fer_tf.datasets.people import BALD, People

CLEAR, EYES, MOUTH = range(3)
OCCLUDERS = ("nothing", "bar", "sunglasses", "hand", "mask")
HIDES = np.array([CLEAR, EYES, EYES, MOUTH, MOUTH])

_LUMA = np.array([0.299, 0.587, 0.114])
_NEUTRAL = 128


@dataclass(frozen=True)
class Scenes:
    """What surrounds N faces: light, camera, background, clothes, and a thing in front.

    Attributes:
        light: (N, 2), change of brightness to the right and downward, as a share of it.
        brightness: (N, 1), factor on all levels.
        contrast: (N, 1), factor on the distance of each level to mid-grey.
        noise: (N, 1), standard deviation of the camera noise, in grey levels.
        blur: (N, 1), radius of the lens blur, as a share of the picture.
        upper: (N, 3), RGB of the background's upper edge.
        lower: (N, 3), RGB of its lower edge.
        clothes: (N, 3), RGB.
        occluder: int (N, 1), index into ``OCCLUDERS``.
        place: (N, 2), how far the occluder sits from its usual place, in face units.
    """

    light: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    noise: np.ndarray
    blur: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    clothes: np.ndarray
    occluder: np.ndarray
    place: np.ndarray

    @property
    def hidden(self) -> np.ndarray:
        """What the occluder covers, int (N, 1): ``CLEAR``, ``EYES`` or ``MOUTH``."""
        return HIDES[self.occluder]


def draw_scenes(draws: RowDraws, occlusion: float) -> Scenes:
    """Draw light, camera and background, and with probability ``occlusion`` something in front of the face."""
    wall = draws.uniform(25, 225) + draws.uniform(-28, 28, columns=3)
    kind = 1 + draws.integers(len(OCCLUDERS) - 1)
    return Scenes(
        light=np.concatenate([draws.normal(0, 0.2), draws.normal(-0.05, 0.09)], axis=1),
        brightness=draws.uniform(0.82, 1.18), contrast=draws.uniform(0.8, 1.25), noise=draws.uniform(1, 7),
        blur=draws.uniform(0, 0.011), upper=np.clip(wall, 0, 255), lower=np.clip(wall + draws.uniform(-50, 50), 0, 255),
        clothes=np.clip(draws.uniform(20, 210) + draws.uniform(-40, 40, columns=3), 0, 255),
        occluder=np.where(draws.happens(occlusion), kind, 0), place=draws.normal(0, 0.035, columns=2),
    )  # fmt: skip


def _mix(a: np.ndarray, b: np.ndarray | tuple[int, int, int], share: float | np.ndarray) -> np.ndarray:
    return a + (np.asarray(b) - a) * share


def _all(rows: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=float), rows.shape)


def palette(who: People, scenes: Scenes) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """List the shapes in painting order: name, colours (N, 3), and who has them, bool (N, 1) or ``None`` for all."""
    skin, hair = who.skin, who.hair
    lip = _mix(0.75 * skin, (150, 40, 50), 0.35)
    haired, bearded, rimmed = who.hair_style != BALD, who.beard > 0, who.glasses
    order = [
        ("hair_back", 0.75 * hair, haired), ("neck", 0.72 * skin, None), ("shoulders", scenes.clothes, None),
        ("ear_left", 0.8 * skin, None), ("ear_right", 0.8 * skin, None), ("head", skin, None),
        ("hair_front", hair, haired), ("beard", _mix(skin, hair, who.beard), bearded),
    ]  # fmt: skip
    for side in ("left", "right"):
        order += [
            (f"eye_{side}", _mix(skin, (236, 234, 230), 0.88), None), (f"iris_{side}", who.iris, None),
            (f"pupil_{side}", _all(skin, (11, 11, 11)), None), (f"lid_{side}", 0.32 * skin, None),
            (f"brow_{side}", 0.8 * _mix(hair, skin, 0.1), None), (f"nostril_{side}", 0.4 * skin, None),
        ]  # fmt: skip
    order += [
        ("moustache", _mix(skin, hair, 0.9 * who.beard), bearded), ("lower_lip", _mix(lip, skin, 0.25), None),
        ("upper_lip", 0.92 * lip, None), ("opening", _all(skin, (46, 18, 20)), None),
        ("tongue", _all(skin, (138, 62, 62)), None), ("teeth", _all(skin, (236, 232, 222)), None),
    ]  # fmt: skip
    return order + [(name, _all(skin, (30, 28, 28)), rimmed) for name in ("rim_left", "rim_right", "rim_bridge")]


def cover(kind: str, row: int, who: People, scenes: Scenes, shapes: Shapes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make what stands in front of face ``row``: polygons (k, 2) in face units with their colours (3,)."""
    place, skin, cloth = scenes.place[row], who.skin[row], scenes.clothes[row]
    if kind == "bar":
        return [(np.array([(-0.75, -0.5), (0.75, -0.5), (0.75, 0.04), (-0.75, 0.04)]) + place, 0.5 * cloth)]
    if kind == "sunglasses":
        lens = np.array([(-0.24, -0.14), (0.24, -0.14), (0.22, 0.09), (0.1, 0.18), (-0.1, 0.18), (-0.22, 0.09)])
        arm = np.array([(-0.7, -0.13), (0.7, -0.13), (0.7, -0.08), (-0.7, -0.08)]) + np.array([0, EYE_Y])
        eyes = [shapes[f"eye_{side}"][row].mean(axis=0) for side in ("left", "right")]
        return [(points, np.full(3, 22.0)) for points in (arm, lens + eyes[0], lens + eyes[1])]
    if kind == "mask":
        top = np.array([(0.5, 0.12), (0.16, 0.04), (-0.16, 0.04), (-0.5, 0.12)])
        pleat = np.array([(-0.42, 0.44), (0.42, 0.44), (0.42, 0.47), (-0.42, 0.47)])
        colour = _mix(cloth, (210, 225, 232), 0.6)
        return [(np.concatenate([shapes["jaw"][row, 3:30], top]), colour), (pleat, 0.85 * colour)]
    centre = np.array([0.0, MOUTH_Y]) + place
    rows = np.array([[(-0.6, y + 0.12), (-0.1, y - 0.02), (0.4, y)] for y in (-0.19, -0.06, 0.07, 0.2)]) + centre
    palm = np.array([(-1.2, 1.0), (-0.75, 0.4), (-0.45, 0.45), (-0.3, 1.0), (-0.5, 1.85), (-1.2, 1.85)]) + place
    fingers = zip(ribbons(rows, np.full(4, 0.18)), (0.9, 0.8, 0.9, 0.78), strict=True)
    return [(palm, 0.84 * skin), *((points, tone * skin) for points, tone in fingers)]


def to_pixels(points: np.ndarray, poses: Poses, size: float) -> np.ndarray:
    """Place face points (N, K, 2) in pictures of ``size`` pixels; (0, 0) is the corner of the first pixel."""
    return (project(points, poses) + 1) * (0.5 * size)


class Painter:
    """Paints faces of one size and mode.

    Args:
        size: pixels a side.
        channels: 1 (gray) or 3 (RGB).
    """

    def __init__(self, size: int, channels: int):
        self.size, self.mode = size, "L" if channels == 1 else "RGB"
        self._fine = 3 if size < 96 else 2
        self._soft = 2 if size < 96 else 1
        self._grid = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
        self._ramp = Image.linear_gradient("L").resize((size * self._fine,) * 2)

    def paint(
        self, who: People, poses: Poses, scenes: Scenes, shapes: Shapes, act: Acts, draws: RowDraws, count: int
    ) -> Iterator[np.ndarray]:
        """Paint the first ``count`` of N faces.

        Args:
            who: colours and features.
            poses: where the heads are.
            scenes: light, camera, background, occluder.
            shapes: what ``face_shapes`` returned.
            act: amounts of facial action; they deepen the folds.
            draws: its generators make the camera noise.
            count: M ≤ N.

        Yields:
            uint8 (size, size, channels), M times.
        """
        layers = [(name, self._inks(colour), has) for name, colour, has in palette(who, scenes)]
        solid = self._flat({name: shapes[name] for name, _, _ in layers}, poses, self._fine)
        strokes, levels = folds(who, act)
        soft = self._flat({str(i): strokes[:, i] for i in range(strokes.shape[1])}, poses, self._soft)
        upper, lower = self._inks(scenes.upper), self._inks(scenes.lower)
        for j in range(count):
            front = self._front(j, who, poses, scenes, shapes)
            canvas = Image.new(self.mode, self._ramp.size, upper[j])
            canvas.paste(lower[j], mask=self._ramp)
            visible = [(solid[name][j], inks[j]) for name, inks, has in layers if has is None or has[j, 0]]
            self._fill(canvas, [*visible, *((points * self._fine, ink) for points, ink in front)])
            shade = Image.new("L", (self.size * self._soft,) * 2, _NEUTRAL)
            tones = (_NEUTRAL + levels[j]).round().astype(int).tolist()
            cast = [(soft[str(i)][j], tone) for i, tone in enumerate(tones) if abs(tone - _NEUTRAL) > 2]
            self._fill(shade, [*cast, *((points * self._soft, _NEUTRAL) for points, _ in front)])
            yield self._develop(canvas, shade, j, poses, scenes, draws.rngs[j])

    def _inks(self, colours: np.ndarray) -> list[int] | list[tuple[int, int, int]]:
        """Turn RGB rows (N, 3) into what Pillow fills with: tuples, or their luma for gray."""
        if self.mode == "L":
            return (colours @ _LUMA).round().astype(int).tolist()
        return [tuple(row) for row in colours.round().astype(int).tolist()]

    def _flat(self, shapes: Shapes, poses: Poses, scale: int) -> dict[str, np.ndarray]:
        """Place all shapes in one go; from the name to rows (N, 2k) of x0, y0, x1, y1, …"""
        pixels = to_pixels(np.concatenate(list(shapes.values()), axis=1), poses, self.size * scale)
        flat = pixels.reshape(len(pixels), -1)
        ends = np.cumsum([2 * points.shape[1] for points in shapes.values()])
        return dict(zip(shapes, np.split(flat, ends[:-1], axis=1), strict=True))

    def _front(
        self, row: int, who: People, poses: Poses, scenes: Scenes, shapes: Shapes
    ) -> list[tuple[np.ndarray, object]]:
        """Place what covers one face: flat points in pixels, and inks."""
        kind = OCCLUDERS[scenes.occluder[row, 0]]
        if kind == "nothing":
            return []
        pose = take_rows(poses, slice(row, row + 1))
        return [
            (to_pixels(points[None], pose, self.size).ravel(), self._inks(colour[None])[0])
            for points, colour in cover(kind, row, who, scenes, shapes)
        ]

    @staticmethod
    def _fill(canvas: Image.Image, polygons: list[tuple[np.ndarray, object]]) -> None:
        draw = ImageDraw.Draw(canvas)
        for points, ink in polygons:
            draw.polygon(points.tolist(), fill=ink)

    def _develop(
        self, canvas: Image.Image, shade: Image.Image, row: int, poses: Poses, scenes: Scenes, rng: np.random.Generator
    ) -> np.ndarray:
        """Average the fine canvas, apply lens, folds, light, contrast and noise; return uint8."""
        picture = canvas.reduce(self._fine).filter(ImageFilter.BoxBlur(float(scenes.blur[row, 0]) * self.size))
        shade = shade.filter(ImageFilter.BoxBlur(0.008 * self.size * self._soft)).reduce(self._soft)
        contrast = float(scenes.contrast[row, 0])
        gain = float(scenes.brightness[row, 0]) * contrast / _NEUTRAL
        field = self._light(row, poses, scenes) * np.asarray(shade) * np.float32(gain)
        noise = rng.standard_normal((self.size, self.size), dtype=np.float32) * np.float32(scenes.noise[row, 0])
        noise += np.float32(128 * (1 - contrast))
        pixels = np.asarray(picture).reshape(self.size, self.size, -1) * field[..., None] + noise[..., None]
        return np.clip(pixels, 0, 255).astype(np.uint8)

    def _light(self, row: int, poses: Poses, scenes: Scenes) -> np.ndarray:
        """Brightness over the picture, float32 (size, size): from one side, and darker where the head turns away."""
        (across, down), (right, below) = scenes.light[row].tolist(), poses.shift[row].tolist()
        scale = float(poses.scale[row, 0])
        u, v = (self._grid - right) / (0.78 * scale), (self._grid - below) / (1.1 * scale)
        beside = across * u - 0.13 * np.minimum(u * u, 1.4)
        return np.maximum(1.06 + beside + (down * v - 0.08 * v * v)[:, None], 0.25)

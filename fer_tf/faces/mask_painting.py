"""Paints a mask on a picture: enlarged, lit as the face is, averaged down, with its shadow."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_tf.faces import mask_surface, mesh
from fer_tf.faces.head import Head
from fer_tf.faces.mask_kinds import Mask

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# A mask is painted about this many pixels wide or more, so that 48-pixel faces are antialiased too.
_FINE_WIDTH = 170
MOST_FINE = 8
# Pixels are coloured in pieces of this many: temporaries stay in the cache.
_PIECE = 30_000
# Luma of the brightest tenth of a well-lit face, and the saturation of one in full colour.
_WELL_LIT, _COLOURFUL = 190.0, 0.18


@dataclass(frozen=True)
class Tone:
    """What the face tells of the light: brightness as a factor, more of it on the right (−1 to 1), colour (0 to 1)."""

    gain: float
    side: float
    colour: float


def tone(pixels: np.ndarray, u: np.ndarray) -> Tone:
    """Measure the light on the skin that a mask will cover.

    Args:
        pixels: (N, 3), RGB under the mask, N ≥ 1.
        u: (N,), where they lie on it.
    """
    luma = pixels @ _LUMA
    # The brightest tenth says more of the light than the mean does, which skin and beard decide. Less than in
    # proportion, since a dark face is in part a dark skin.
    gain = float(np.clip((np.quantile(luma, 0.9) / _WELL_LIT) ** 0.85, 0.08, 1.05))
    sides = [luma[part].mean() if part.any() else luma.mean() for part in (u < -0.2, u > 0.2)]
    side = float(np.clip((sides[1] - sides[0]) / max(sides[0] + sides[1], 1e-6), -0.3, 0.3))
    strongest = pixels.max(axis=1)
    saturation = float((strongest - pixels.min(axis=1)).mean() / max(float(strongest.mean()), 1e-6))
    return Tone(gain, side, min(1.0, saturation / _COLOURFUL))


class Wearing:
    """One mask on one face of one picture.

    Args:
        image: uint8 (H, W, 1 or 3).
        head: where the face is.
        mask: what it wears.
        fine: how many times finer than the picture it is painted, 1 to ``MOST_FINE``; ``None`` goes by its width.
    """

    def __init__(self, image: np.ndarray, head: Head, mask: Mask, fine: int | None = None):
        self.image, self.head, self.mask = image, head, mask
        self.points, self.uv = mask_surface.sheet(mask.cut)
        self.bands = [
            (band, head.place(points))
            for band in mask.bands
            for points in (band.points, band.points * (-1, 1, 1))
            if mask_surface.visible(points, head)
        ]
        self.placed = head.place(self.points)
        width = float(np.ptp(self.placed.reshape(-1, 2), axis=0).max())
        by_width = np.clip(np.ceil(_FINE_WIDTH / max(width, 1.0)), 1 if width > 900 else 2, MOST_FINE)
        self.fine = int(by_width) if fine is None else fine
        # Only the part of the picture that mask, bands and shadow reach is touched.
        everything = np.concatenate([self.placed.reshape(-1, 2), *(points for _, points in self.bands)])
        margin, limit = 0.3 * head.scale + 1, np.array(image.shape[1::-1])
        self.low = np.clip(np.floor(everything.min(axis=0) - margin), 0, limit).astype(int)
        self.high = np.clip(np.ceil(everything.max(axis=0) + margin), 0, limit).astype(int)

    def painted(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture with the mask, uint8, and what the mask covers of each pixel, float32 (H, W)."""
        out, alpha = self.image.copy(), np.zeros(self.image.shape[:2], np.float32)
        (x0, y0), (x1, y1) = self.low, self.high
        if x1 <= x0 or y1 <= y0:
            return out, alpha
        values, inside = self._sheet()
        on_face = self._shrunk(inside.astype(np.float32))
        if not on_face.any():
            return out, alpha
        under = np.broadcast_to(self.image[y0:y1, x0:x1], (y1 - y0, x1 - x0, 3)).astype(np.float32)
        covered = on_face > 0
        light = tone(under[covered], (self._shrunk(values[..., 0]) / np.maximum(on_face, 1e-6))[covered])
        colours, cover = self._bands(light)
        values = values[inside]
        pieces = [self._lit(values[i : i + _PIECE], light) for i in range(0, len(values), _PIECE)]
        colours[inside], cover[inside] = np.concatenate(pieces), 1
        share = self._shrunk(cover)
        # The nothing beside the mask is averaged in as black; dividing by the share takes it out again.
        ink = self._shrunk(colours) / np.maximum(share, 1e-6)[..., None]
        ink += rng.standard_normal(share.shape, dtype=np.float32)[..., None] * 1.2
        shadow = self._shadow(on_face)
        mixed = under * (1 - shadow)[..., None]
        mixed += (_soft_white(ink) - mixed) * share[..., None]
        mixed = mixed @ _LUMA[:, None] if self.image.shape[-1] == 1 else mixed
        out[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        alpha[y0:y1, x0:x1] = share
        return out, alpha

    def _sheet(self) -> tuple[np.ndarray, np.ndarray]:
        """Return u, v and light at every fine pixel (h, w, 3), and which of them the sheet covers."""
        values = np.concatenate([self.uv, mask_surface.brightness(self.points)[..., None]], axis=-1)
        width, height = (self.high - self.low) * self.fine
        return mesh.fill(self._fine(self.placed), self.points @ self.head.towards, values, (int(height), int(width)))

    def _lit(self, values: np.ndarray, light: Tone) -> np.ndarray:
        """Colour the sheet's pixels (N, 3) of u, v and brightness; return RGB."""
        u, v, brightness = np.ascontiguousarray(values.T)
        pixel = 1 / max(self.head.scale, 1e-6)
        shade = brightness * (1 + light.side * 1.4 * u) * light.gain
        return self._toned(self.mask.paint(u, v, pixel), light) * shade[:, None]

    def _bands(self, light: Tone) -> tuple[np.ndarray, np.ndarray]:
        """Draw loops or straps: RGB (h, w, 3), black beside them, and their cover (h, w)."""
        width, height = (int(n) for n in (self.high - self.low) * self.fine)
        colours, cover = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
        for band, points in self.bands:
            line = _smooth(self._fine(points))
            thick = band.thickness * self.head.scale * self.fine
            ink = self._toned(band.ink[None], light)[0] * light.gain
            # A darker edge under a lighter core rounds the band.
            tones = _stroke(line, thick, (height, width)) * 0.78 + _stroke(line, 0.6 * thick, (height, width)) * 0.17
            drawn = tones > 0
            y, x = np.nonzero(drawn)
            end = np.hypot(x - line[-1, 0], y - line[-1, 1]) / (0.3 * self.head.scale * self.fine)
            share = np.minimum(end, 1).astype(np.float32)
            colours[drawn] = ink * tones[drawn, None] * share[:, None]
            cover[drawn] = share
        return colours, cover

    def _shadow(self, on_face: np.ndarray) -> np.ndarray:
        """Return the share of light that the mask keeps from what lies beside and below it, float32 (h, w)."""
        drop = 0.05 * self.head.camera[:, 1]
        picture = Image.fromarray((on_face * 255).astype(np.uint8))
        moved = picture.transform(
            picture.size, Image.Transform.AFFINE, (1, 0, -drop[0], 0, 1, -drop[1]), Image.Resampling.BILINEAR
        )
        blurred = moved.filter(ImageFilter.GaussianBlur(0.055 * self.head.scale))
        return np.asarray(blurred).astype(np.float32) * np.float32(0.42 / 255)

    def _toned(self, colours: np.ndarray, light: Tone) -> np.ndarray:
        """Take out of colours (N, 3) what the picture has none of."""
        gray = (colours @ _LUMA)[:, None]
        return gray + (colours - gray) * light.colour

    def _fine(self, points: np.ndarray) -> np.ndarray:
        return (points - self.low) * self.fine

    def _shrunk(self, values: np.ndarray) -> np.ndarray:
        """Average fine pixels (h, w, …) to those of the picture; where they are the same, soften over neighbours."""
        if self.fine > 1:
            rows = values.reshape(-1, self.fine, *values.shape[1:]).sum(axis=1)
            # One addition a column: NumPy adds up short inner axes several times slower.
            return sum(rows[:, i :: self.fine] for i in range(self.fine)) * np.float32(1 / self.fine**2)
        height, width = values.shape[:2]
        padded = np.pad(values, [(1, 1), (1, 1), (0, 0)][: values.ndim], mode="edge")
        rows = 0.5 * padded[1:-1] + 0.25 * (padded[:height] + padded[2:])
        return 0.5 * rows[:, 1:-1] + 0.25 * (rows[:, :width] + rows[:, 2:])


def _soft_white(ink: np.ndarray) -> np.ndarray:
    """Bend the brightest levels below 255, as cameras do: white masks keep their folds."""
    over = np.maximum(ink - 205, 0)
    return np.clip(np.minimum(ink, 205) + 50 * (1 - np.exp(-over / 50)), 0, 255)


def _stroke(line: np.ndarray, thickness: float, size: tuple[int, int]) -> np.ndarray:
    """Draw a line (P, 2) on a picture of height and width ``size``, float32 0 or 1."""
    canvas = Image.new("L", size[::-1])
    ImageDraw.Draw(canvas).line(
        [tuple(p) for p in line.tolist()], fill=1, width=max(1, round(thickness)), joint="curve"
    )
    return np.asarray(canvas).astype(np.float32)


def _smooth(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """Draw a curve (Catmull-Rom) through points (P, 2)."""
    ends = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])

"""Faces drawn on their picture: a box, the label, and the distribution as bars where there is room beside it."""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_tf.inference.records import Face

# A colour a class, by its spelling in conversions (fer_tf.labels.SYNONYMS); Okabe and Ito's and two that go with them.
CLASS_COLOURS = {
    "neutral": "#999999", "happy": "#E69F00", "surprise": "#F0E442", "sad": "#56B4E9", "angry": "#D55E00",
    "disgust": "#009E73", "fear": "#CC79A7", "contempt": "#0072B2", "positive": "#E69F00", "negative": "#D55E00",
}  # fmt: skip
FURTHER_COLOURS = ("#7f3c8d", "#11a579", "#3969ac", "#f2b701", "#e73f74", "#80ba5a")
INK, PAPER, TRACK = (20, 22, 26), (255, 255, 255), (120, 124, 130)
# A picture smaller than this is enlarged, since letters would hide it.
SMALLEST = 640
Box = tuple[float, float, float, float]


def colours(classes: Sequence[str]) -> dict[str, str]:
    """Return a colour for each class, the same for "happy" and "happiness"."""
    from fer_tf.labels import SYNONYMS

    plain = {name: SYNONYMS.get(name, name) for name in classes}
    return {
        name: CLASS_COLOURS.get(plain[name], FURTHER_COLOURS[i % len(FURTHER_COLOURS)])
        for i, name in enumerate(classes)
    }


def annotated(picture: np.ndarray, faces: Sequence[Face], enlarge: bool = True) -> np.ndarray:
    """Draw faces on a copy of their picture.

    Args:
        picture: uint8 (H, W, 3).
        faces: of this picture.
        enlarge: bring a picture whose longer side is below ``SMALLEST`` to that, smoothly.

    Returns:
        uint8, the picture's shape or an enlarged one.
    """
    height, width = picture.shape[:2]
    scale = max(1.0, SMALLEST / max(height, width)) if enlarge else 1.0
    image = Image.fromarray(picture)
    if scale > 1:
        image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    if not faces:
        return np.asarray(image)
    boxes = [tuple(v * scale for v in face.box) for face in faces]
    draw, colour = ImageDraw.Draw(image, "RGBA"), colours(list(faces[0].distribution))
    # The largest first, whose bars are the most wanted.
    order = sorted(range(len(faces)), key=lambda i: _area(boxes[i]), reverse=True)
    drawn = [_Drawn(draw, image.size, boxes[i], faces[i], colour) for i in order]
    for one in drawn:
        one.draw_box()
    taken = boxes + [one.draw_label() for one in drawn]
    for one in drawn:
        taken += one.draw_bars(taken)
    return np.asarray(image)


class _Drawn:
    """One face on one picture; letters are as large as the face allows and the picture needs."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, face: Face, colour: dict[str, str]):
        longest = max(size)
        self._row = float(np.clip((box[3] - box[1]) / 5, max(11, longest / 110), max(11, min(48, longest / 45))))
        self._draw, self._size, self._box, self._face, self._colour = draw, size, box, face, colour
        self._font = _font(round(self._row * 0.82))
        self._line = max(2, round(self._row / 7))

    def draw_box(self) -> None:
        # Dark around the colour, so that it is seen on any picture.
        for grow, colour, line in ((1, INK, self._line + 2), (0, self._colour[self._face.label], self._line)):
            x0, y0, x1, y1 = self._box
            self._draw.rectangle((x0 - grow, y0 - grow, max(x0, x1) + grow, max(y0, y1) + grow), None, colour, line)

    def draw_label(self) -> Box:
        """Write the class and its probability above the box, or inside it at the picture's edge."""
        box, face = self._box, self._face
        text = f"{face.label} {100 * face.distribution[face.label]:.0f} %"
        if face.track is not None:
            text = f"{face.track + 1}: {text}"
        width, height = self._font.getlength(text) + self._row * 0.6, self._row * 1.25
        x0 = _inside(box[0], width, self._size[0])
        place = (x0, box[1] - height, x0 + width, box[1])
        if place[1] < 0:
            place = (x0, max(0.0, box[1]), x0 + width, max(0.0, box[1]) + height)
        self._draw.rectangle(place, fill=self._colour[face.label])
        self._write(place[0] + self._row * 0.3, place[1] + height / 2, text, INK)
        return place

    def draw_bars(self, taken: Sequence[Box]) -> list[Box]:
        """Draw the distribution beside the box; not at all where it would hide something."""
        row, pad = self._row, self._row * 0.35
        bar, names = row * 4, max(self._font.getlength(name) for name in self._colour)
        size = names + bar + self._font.getlength("100 %") + 4 * pad, row * len(self._colour) + 2 * pad
        place = next((p for p in _beside(self._box, *size, self._line + row / 3) if self._is_free(p, taken)), None)
        if place is None:
            return []
        self._draw.rectangle(place, fill=(*INK, 175))
        start = place[0] + 2 * pad + names
        for i, (name, value) in enumerate(self._face.distribution.items()):
            y = place[1] + pad + row * (i + 0.5)
            self._write(place[0] + pad, y, name, PAPER)
            self._draw.rectangle((start, y - row * 0.32, start + bar, y + row * 0.32), fill=(*TRACK, 110))
            if value * bar >= 0.5:
                filled = (start, y - row * 0.32, start + value * bar, y + row * 0.32)
                self._draw.rectangle(filled, fill=self._colour[name])
            text = f"{100 * value:.0f} %"
            self._write(place[2] - pad - self._font.getlength(text), y, text, PAPER)
        return [place]

    def _write(self, x: float, y: float, text: str, colour: tuple[int, int, int]) -> None:
        """Write from x to the right, in the middle of y."""
        letters, (left, top) = _letters(text, round(self._row * 0.82))
        self._draw.bitmap((round(x) + left, round(y) + top), letters, colour)

    def _is_free(self, place: Box, taken: Iterable[Box]) -> bool:
        width, height = self._size
        inside = place[0] >= 0 and place[1] >= 0 and place[2] <= width and place[3] <= height
        return inside and not any(_meet(place, other) for other in taken)


@functools.lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


# Kept, since the same few words are written on each frame of a video.
@functools.lru_cache(maxsize=2048)
def _letters(text: str, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return a mask of the text, and where its corner is from the middle of its left edge."""
    left, top, right, bottom = _font(size).getbbox(text, anchor="lm")
    mask = Image.new("L", (max(1, math.ceil(right - left)), max(1, math.ceil(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, _font(size), anchor="lm")
    return mask, (round(left), round(top))


def _beside(box: Box, width: float, height: float, gap: float) -> Iterator[Box]:
    """Yield places for a panel: right and left of the box, level with its top and bottom; below and above it."""
    x0, y0, x1, y1 = box
    for left in (x1 + gap, x0 - gap - width):
        for top in (y0, y1 - height):
            yield left, top, left + width, top + height
    for top in (y1 + gap, y0 - 2 * gap - height):
        for left in (x0, x1 - width):
            yield left, top, left + width, top + height


def _inside(start: float, length: float, limit: float) -> float:
    return max(0.0, min(start, limit - length))


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

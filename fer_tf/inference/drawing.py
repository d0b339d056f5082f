"""Draw boxes, labels and distributions on photographs."""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_tf.inference.output import Face
from fer_tf.labels import SYNONYMS

# A color for each class, by its canonical name (fer_tf.labels.SYNONYMS): the Okabe-Ito palette and two more.
CLASS_COLORS = {
    "neutral": "#999999", "happy": "#E69F00", "surprise": "#F0E442", "sad": "#56B4E9", "angry": "#D55E00",
    "disgust": "#009E73", "fear": "#CC79A7", "contempt": "#0072B2", "positive": "#E69F00", "negative": "#D55E00",
}  # fmt: skip
FURTHER_COLORS = ("#7f3c8d", "#11a579", "#3969ac", "#f2b701", "#e73f74", "#80ba5a")
INK, PAPER, TRACK = (20, 22, 26), (255, 255, 255), (120, 124, 130)
# A smaller picture is enlarged, because letters would hide it.
SMALLEST = 640
Box = tuple[float, float, float, float]


def colors(classes: Sequence[str]) -> dict[str, str]:
    """Return a color for each class; "happy" and "happiness" get the same one."""
    plain = {name: SYNONYMS.get(name, name) for name in classes}
    return {
        name: CLASS_COLORS.get(plain[name], FURTHER_COLORS[i % len(FURTHER_COLORS)]) for i, name in enumerate(classes)
    }


def annotate(picture: np.ndarray, faces: Sequence[Face], enlarge: bool = True) -> np.ndarray:
    """Draw boxes, labels and, where there is room, distribution bars on a copy of a picture.

    Args:
        picture: uint8 array of shape (H, W, 3).
        faces: The faces of this picture.
        enlarge: Enlarge a picture whose longer side is below ``SMALLEST`` pixels to that size.

    Returns:
        uint8 array of shape (H, W, 3), or larger if the picture was enlarged.

    Example:
        >>> import numpy as np
        >>> annotate(np.zeros((100, 320, 3), np.uint8), []).shape
        (200, 640, 3)
    """
    height, width = picture.shape[:2]
    scale = max(1.0, SMALLEST / max(height, width)) if enlarge else 1.0
    image = Image.fromarray(picture)
    if scale > 1:
        image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    if not faces:
        return np.asarray(image)
    boxes = [tuple(v * scale for v in face.box) for face in faces]
    draw, color = ImageDraw.Draw(image, "RGBA"), colors(list(faces[0].distribution))
    # The largest face first, because its bars matter most.
    order = sorted(range(len(faces)), key=lambda i: _area(boxes[i]), reverse=True)
    drawn = [_Drawn(draw, image.size, boxes[i], faces[i], color) for i in order]
    for one in drawn:
        one.draw_box()
    taken = boxes + [one.draw_label() for one in drawn]
    for one in drawn:
        taken += one.draw_bars(taken)
    return np.asarray(image)


class _Drawn:
    """Draw one face; the size of letters follows the size of the face and of the picture."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, face: Face, color: dict[str, str]):
        longest = max(size)
        self._row = float(np.clip((box[3] - box[1]) / 5, max(11, longest / 110), max(11, min(48, longest / 45))))
        self._draw, self._size, self._box, self._face, self._color = draw, size, box, face, color
        self._font = _font(round(self._row * 0.82))
        self._line = max(2, round(self._row / 7))

    def draw_box(self) -> None:
        # A dark outline, so that the color is visible on any picture.
        for grow, color, line in ((1, INK, self._line + 2), (0, self._color[self._face.label], self._line)):
            x0, y0, x1, y1 = self._box
            self._draw.rectangle((x0 - grow, y0 - grow, max(x0, x1) + grow, max(y0, y1) + grow), None, color, line)

    def draw_label(self) -> Box:
        """Write the class and its probability above the box, or inside it at the edge of the picture."""
        box, face = self._box, self._face
        text = f"{face.label} {100 * face.distribution[face.label]:.0f} %"
        if face.track is not None:
            text = f"{face.track + 1}: {text}"
        width, height = self._font.getlength(text) + self._row * 0.6, self._row * 1.25
        x0 = _inside(box[0], width, self._size[0])
        place = (x0, box[1] - height, x0 + width, box[1])
        if place[1] < 0:
            place = (x0, max(0.0, box[1]), x0 + width, max(0.0, box[1]) + height)
        self._draw.rectangle(place, fill=self._color[face.label])
        self._write(place[0] + self._row * 0.3, place[1] + height / 2, text, INK)
        return place

    def draw_bars(self, taken: Sequence[Box]) -> list[Box]:
        """Draw the distribution beside the box, unless it would hide something."""
        row, pad = self._row, self._row * 0.35
        bar, names = row * 4, max(self._font.getlength(name) for name in self._color)
        size = names + bar + self._font.getlength("100 %") + 4 * pad, row * len(self._color) + 2 * pad
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
                self._draw.rectangle(filled, fill=self._color[name])
            text = f"{100 * value:.0f} %"
            self._write(place[2] - pad - self._font.getlength(text), y, text, PAPER)
        return [place]

    def _write(self, x: float, y: float, text: str, color: tuple[int, int, int]) -> None:
        """Write text to the right of x, vertically centered at y."""
        letters, (left, top) = _letters(text, round(self._row * 0.82))
        self._draw.bitmap((round(x) + left, round(y) + top), letters, color)

    def _is_free(self, place: Box, taken: Iterable[Box]) -> bool:
        width, height = self._size
        inside = place[0] >= 0 and place[1] >= 0 and place[2] <= width and place[3] <= height
        return inside and not any(_meet(place, other) for other in taken)


@functools.lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


# Cached, because the same few words are written on each frame of a video.
@functools.lru_cache(maxsize=2048)
def _letters(text: str, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return a mask of the text, and the offset of its corner from the middle of its left edge."""
    left, top, right, bottom = _font(size).getbbox(text, anchor="lm")
    mask = Image.new("L", (max(1, math.ceil(right - left)), max(1, math.ceil(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, _font(size), anchor="lm")
    return mask, (round(left), round(top))


def _beside(box: Box, width: float, height: float, gap: float) -> Iterator[Box]:
    """Yield possible places of a panel: right and left of the box, then below and above it."""
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

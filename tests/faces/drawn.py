"""Photographs of red squares, a detector that finds those, a plain way to cut them out, and a job of these."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from fer_tf.faces.crops import CropOptions, crop
from fer_tf.faces.detectors import Detections

SMALL = CropOptions(size=32)


def photograph(*faces, width=160, height=120, seed=0):
    """Draw faces (left, top, side) on noise; their lower halves are darker."""
    pixels = np.random.default_rng(seed).integers(90, 110, (height, width, 3), dtype=np.uint8)
    for left, top, side in faces:
        pixels[top : top + side, left : left + side] = (250, 20, 20)
        pixels[top + side // 2 : top + side, left : left + side] = (200, 20, 20)
    return pixels


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


class RedSquares:
    """Finds red squares, from left to right; has landmarks, or none; at its end it is interrupted like by Ctrl-C."""

    def __init__(self, landmarks: bool = True, end: float = float("inf")):
        self.landmarks, self.end, self.seen = landmarks, end, 0

    def detect(self, photographs):
        self.seen += len(photographs)
        if self.seen > self.end:
            raise KeyboardInterrupt
        return [self._one(p.astype(int)) for p in photographs]

    def _one(self, pixels):
        red = (pixels[..., 0] > 150) & (pixels[..., 1:] < 85).all(axis=-1)
        found = [s for s in ndimage.find_objects(ndimage.label(red)[0]) if s[0].stop - s[0].start > 5]
        found.sort(key=lambda s: s[1].start)
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in found], np.float32).reshape(-1, 4)
        share = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
        points = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
        scores = np.linspace(0.99, 0.95, len(boxes), dtype=np.float32)
        return Detections(scores, boxes, points if self.landmarks else np.full_like(points, np.nan))


def cut(pixels, frames, size):
    """Cut upright squares."""
    faces = [
        Image.fromarray(pixels).transform(
            (size, size),
            Image.Transform.EXTENT,
            (x - s / 2, y - s / 2, x + s / 2, y + s / 2),
            Image.Resampling.BILINEAR,
        )
        for x, y, s, _ in frames
    ]
    return np.array([np.asarray(f) for f in faces], np.uint8).reshape(-1, size, size, 3)


def thirty(root):
    """Save thirty photographs in three classes, a damaged one, and one without a face; return the folder."""
    for i in range(30):
        save(root / "abc"[i % 3] / f"{i:02d}.jpg", photograph((20 + i, 30, 40), seed=i), quality=95)
    save(root / "b" / "empty.png", photograph())
    (root / "c" / "html.jpg").write_text("<html>")
    return root


def run(src, dst, options=SMALL, detector=None, **keywords):
    return crop(src, dst, options, detector=detector or RedSquares(), cut=cut, **keywords)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tree(folder):
    """Return everything in a folder but the lock, as bytes by name."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def interrupt_at(i):
    """Return a way to cut that is interrupted like by Ctrl-C at the ``i``-th photograph of ``thirty``."""

    def interrupted(pixels, frames, size):
        if np.isclose(frames[0][0], 20 + i + 40 / 2, atol=0.6):
            raise KeyboardInterrupt
        return cut(pixels, frames, size)

    return interrupted


def interrupt_after(calls):
    """Return a way to cut that is interrupted like by Ctrl-C."""

    def interrupted(*arguments):
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise KeyboardInterrupt
        return cut(*arguments)

    return interrupted

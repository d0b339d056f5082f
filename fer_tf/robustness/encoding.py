"""Corruptions of encoding: JPEG, and large pixels."""

import io

import numpy as np
from PIL import Image

from fer_tf.robustness.faces import Faces


def jpeg(faces: Faces, quality: int) -> np.ndarray:
    """Save each face as JPEG of this quality (1 to 95) and read it again.

    The bits depend on the library inside Pillow: libjpeg-turbo, which its wheels bring, and libjpeg 6b compute the
    same whole numbers on every processor; libjpeg 7 and later scale the chroma of colour pictures otherwise, and
    mozjpeg has other tables. Gray faces know no chroma.
    """
    out = np.empty_like(faces.images)
    for i, image in enumerate(faces.images):
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
        out[i] = np.asarray(Image.open(buffer)).reshape(image.shape)
    return out


def pixelate(faces: Faces, cells: int) -> np.ndarray:
    """Show each picture in so many cells a side, each the mean of its pixels, halves rounded up.

    Where the side is no multiple, cells differ by one pixel: cell i begins at pixel ⌊i · side / cells⌋.
    """
    rows, columns = (np.arange(cells) * side // cells for side in faces.images.shape[1:3])
    heights, widths = (np.diff(np.append(s, n)) for s, n in zip((rows, columns), faces.images.shape[1:3], strict=True))
    if not (heights.min() and widths.min()):
        return faces.images.copy()  # more cells than pixels
    sums = np.add.reduceat(np.add.reduceat(faces.images, rows, axis=1, dtype=np.int64), columns, axis=2)
    area = (heights[:, None] * widths)[..., None]
    means = ((2 * sums + area) // (2 * area)).astype(np.uint8)
    return means.repeat(heights, axis=1).repeat(widths, axis=2)

"""Read the image files of a dataset, or take them from the cache."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_tf.errors import DataError, RowErrors
from fer_tf.io.cache import cached
from fer_tf.io.pictures import check_shape, is_file, read_picture, why_no_file
from fer_tf.progress import counted


def read_pictures(
    paths: Sequence[Path | str], places: Sequence[str], size: int, channels: int, row_errors: RowErrors
) -> tuple[np.ndarray, np.ndarray]:
    """Read many pictures; a second time, with no file changed, from the cache.

    Args:
        paths: N files.
        places: how to call each in a message, (N,).
        size: Height and width in pixels.
        channels: 1 or 3.
        row_errors: takes the bad ones.

    Returns:
        uint8 images (M, size, size, channels) and the int64 indices (M,) of the pictures that were read.

    Raises:
        DataError: a picture cannot be read and ``row_errors`` does not skip.
    """
    check_shape(size, channels)
    present = [i for i, path in enumerate(paths) if is_file(path)]
    for i in sorted(set(range(len(paths))) - set(present)):
        named = "" if str(paths[i]) in str(places[i]) else f": {paths[i]}"
        row_errors.add(places[i], f"{why_no_file(paths[i])}{named}. Expected a picture.")
    sources = [paths[i] for i in present]

    def read() -> dict[str, np.ndarray]:
        return _read_all(sources, [places[i] for i in present], size, channels, row_errors.skip_bad)

    arrays = cached("pictures-1", sources, {"size": size, "channels": channels}, read)
    for i, reason in zip(arrays["bad"], arrays["reasons"], strict=True):
        row_errors.add(places[present[i]], reason)
    kept = np.setdiff1d(np.arange(len(present)), arrays["bad"])
    return arrays["images"], np.array(present, dtype=np.int64)[kept]


def _read_all(
    paths: Sequence[Path | str], places: Sequence[str], size: int, channels: int, skip_bad: bool
) -> dict[str, np.ndarray]:
    images, bad, reasons = np.empty((len(paths), size, size, channels), np.uint8), [], []
    for i in counted(range(len(paths))):
        try:
            images[i] = read_picture(paths[i], size, channels)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{places[i]}: {error}") from None
            bad.append(i)
            reasons.append(str(error))
    return {
        "images": np.delete(images, bad, axis=0) if bad else images,
        "bad": np.array(bad, dtype=np.int64),
        "reasons": np.array(reasons, dtype=str),
    }

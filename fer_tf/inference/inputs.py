"""Convert the inputs of ``analyze``, ``predict`` and ``heatmaps`` to images."""

import os
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.io import pictures

__all__ = [
    "Input", "as_list", "check_range", "count_frames", "face_batches", "is_one", "is_path", "name_of", "one_face",
    "pixels", "whole_number",
]  # fmt: skip

Input = os.PathLike | str | bytes | BinaryIO | Image.Image | np.ndarray
_BYTES = (bytes, bytearray, memoryview)
_EXPECTED = "Expected a path, an array, a tensor, a Pillow image, the bytes of a picture or an open file"


def as_list(images: Input | Iterable[Input]) -> list[Input]:
    """Return the inputs as a list: of one, or those of a list or generator.

    Raises:
        UserError: One is ``None``, an empty path, or nothing that holds a picture.

    Example:
        >>> as_list("a.jpg"), as_list(name for name in ("a.jpg", "b.jpg"))
        (['a.jpg'], ['a.jpg', 'b.jpg'])
    """
    if is_one(images):
        given, places = [images], [""]
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        given = list(images)
        places = [f" at place {i} of the list" for i in range(len(given))]
    else:
        given, places = [images], [""]
    for one, place in zip(given, places, strict=True):
        _check(one, place)
    return given


def is_path(image: Input) -> bool:
    """Return whether an input is the path of a file or folder.

    Example:
        >>> is_path("a.jpg"), is_path(b"...")
        (True, False)
    """
    return isinstance(image, str | os.PathLike)


def name_of(image: Input, number: int) -> str:
    """Return how results name an input: its path, or its place in the list.

    Example:
        >>> name_of("a.jpg", 0), name_of(b"...", 1)
        ('a.jpg', '1')
    """
    if is_path(image):
        return os.fspath(image)
    name = getattr(image, "name", None)
    return name if isinstance(name, str) and callable(getattr(image, "read", None)) else str(number)


def pixels(image: Input) -> np.ndarray:
    """Return the pixels of a photograph: RGB, uint8 (H, W, 3).

    Args:
        image: Arrays and tensors are RGB (H, W, 3) or gray (H, W), (H, W, 1), with values from 0 to 255.

    Raises:
        UserError: An array has another shape or other values.
        DataError: A picture cannot be read; without its name in the message.

    Example:
        >>> pixels(Image.new("L", (4, 2), 7)).shape
        (2, 4, 3)
    """
    array = _decoded(image)
    if array is not None:
        return array
    array = _as_array(image)
    gray = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    numbers = array.dtype.kind in "uif"
    if not numbers or not array.size or not (gray or (array.ndim == 3 and array.shape[2] == 3)):
        raise UserError(f"A photograph is uint8 (H, W, 3) or (H, W), got {array.dtype} {array.shape}.")
    if array.dtype != np.uint8:
        check_range(array)
        array = np.rint(array).astype(np.uint8)
    return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2) if gray else array


def count_frames(image: Input) -> int:
    """Return how many frames a path, bytes or a Pillow image has; 1 for other inputs.

    Example:
        >>> count_frames(b"")
        1
    """
    if isinstance(image, Image.Image):
        return getattr(image, "n_frames", 1)
    if is_path(image) or isinstance(image, _BYTES):
        return pictures.count_frames(os.fspath(image) if is_path(image) else bytes(image))
    return 1


def face_batches(images: Input | Iterable[Input]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read cropped faces and stack those of one size.

    Args:
        images: An array or tensor of faces (N, h, w), (N, h, w, 1) or (N, h, w, 3) of pixels from 0 to 255; or a face
            or a list or generator of faces of any sizes, each an array without the N, or as in ``pixels``.

    Returns:
        Pairs of the places (n,) of faces among the given ones and their pixels (n, h, w, 1 or 3).

    Raises:
        UserError: An array has another shape, values outside 0 to 255, or fractions from 0 to 1.
        DataError: A picture cannot be read; the message of a path names it.

    Example:
        >>> large, small = np.zeros((9, 9, 3)), np.zeros((4, 4))
        >>> [(index.tolist(), faces.shape) for index, faces in face_batches([large, small, large])]
        [([0, 2], (2, 9, 9, 3)), ([1], (1, 4, 4, 1))]
    """
    faces = [_read_face(image) for image in as_list(images)]
    if is_one(images) and not one_face(faces[0]):
        several = _with_channels(faces[0], 3)
        return [(np.arange(len(several)), _checked(several))] if len(several) else []
    faces = [_with_channels(face, 2) for face in faces]
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, face in enumerate(faces):
        check_range(_numbers(face))
        groups.setdefault(face.shape, []).append(i)
    return [(np.array(index), _checked(np.stack([faces[i] for i in index]))) for index in groups.values()]


def one_face(faces: np.ndarray) -> bool:
    """Return whether an array is one face and not several: (h, w), (h, w, 1) or (h, w, 3).

    No face is 1 or 3 pixels wide, so that a last side of 1 or 3 can only be the channels.

    Raises:
        UserError: The last side of three is 2 or 4, so that it is transparency.

    Example:
        >>> one_face(np.zeros((150, 150, 3))), one_face(np.zeros((8, 48, 48)))
        (True, False)
    """
    if faces.ndim == 3 and faces.shape[2] in (2, 4):
        raise UserError(f"Faces are gray or RGB, got {faces.shape}: leave the transparency out.")
    return faces.ndim == 2 or (faces.ndim == 3 and faces.shape[2] in (1, 3))


def check_range(array: np.ndarray) -> None:
    """Check that pixels are finite numbers from 0 to 255, and not fractions from 0 to 1.

    Raises:
        UserError: They are not; the message has the remedy.

    Example:
        >>> check_range(np.array([0.1, 0.9]))
        Traceback (most recent call last):
        fer_tf.errors.UserError: Pixels go from 0 to 255, got fractions up to 0.9. Multiply them by 255.
    """
    if not array.size or array.dtype == np.uint8:
        return
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high) and low >= 0 and high <= 255):
        hint = " (NaN is no pixel)" if np.isnan(low) else ""
        raise UserError(f"Faces are pixels from 0 to 255, got values from {low} to {high}{hint}.")
    if array.dtype.kind == "f" and 0 < high <= 1:
        raise UserError(f"Pixels go from 0 to 255, got fractions up to {high:.3g}. Multiply them by 255.")


def whole_number(name: str, value: Any, low: int = 1) -> int:
    """Return an option that is a whole number, Python's or NumPy's.

    Raises:
        UserError: It is none, or below ``low``.

    Example:
        >>> whole_number("every", np.int64(2))
        2
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise UserError(f"{name}={value!r} is out of range. Expected {low} or more.")
    return int(value)


def is_one(image: Any) -> bool:
    """Return whether something is one input, and not a list or generator of inputs.

    Example:
        >>> is_one("a.jpg"), is_one(["a.jpg"])
        (True, False)
    """
    return (
        isinstance(image, (str, os.PathLike, *_BYTES, np.ndarray, Image.Image))
        or callable(getattr(image, "read", None))
        or _is_tensor(image)
    )


def _is_tensor(image: Any) -> bool:
    """Return whether something is an array of another library: of TensorFlow, JAX, PyTorch, or a Keras variable."""
    return hasattr(image, "shape") and hasattr(image, "dtype") and hasattr(image, "__array__")


def _read_face(image: Input) -> np.ndarray:
    try:
        array = _decoded(image)
    except DataError as error:
        raise DataError(f"{image}: {error}" if is_path(image) else str(error)) from None
    return _as_array(image) if array is None else array


def _with_channels(array: np.ndarray, gray: int) -> np.ndarray:
    """Append the axis of the channels to an array of so many axes."""
    return array[..., None] if array.ndim == gray else array


def _checked(faces: np.ndarray) -> np.ndarray:
    """Return faces (N, h, w, 1 or 3) with values from 0 to 255, or raise a ``UserError``."""
    if faces.ndim != 4 or faces.shape[3] not in (1, 3) or 0 in faces.shape[1:3]:
        raise UserError(f"Faces are pixels (N, h, w), (N, h, w, 1) or (N, h, w, 3), got {faces.shape}.")
    check_range(_numbers(faces))
    return faces


def _numbers(faces: np.ndarray) -> np.ndarray:
    if faces.dtype.kind not in "uif":
        raise UserError(f"Faces are numbers from 0 to 255, got {faces.dtype}.")
    return faces


def _check(image: Any, place: str) -> None:
    if image is None:
        raise UserError(f"None{place} is no picture; a file that could not be read gives it. {_EXPECTED}.")
    if isinstance(image, str | os.PathLike):
        if not os.fspath(image):
            raise UserError(f"An empty path{place} names nothing. {_EXPECTED}.")
    # A list of lists of numbers is an array as well.
    elif not is_one(image) and not isinstance(image, list | tuple):
        raise UserError(f"{type(image).__name__}{place} is no picture. {_EXPECTED}.")


def _decoded(image: Input) -> np.ndarray | None:
    """Return the pixels of what has to be decoded; ``None`` for arrays."""
    if is_path(image):
        return pictures.read_photograph(os.fspath(image))
    if isinstance(image, Image.Image):
        return pictures.read_photograph(image)
    if isinstance(image, _BYTES):
        data = bytes(image)
    elif callable(getattr(image, "read", None)):
        data = _content(image)
    else:
        return None
    if not data:
        raise DataError("no bytes. Expected those of a picture.")
    return pictures.read_photograph(data)


def _content(file: BinaryIO) -> bytes:
    """Read an open file; one that stands at its end, as it does after writing, from its beginning."""
    data = file.read()
    if not data and callable(getattr(file, "seekable", None)) and file.seekable():
        file.seek(0)
        data = file.read()
    if isinstance(data, str):
        raise UserError('An open file gives text. Open it in binary mode: open(path, "rb").')
    return data


def _as_array(image: Any) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    try:
        return np.asarray(image)
    except Exception as error:
        raise UserError(f"{type(image).__name__} is no picture ({error}). {_EXPECTED}.") from None

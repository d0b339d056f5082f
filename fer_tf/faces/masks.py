"""Drawn masks on faces, without a photograph asset (after MaskTheFace, arXiv 2008.11104, which pastes photographs)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageColor

from fer_tf.errors import UserError
from fer_tf.faces.head import find_head
from fer_tf.faces.mask_painting import MOST_FINE, Wearing
from fer_tf.registry import Registry

MASKS = Registry("mask")
MASKS.add("surgical", "fer_tf.faces.mask_kinds:surgical")
MASKS.add("cloth", "fer_tf.faces.mask_kinds:cloth")
MASKS.add("n95", "fer_tf.faces.mask_kinds:n95")


@dataclass(frozen=True, eq=False)
class MaskedFace:
    """A picture with a mask on one face.

    Attributes:
        image: uint8, the shape of the picture that was given.
        alpha: float32 (H, W), the share of each pixel that mask and bands cover.
    """

    image: np.ndarray
    alpha: np.ndarray


def put_mask(
    image: np.ndarray,
    landmarks: np.ndarray,
    kind: str = "surgical",
    seed: int | Sequence[int] = 0,
    color: str | tuple[int, int, int] | None = None,
    fine: int | None = None,
) -> MaskedFace:
    """Draw a mask on a face.

    The mask follows the head's tilt, turn and nod, is lit as bright as the face and from the same side, loses its
    colour in a picture that has none, and casts a soft shadow. The same arguments give the same bytes.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W, 1) gray; it is not changed. Call again for each face in it.
        landmarks: (5, 2) or (68, 2), x and y in pixels, (0, 0) the corner of the first pixel; may lie outside.
        kind: call string of a row of ``MASKS``, such as ``"surgical(pleats=4)"``.
        seed: one or more numbers ≥ 0; draws colour, folds and wear.
        color: RGB 0 to 255 or a name or ``#rrggbb``, in place of the drawn one.
        fine: how many times finer than the picture a mask is painted before it is averaged down, 1 to 8; ``None``
            paints it about 170 pixels wide. On 48-pixel faces 3 is 2.5 times as fast, and levels differ by 0.2 in the
            mean.

    Raises:
        UserError: an image or landmarks of another shape or with NaN, an unknown kind or colour, ``fine`` out of range.
    """
    check_image(image)
    if fine is not None and not 1 <= fine <= MOST_FINE:
        raise UserError(f"fine={fine!r} is out of range. Expected 1 to {MOST_FINE}.")
    head = find_head(landmarks)
    rng = np.random.default_rng(np.random.SeedSequence(_entropy(seed)))
    mask = MASKS.make(kind, rng, None if color is None else read_color(color))
    return MaskedFace(*Wearing(image, head, mask, fine).painted(rng))


def face_seed(seed: int, name: str, face: int = 0) -> tuple[int, int, int]:
    """Return the seed of one face of one picture, for ``put_mask``, so that order and interruptions change nothing.

    Args:
        seed: of the job.
        name: of the picture, relative to its tree, with ``/``, or of the sample.
        face: its number in the picture.
    """
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return seed, int.from_bytes(digest, "big"), face


def drawn_kind(seed: Sequence[int]) -> str:
    """Return one of the names of ``MASKS``, each as likely as the others, for a face's seed."""
    names = sorted(MASKS)
    return names[np.random.default_rng((*seed, 1)).integers(len(names))]


def wearable(landmarks: np.ndarray) -> np.ndarray:
    """Tell which landmarks (N, 5 or 68, 2) a mask can be drawn by, bool (N,): none missing, and those of a face."""
    return np.array([_is_face(points) for points in landmarks], dtype=bool)


def _is_face(points: np.ndarray) -> bool:
    try:
        find_head(points)
    except UserError:
        return False
    return True


def check_image(image: np.ndarray) -> None:
    """Raise a ``UserError`` unless this is uint8 (H, W, 1 or 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(f"image is {image.dtype} {image.shape}. Expected uint8 (H, W, 3) or (H, W, 1).")


def read_color(color: str | tuple[int, int, int]) -> np.ndarray:
    """Return RGB (3,), 0 to 255, of a name, of ``#rrggbb``, or of three numbers."""
    try:
        rgb = np.array(ImageColor.getrgb(color)[:3] if isinstance(color, str) else color, dtype=float)
    except ValueError:
        raise UserError(f"color {color!r} is unknown. Expected #rrggbb or a name such as white.") from None
    if rgb.shape != (3,) or not ((rgb >= 0) & (rgb <= 255)).all():
        raise UserError(f"color {color!r} is no colour. Expected three numbers from 0 to 255.")
    return rgb


def _entropy(seed: int | Sequence[int]) -> list[int]:
    numbers = [int(n) for n in np.atleast_1d(seed)]
    if min(numbers) < 0:
        raise UserError(f"seed={seed!r} is negative. Expected 0 or more.")
    return numbers

"""What a corruption is given: pictures, and where their random numbers come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Lengths are told in pixels of faces of this height, and grow with the picture.
SIDE = 48


@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures to corrupt.

    Attributes:
        images: uint8 (N, H, W, 1 or 3); never changed.
        streams: N keys of ``draws``.
        landmarks: float (N, 5 or 68, 2), x and y in pixels, or ``None``.
    """

    images: np.ndarray
    streams: Sequence[int]
    landmarks: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """Pixels of the pictures a pixel of a 48-pixel face."""
        return self.images.shape[1] / SIDE

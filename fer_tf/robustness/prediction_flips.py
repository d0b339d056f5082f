"""Count predictions that change when a face moves by a pixel or is saved again.

A flip is a face whose most probable class differs from that of the unchanged face. Shifts are of 1 and 2 pixels in
eight directions, as they come from a detector's box or a hand-held camera. A network that sees the central square of
the face is given what lies beside it; edges are repeated only where the shift is wider than that margin. JPEG is at the
qualities of cameras, of most software, and of messengers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError
from fer_tf.robustness.corruptions import FaceBatch
from fer_tf.robustness.effects import DIRECTIONS, jpeg, shift

_PIXELS = (1, 2)
_QUALITIES = (95, 85, 75)
KINDS = (*(f"shift {p} px" for p in _PIXELS), "JPEG")
_NAMES = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")


@dataclass(frozen=True)
class Perturbation:
    """A change after which the expression is still the same.

    Attributes:
        kind: One of ``KINDS``.
        name: Which of its kind.
        shift: Pixels to the right and down, or ``None``.
        quality: Quality of JPEG, or ``None``.
    """

    kind: str
    name: str
    shift: tuple[int, int] | None = None
    quality: int | None = None

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Return changed faces, uint8 (N, H, W, C) as they came."""
        return shift(images, *self.shift) if self.shift is not None else jpeg(FaceBatch(images, ()), self.quality)


@dataclass(frozen=True, eq=False)
class PredictionFlips:
    """Tell which faces flip under which perturbation.

    Attributes:
        perturbations: P perturbations.
        flipped: bool (P, N).

    Example:
        >>> import numpy as np
        >>> flips = PredictionFlips(perturbations(), np.arange(19 * 2).reshape(19, 2) < 2)
        >>> flips.any(), round(flips.mean("shift 1 px"), 3)
        (1.0, 0.125)
    """

    perturbations: tuple[Perturbation, ...]
    flipped: np.ndarray

    def mean(self, kind: str | None = None) -> float:
        """Return the mean over perturbations (of one kind) of the share of faces that flip."""
        return float(self._of(kind).mean())

    def any(self, kind: str | None = None) -> float:
        """Return the share of faces that flip under one perturbation (of one kind) or more."""
        return float(self._of(kind).any(axis=0).mean())

    def standard_error(self, kind: str | None = None) -> float:
        """Return the standard error of ``mean`` over the choice of faces."""
        by_face = self._of(kind).mean(axis=0)
        return float(by_face.std(ddof=1) / np.sqrt(len(by_face))) if len(by_face) > 1 else float("nan")

    def rows(self) -> Iterator[dict[str, str | float]]:
        """Yield the share of faces that flip, one perturbation after the other."""
        for perturbation, flipped in zip(self.perturbations, self.flipped, strict=True):
            yield {"kind": perturbation.kind, "perturbation": perturbation.name, "flip_rate": float(flipped.mean())}

    def _of(self, kind: str | None) -> np.ndarray:
        if kind is None:
            return self.flipped
        if kind not in KINDS:
            raise UserError(f"Unknown kind of perturbation {kind!r}. Available: {', '.join(KINDS)}.")
        return self.flipped[[p.kind == kind for p in self.perturbations]]


def perturbations() -> tuple[Perturbation, ...]:
    """Return all perturbations: 16 shifts and 3 JPEGs."""
    shifts = [
        Perturbation(f"shift {pixels} px", name, shift=(right * pixels, down * pixels))
        for pixels in _PIXELS
        for name, (right, down) in zip(_NAMES, DIRECTIONS, strict=True)
    ]
    return (*shifts, *(Perturbation("JPEG", f"quality {q}", quality=q) for q in _QUALITIES))


def count_flips(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, tick: Callable[[int], object] = lambda faces: None
) -> PredictionFlips:
    """Count how many predictions change under shifts of 1 and 2 pixels, and under JPEG.

    Args:
        predict: From uint8 (N, H, W, C) to logits or probabilities (N, classes).
        images: Faces of 48 pixels or more; larger ones are shifted by 1 or 2 pixels as well.
        tick: Called after each perturbation with the number of faces.

    Raises:
        UserError: There are no faces.

    Example:
        >>> import numpy as np
        >>> faces = np.random.default_rng(0).integers(0, 256, (10, 48, 48, 1)).astype(np.uint8)
        >>> is_bright = lambda images: np.stack([images[:, 24, 24, 0] < 128, images[:, 24, 24, 0] >= 128], axis=1)
        >>> flips = count_flips(is_bright, faces)
        >>> flips.flipped.shape, 0 < flips.mean("shift 1 px") < 1
        ((19, 10), True)
    """
    if not len(images):
        raise UserError("Prediction flips need at least one face. The table is empty.")
    before, rows = predict(images).argmax(axis=1), []
    for perturbation in perturbations():
        rows.append(predict(perturbation.apply(images)).argmax(axis=1) != before)
        tick(len(images))
    return PredictionFlips(perturbations(), np.stack(rows))

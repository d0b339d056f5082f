"""Drift: does a network change its mind when a face moves by a pixel or is saved again?

A flip is a face whose most probable class is another one than on the face as it is. Shifts are of 1 and 2 pixels in
eight directions, as a detector's box or a hand-held camera makes them; a network that sees the central square of the
face is given what lies beside it, and nothing is made up unless the shift is wider than that margin. JPEG is at the
qualities of cameras, of most software, and of messengers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError
from fer_tf.robustness.encoding import jpeg
from fer_tf.robustness.faces import Faces
from fer_tf.robustness.geometry import DIRECTIONS, shifted

PIXELS = (1, 2)
QUALITIES = (95, 85, 75)
KINDS = (*(f"shift {p} px" for p in PIXELS), "JPEG")
_NAMES = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")


@dataclass(frozen=True)
class Perturbation:
    """A change that nobody would call another face.

    Attributes:
        kind: one of ``KINDS``.
        name: which of its kind.
        shift: pixels to the right and down, or ``None``.
        quality: of JPEG, or ``None``.
    """

    kind: str
    name: str
    shift: tuple[int, int] | None = None
    quality: int | None = None

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Return changed faces, uint8 (N, H, W, C) as they came."""
        return shifted(images, *self.shift) if self.shift is not None else jpeg(Faces(images, ()), self.quality)


@dataclass(frozen=True, eq=False)
class Flips:
    """Which faces flip under which perturbation.

    Attributes:
        perturbations: P of them.
        flipped: bool (P, N).
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
        """Yield the share of faces that flip, perturbation by perturbation."""
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
        for pixels in PIXELS
        for name, (right, down) in zip(_NAMES, DIRECTIONS, strict=True)
    ]
    return (*shifts, *(Perturbation("JPEG", f"quality {q}", quality=q) for q in QUALITIES))


def measure(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, tick: Callable[[int], object] = lambda faces: None
) -> Flips:
    """Count flips.

    Args:
        predict: from uint8 (N, H, W, C) to logits or probabilities (N, classes).
        images: faces of 48 pixels or more; larger ones are shifted by 1 or 2 pixels as well.
        tick: called after each perturbation with the number of faces.

    Raises:
        UserError: no faces.
    """
    if not len(images):
        raise UserError("Drift needs at least one face.")
    before, rows = predict(images).argmax(axis=1), []
    for perturbation in perturbations():
        rows.append(predict(perturbation.apply(images)).argmax(axis=1) != before)
        tick(len(images))
    return Flips(perturbations(), np.stack(rows))

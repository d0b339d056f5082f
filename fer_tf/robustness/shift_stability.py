"""Count predictions that flip under small shifts, and make networks stable.

The copy averages the predictions of a grid of crops, every other one mirrored; its convolutions of stride 2 may get a
low-pass filter inside their kernels (arXiv 1904.11486). Nothing is trained.

A flip is a face whose most probable class differs from that of the unchanged face. Shifts are of 1 and 2 pixels in
eight directions, as they come from a detector's box or a hand-held camera. A network that sees the central square of
the face is given what lies beside it; edges are repeated only where the shift is wider than that margin. JPEG is at the
qualities of cameras, of most software, and of messengers.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import evaluation, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized
from fer_tf.metrics import calibration
from fer_tf.models import antialias, tta
from fer_tf.robustness.corruptions import FaceBatch
from fer_tf.robustness.effects import DIRECTIONS, jpeg, shift
from fer_tf.training.averaging import estimate_batch_norm

if TYPE_CHECKING:
    import keras

# Enough: statistics of 2,048 faces differ from those of all by less than a hundredth of a deviation.
_FACES, _BATCH = 4096, 256
GRID = 2


def stabilize(
    network: "keras.Model",
    train: FaceTable,
    validation: FaceTable,
    side: int = GRID,
    filters: bool = False,
    seed: int = 0,
) -> "keras.Model":
    """Copy a network so that it averages crops, with filters in its strided convolutions.

    Args:
        network: A network with metadata.
        train: Faces for the batch-norm statistics; up to 4,096 of them are drawn.
        validation: Faces for the temperature.
        side: Crops a side of the grid; 1 keeps the center alone.
        filters: Put low-pass filters into convolutions of stride 2.
        seed: Seed of faces, crops and mirrors for the statistics.

    Returns:
        The copy, with metadata.

    Raises:
        UserError: The network has nothing to filter or sees the whole face, or the faces have other channels or
            classes.

    Example:
        >>> from fer_tf import datasets, models
        >>> faces = datasets.get("synthetic_ferplus(faces=60)")
        >>> network = models.load_model("default")
        >>> stable = stabilize(network, faces.select("train"), faces.select("validation"))
        >>> network.input_shape, stable.input_shape  # the copy takes its crops out of the whole face
        ((None, 44, 44, 1), (None, 48, 48, 1))
    """
    check_options(side, filters)
    metadata = models.metadata_of(network)
    if metadata.label_set.classes != validation.label_set.classes:
        names = ", ".join(metadata.label_set.classes)
        raise UserError(
            f"The network predicts {names}; the labels of the faces are {', '.join(validation.label_set.classes)}."
        )
    copy = network
    if filters:
        copy = antialias(network)
        estimate_batch_norm(copy, _crops(train, network.input_shape[1:], metadata.face_size, seed))
    if side > 1:
        copy = tta.average_crops(copy, tta.crop_grid(side))
    found = evaluation.logits(copy, resized(validation.images, metadata.face_size))
    temperature = calibration.fit_temperature(found, validation.targets)
    copy.metadata = dataclasses.replace(copy.metadata, temperature=temperature)
    return copy


def check_options(side: int, filters: bool) -> None:
    """Raise a ``UserError`` if a grid of ``side`` crops a side, with or without filters, changes nothing."""
    if side < 1 or (side == 1 and not filters):
        raise UserError(f"A grid of {side} without a filter changes nothing. Expected 2 or more, or a filter.")


def _crops(table: FaceTable, shape: tuple[int, int, int], face_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of random crops of faces, half of them mirrored, float32 (B, \\*shape)."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(table))[:_FACES]
    if table.image_shape[2] != shape[2]:
        raise UserError(f"Faces have {table.image_shape[2]} channels, the network takes {shape[2]}.")

    for start in range(0, len(chosen), _BATCH):
        faces = resized(table.images[chosen[start : start + _BATCH]], face_size)
        places = rng.integers(0, (face_size - shape[0] + 1, face_size - shape[1] + 1), (len(faces), 2))
        cut = [f[y : y + shape[0], x : x + shape[1]] for f, (y, x) in zip(faces, places, strict=True)]
        yield np.stack([c[:, ::-1] if rng.random() < 0.5 else c for c in cut]).astype(np.float32)


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

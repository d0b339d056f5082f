"""Augmentation in NumPy, a batch at a time: the same bytes for every Keras backend."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf import callstring
from fer_tf.augment.op import Op
from fer_tf.augment.strength import PRESETS, preset
from fer_tf.errors import UserError
from fer_tf.registry import Registry

__all__ = ["OPS", "PRESETS", "Pipeline", "build", "expand", "insert_crop", "preset"]

OPS = Registry("augmentation")
for _name in ("flip", "affine", "random_resized_crop", "random_crop", "center_crop", "resize"):
    OPS.add(_name, f"fer_tf.augment.geometry:{_name}", geometric=True)
for _name in ("brightness", "contrast", "gamma", "noise", "blur"):
    OPS.add(_name, f"fer_tf.augment.photometric:{_name}")
for _name in ("erasing", "cutout"):
    OPS.add(_name, f"fer_tf.augment.erasing:{_name}")
for _name in ("mixup", "cutmix", "sample_target"):
    OPS.add(_name, f"fer_tf.augment.mixing:{_name}", mixes_targets=True, mixes_faces=_name != "sample_target")
OPS.add("randaugment", "fer_tf.augment.randaugment:randaugment", leaves_points=True)


@dataclass(frozen=True)
class Pipeline:
    """Ops in the order in which they run, neighbouring geometric ones fused into one warp."""

    ops: tuple[Op, ...]

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment a batch.

        Args:
            images: uint8 or float32 (B, H, W, C), 0..255; not changed.
            targets: float32 (B, classes), rows sum to 1; not changed.
            rng: every draw comes from it.

        Returns:
            float32 images (B, height, width, C) in 0..255 and float32 targets.
        """
        return self.with_points(images, targets, rng)[:2]

    def with_points(
        self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator, points: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Augment a batch and move points with its pixels; the images are those of a call without points.

        Args:
            images, targets, rng: as in a call.
            points: float32 (B, K, 2), x, y in pixels of the input, NaN where missing; a mirrored face has left and
                right exchanged (``fer_tf.augment.points``). Ops for which ``check_columns`` complains leave them.

        Returns:
            images, targets, and points in pixels of the output.
        """
        from fer_tf.augment.geometry import Geometry

        for i, op in enumerate(self.ops):
            if isinstance(op, Geometry):
                images, points = op.move(images, points, rng)
                continue
            # The warp reads uint8 itself; a cast before it would cost a pass.
            if i == 0:
                images = images.astype(np.float32)
            images, targets = op(images, targets, rng)
        return images.astype(np.float32, copy=not self.ops), targets, points


def expand(calls: Sequence[str]) -> list[str]:
    """Replace the names of presets (``"study"``) by their call strings; other entries stay."""
    if isinstance(calls, str):
        raise UserError(f"Augmentations are a list of call strings, got the string {calls!r}.")
    expanded: list[str] = []
    for call in calls:
        name, keywords = callstring.parse(call)
        if name in PRESETS and keywords:
            raise UserError(f"Augmentation preset {name!r} takes no arguments; list its ops instead.")
        expanded += preset(name) if name in PRESETS else [call]
    return expanded


def insert_crop(calls: Sequence[str], size: int | tuple[int, int], random: bool) -> list[str]:
    """Add a crop after the last geometric op, so that it is part of the same warp and what erases comes after."""
    calls = expand(calls)
    last = max((i + 1 for i, call in enumerate(calls) if OPS.resolve(call)[0].facts.get("geometric")), default=0)
    crop = callstring.render("random_crop" if random else "center_crop", {"size": size})
    return [*calls[:last], crop, *calls[last:]]


def check_columns(calls: Sequence[str], columns: Sequence[str]) -> None:
    """Raise a ``UserError`` for an op after which further columns of a face (``BatchSource``) would be wrong."""
    for call in expand(calls) if columns else ():
        row, _ = OPS.resolve(call)
        if row.facts.get("mixes_faces"):
            raise UserError(f"Augmentation {call!r} mixes faces, but {columns[0]!r} is of one face. Leave it out.")
        if row.facts.get("leaves_points") and "landmarks" in columns:
            raise UserError(f"Augmentation {call!r} moves pixels without their landmarks. Use affine() and flip().")


def build(calls: Sequence[str]) -> Pipeline:
    """Make a pipeline from call strings and preset names.

    Args:
        calls: such as ``["flip()", "affine(rotation=10)", "erasing(p=0.5)"]`` or ``["study", "mixup()"]``.

    Raises:
        UserError: an unknown op, an argument it does not take, lacks, or cannot use.
    """
    from fer_tf.augment.geometry import fuse

    return Pipeline(tuple(fuse([_make(call) for call in expand(calls)])))


def _make(call: str) -> Op:
    row, keywords = OPS.resolve(call)
    try:
        inspect.signature(row.load()).bind(**keywords)
    except TypeError as error:
        raise UserError(f"Augmentation {call!r}: {error}.") from None
    return OPS.make(call)

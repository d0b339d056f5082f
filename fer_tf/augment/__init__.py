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
    OPS.add(_name, f"fer_tf.augment.mixing:{_name}", mixes_targets=True)
OPS.add("randaugment", "fer_tf.augment.randaugment:randaugment")


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
        for i, op in enumerate(self.ops):
            # The warp reads uint8 itself; a cast before it would cost a pass.
            if i == 0 and not _reads_bytes(op):
                images = images.astype(np.float32)
            images, targets = op(images, targets, rng)
        return images.astype(np.float32, copy=not self.ops), targets


def _reads_bytes(op: Op) -> bool:
    from fer_tf.augment.geometry import Geometry

    return isinstance(op, Geometry)


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

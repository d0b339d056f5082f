"""Run augmentations one after the other, and read them from call strings."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf import registry
from fer_tf.augment import OPS
from fer_tf.augment.geometry import Geometry, fuse
from fer_tf.augment.warp import Op
from fer_tf.errors import UserError, unknown_name

# Without the last crop: the batch source adds it, random in training and central in evaluation.
PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "light": ("flip()", "affine(rotation=10, shift=0.1)"),
    # arXiv 2105.03588; it erases after normalization with mean 0, so its fill 0 is black.
    "study": (
        "random_resized_crop(area=(0.8, 1.2), aspect=(0.75, 1.3333333333333333))",
        "affine(shift=0.2, p=0.5)",
        "flip()",
        "affine(rotation=10, p=0.5)",
        "erasing(p=0.5)",
    ),
    "strong": (
        "flip()",
        "affine(rotation=20, shift=0.15, zoom=0.2, shear=0.1)",
        "randaugment(n=2, m=9)",
        "erasing(p=0.5)",
    ),
    # arXiv 1608.01041, the authors' training settings.
    "ferplus": ("affine(rotation=20, shift=0.08, zoom=0.05, shear=0.05, fill='reflect')", "flip()"),
}


@dataclass(frozen=True)
class Pipeline:
    """Augmentations in the order in which they run; ``get`` joins adjacent geometric ones into one warp.

    Example:
        >>> import numpy as np, fer_tf
        >>> pipeline = fer_tf.augment.get(["flip()", "affine(rotation=10)", "erasing(p=0.5)"])
        >>> faces, targets = np.zeros((2, 8, 8, 1), "uint8"), np.eye(2, dtype="float32")
        >>> out, _ = pipeline(faces, targets, np.random.default_rng(0))
        >>> out.shape, len(pipeline.ops)
        ((2, 8, 8, 1), 2)
    """

    ops: tuple[Op, ...]

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment a batch.

        Args:
            images: uint8 or float32 (B, H, W, C), 0..255; not changed.
            targets: float32 (B, classes), rows sum to 1; not changed.
            rng: generator of every random number.

        Returns:
            float32 images (B, height, width, C) in 0..255 and float32 targets.
        """
        return self.with_points(images, targets, rng)[:2]

    def with_points(
        self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator, points: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Augment a batch and move landmarks with its pixels; the images are those of a call without points.

        Args:
            images, targets, rng: as in a call.
            points: float32 (B, K, 2), x, y in pixels of the input, NaN where missing. In a mirrored face left and right
                landmarks are exchanged. Augmentations that ``check_columns`` refuses do not move them.

        Returns:
            images, targets, and points in pixels of the output.
        """
        for i, op in enumerate(self.ops):
            if isinstance(op, Geometry):
                images, points = op.move(images, points, rng)
                continue
            # The warp reads uint8 directly; a cast before it would cost a pass.
            if i == 0:
                images = images.astype(np.float32)
            images, targets = op(images, targets, rng)
        return images.astype(np.float32, copy=not self.ops), targets, points


def get(identifier: "Pipeline | Sequence[str | Op]") -> Pipeline:
    """Make a pipeline from call strings, names of presets and augmentations.

    Args:
        identifier: such as ``["flip()", "affine(rotation=10)", "erasing(p=0.5)"]``, ``["study", "mixup()"]`` or
            ``[fer_tf.augment.flip()]``; or a pipeline, which is returned as it is.

    Raises:
        UserError: an unknown augmentation, an argument that it does not take, lacks, or cannot use.

    Example:
        >>> import fer_tf
        >>> len(fer_tf.augment.get(["light", fer_tf.augment.mixup(alpha=0.4)]).ops)
        2
    """
    if isinstance(identifier, Pipeline):
        return identifier
    return Pipeline(tuple(fuse([_make(call) for call in expand(identifier)])))


def preset(name: str) -> list[str]:
    """Return the call strings of a preset.

    Raises:
        UserError: no such preset.

    Example:
        >>> import fer_tf
        >>> fer_tf.augment.preset("light")
        ['flip()', 'affine(rotation=10, shift=0.1)']
    """
    if name not in PRESETS:
        raise unknown_name("augmentation preset", name, PRESETS)
    return list(PRESETS[name])


def expand(calls: Sequence[str | Op]) -> list[str | Op]:
    """Replace the names of presets (``"study"``) by their call strings; other entries stay.

    Raises:
        UserError: a string in place of a list, or a preset with arguments.

    Example:
        >>> import fer_tf
        >>> fer_tf.augment.expand(["light", "mixup()"])
        ['flip()', 'affine(rotation=10, shift=0.1)', 'mixup()']
    """
    if isinstance(calls, str):
        raise UserError(f"Augmentations are a list of call strings, got the string {calls!r}.")
    expanded: list[str | Op] = []
    for call in calls:
        name, keywords = registry.parse(call) if isinstance(call, str) else ("", {})
        if name in PRESETS and keywords:
            raise UserError(f"Augmentation preset {name!r} takes no arguments; list its ops instead.")
        expanded += preset(name) if name in PRESETS else [call]
    return expanded


def insert_crop(calls: Sequence[str], size: int | tuple[int, int], random: bool) -> list[str]:
    """Add a crop after the last geometric augmentation, where it is part of the same warp.

    Args:
        calls: call strings and names of presets.
        size: side of the crop in pixels, or (height, width).
        random: a random crop, else the central one.

    Example:
        >>> import fer_tf
        >>> fer_tf.augment.insert_crop(["flip()", "mixup()"], 40, random=True)
        ['flip()', 'random_crop(size=40)', 'mixup()']
    """
    calls = expand(calls)
    last = max((i + 1 for i, call in enumerate(calls) if OPS.resolve(call)[0].facts.get("geometric")), default=0)
    crop = registry.render("random_crop" if random else "center_crop", {"size": size})
    return [*calls[:last], crop, *calls[last:]]


def check_columns(calls: Sequence[str], columns: Sequence[str]) -> None:
    """Check that augmentations keep further columns of a face right, such as landmarks.

    Args:
        calls: call strings and names of presets.
        columns: names of the columns beside images and targets, see ``BatchSource``.

    Raises:
        UserError: an augmentation that mixes faces, or moves pixels without their landmarks.

    Example:
        >>> import fer_tf
        >>> fer_tf.augment.check_columns(["flip()"], ["landmarks"])
    """
    for call in expand(calls) if columns else ():
        row, _ = OPS.resolve(call)
        if row.facts.get("mixes_faces"):
            raise UserError(f"Augmentation {call!r} mixes faces, but {columns[0]!r} is of one face. Leave it out.")
        if row.facts.get("leaves_points") and "landmarks" in columns:
            raise UserError(f"Augmentation {call!r} moves pixels without their landmarks. Use affine() and flip().")


def _make(call: str | Callable) -> Op:
    if not isinstance(call, str):
        return call
    row, keywords = OPS.resolve(call)
    try:
        inspect.signature(row.load()).bind(**keywords)
    except TypeError as error:
        raise UserError(f"Augmentation {call!r}: {error}.") from None
    return OPS.make(call)

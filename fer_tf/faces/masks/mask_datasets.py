"""Mask or occlude the faces of a table with landmarks."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fer_tf import registry
from fer_tf.errors import UserError, unknown_name
from fer_tf.faces.masks.head_pose import wearable
from fer_tf.faces.masks.kinds import MASKS, drawn_kind
from fer_tf.faces.masks.painting import cut_face, face_seed, put_mask
from fer_tf.facetable import FaceTable, joined
from fer_tf.io.cache import cached
from fer_tf.progress import bar

_PARTS = ("plain", "masked", "cut", "both")
_RANDOM = "random"
# On faces of 48 pixels a finer drawing cannot be told from this one, and takes 2.5 times as long.
_FINE = 3


@dataclass(frozen=True)
class MaskSettings:
    """Mask settings for training and evaluation.

    Faces without landmarks are left out of every part, so that parts compare.

    Attributes:
        train: the training faces: `plain` as they are, `masked`, `cut` off below the eyes, or `both`, each face
            once plain and once masked.
        evaluation: the same of validation and test.
        kind: `random`, or the call string of a mask of `fer_tf.faces.masks.MASKS`.
        seed: draws kinds, colors and folds, ≥ 0; a face's mask depends on it and the face's id alone.
        enlarge: what is left of a cut face is turned upright and stretched over the picture.

    Raises:
        UserError: an unknown word, or a seed below 0.

    Example:

    >>> MaskSettings(train="masked", kind="n95").evaluation
    'both'
    """

    train: str = "plain"
    evaluation: str = "both"
    kind: str = _RANDOM
    seed: int = 0
    enlarge: bool = False

    def __post_init__(self):
        for name in (self.train, self.evaluation):
            if name not in _PARTS:
                raise unknown_name("part", name, _PARTS)
        if self.seed < 0:
            raise UserError(f"seed={self.seed} is negative. Expected 0 or more.")
        if self.kind != _RANDOM:
            _ = MASKS[registry.parse(self.kind)[0]]

    def apply(self, table: FaceTable, split: str) -> FaceTable:
        """Mask or occlude the faces of one split.

        Args:
            table: faces in memory, with landmarks.
            split: `train`, or another for what `evaluation` says.

        Returns:
            The faces; of `both` the ids begin with `plain/` and `masked/`.

        Raises:
            UserError: no landmarks, or none that are those of a face.
        """
        table = _with_points(table)
        part = self.train if split == "train" else self.evaluation
        if part == "both":
            return joined({"plain": table, "masked": replace(table, images=self._masked(table))})
        if part == "cut":
            return replace(table, images=self._cut(table))
        return table if part == "plain" else replace(table, images=self._masked(table))

    def _masked(self, table: FaceTable) -> np.ndarray:
        def draw(row: int) -> np.ndarray:
            seed = face_seed(self.seed, str(table.ids[row]))
            kind = drawn_kind(seed) if self.kind == _RANDOM else self.kind
            return put_mask(table.images[row], table.landmarks[row], kind, seed=seed, fine=_FINE).image

        return _drawn(table, "masked-2", {"kind": self.kind, "seed": self.seed, "fine": _FINE}, draw)

    def _cut(self, table: FaceTable) -> np.ndarray:
        def draw(row: int) -> np.ndarray:
            return cut_face(table.images[row], table.landmarks[row], enlarge=self.enlarge)

        return _drawn(table, "cut-1", {"enlarge": self.enlarge}, draw)


def _with_points(table: FaceTable) -> FaceTable:
    if table.landmarks is None:
        raise UserError(
            "Masks are drawn by landmarks, which these faces lack. Write a table of them by fer-tf landmarks, and give "
            "it as landmarks."
        )
    if table.images is None:
        raise UserError("Masks are drawn on pictures in memory. Leave in_memory=False out.")
    points = np.ascontiguousarray(table.landmarks)
    key = hashlib.blake2b(points.data, digest_size=16).hexdigest()
    found = cached("wearable-1", [], {"points": key, "shape": points.shape}, lambda: {"good": wearable(points)})
    good = np.flatnonzero(found["good"])
    if not good.size:
        raise UserError(f"None of the {len(table)} faces has landmarks that a mask can be drawn by.")
    if len(good) < len(table):
        logging.getLogger(__name__).info("%d of %d faces have no landmarks.", len(table) - len(good), len(table))
    return table.take(good)


def _drawn(table: FaceTable, kind: str, options: dict[str, Any], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return a picture a row, uint8 like the table's; a second time, of the same faces, from the cache."""

    def make() -> dict[str, np.ndarray]:
        images = np.empty_like(table.images)
        with bar(len(table), f"Drawing {kind.partition('-')[0]} faces", "face") as ticks:
            for row in range(len(table)):
                images[row] = draw(row)
                ticks.update()
        return {"images": images}

    return cached(kind, [], {**options, "faces": table.digest(("landmarks",))}, make)["images"]

"""Masks on a folder tree of photographs: the same tree out, and a table of who wears what.

The job may be killed at any time: started again it keeps the pictures that are done. A face's mask depends on the seed,
the picture's name and the face's number alone, so that order and interruptions change nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer_tf import atomic
from fer_tf.errors import UserError
from fer_tf.faces import mask_records as records
from fer_tf.faces import photographs, reading
from fer_tf.faces.cut import cut_face
from fer_tf.faces.detectors import Detections, Detector
from fer_tf.faces.masks import MASKS, put_mask, read_color
from fer_tf.progress import bar

RANDOM = "random"
NO_FACE = "no face found."


@dataclass(frozen=True)
class MaskOptions:
    """How faces are masked.

    Attributes:
        kind: call string of a row of ``MASKS``, or ``random``.
        seed: draws colours and folds, ≥ 0.
        color: ``None`` draws it.
        detector: call string, see ``detectors``.
        points: 5, the detector's own, or 68, which follow the jaw and need the extra ``landmarks``.
        cut: in place of a mask, cut the largest face off below the eyes.
        enlarge: with ``cut``, turn the upper face upright and enlarge it.
        fill: with ``cut``, the level of what is removed.

    Raises:
        UserError: a value out of range.
    """

    kind: str = "surgical"
    seed: int = 0
    color: str | None = None
    detector: str = "retinaface"
    points: int = 5
    cut: bool = False
    enlarge: bool = False
    fill: int = 0

    def __post_init__(self):
        if self.seed < 0:
            raise UserError(f"seed={self.seed} is negative. Expected 0 or more.")
        if not 0 <= self.fill <= 255:
            raise UserError(f"fill={self.fill} is no level. Expected 0 to 255.")
        if (self.enlarge or self.fill) and not self.cut:
            raise UserError("enlarge and fill act on cut faces only. Give cut as well.")
        if self.cut and (self.color or (self.enlarge and self.fill)):
            raise UserError("A cut face has no mask to give a color, and an enlarged one nothing to fill.")
        if self.kind != RANDOM:
            MASKS.make(self.kind, np.random.default_rng(0), self.color and read_color(self.color))
        elif self.color:
            read_color(self.color)


def mask_folder(
    src: Path | str,
    dst: Path | str,
    options: MaskOptions | None = None,
    *,
    overwrite: bool = False,
    limit: int | None = None,
    detector: Detector | None = None,
) -> records.Summary:
    """Mask the faces of photographs, or go on with it.

    Args:
        src: a photograph or a folder tree.
        dst: output folder: new, empty, or of this same job.
        options: ``None`` for the defaults.
        overwrite: do again what an earlier job did.
        limit: read at most so many pictures, the first by name.
        detector: in place of ``options.detector``.

    Returns:
        What ``dst`` now holds.

    Raises:
        UserError: nothing to read, or a folder that cannot be used or holds another job's pictures.
    """
    src, dst, options = Path(src), Path(dst), options or MaskOptions()
    notes: list[tuple[str, str]] = []
    sources = photographs.find(src, lambda name, reason: notes.append((name, reason)))[:limit]
    records.check_places(src, dst)
    names = [name for _, name in sources]
    with atomic.alone_in(dst):
        records.begin(dst, {"source": str(src.resolve()), **asdict(options)}, overwrite)
        stamps = {name: records.stamp(path) for path, name in sources}
        done = {
            entry["source"]: entry
            for entry in records.read_journal(dst)
            if stamps.get(entry["source"]) == entry["stamp"] and (dst / entry["file"]).exists()
        }
        left = [s for s in sources if s[1] not in done]
        if left:
            files = dict(zip(names, records.file_names(names), strict=True))
            job = _Job(dst, options, files, stamps, detector or options.detector)
            notes += job.run(left, done)
        return records.write_tables(dst, [done[name] for name in names if name in done], notes)


def face_seed(seed: int, name: str, face: int) -> tuple[int, int, int]:
    """Return the seed of one face of one picture, for ``put_mask``.

    Args:
        seed: of the job.
        name: of the picture, relative to the tree, with ``/``.
        face: its number in the picture.
    """
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return seed, int.from_bytes(digest, "big"), face


class _Job:
    """What turns photographs into masked ones.

    Args:
        dst: output folder.
        options: how.
        files: by source, the file to write.
        stamps: by source, what the journal keeps to know it again.
        detector: call string or detector.
    """

    def __init__(
        self,
        dst: Path,
        options: MaskOptions,
        files: Mapping[str, str],
        stamps: Mapping[str, list[int]],
        detector: str | Detector,
    ):
        # Loads what is needed: dlib for 68 points only.
        from fer_tf.faces.dlib_faces import PointFinder

        self._dst, self._options, self._files, self._stamps = dst, options, files, stamps
        self._finder = PointFinder(detector, options.points)

    def run(self, left: Sequence[tuple[Path, str]], done: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
        """Do what is left, adding it to the journal and to ``done``; return what was skipped, and why."""
        notes = []
        with (
            bar(len(done) + len(left), "Masking", "image", len(done)) as progress,
            (self._dst / records.JOURNAL).open("ab") as journal,
        ):
            for batch in reading.batches(left, 1, {}):
                pictures = [r.picture for r in batch if r.picture is not None]
                detected = iter(self._finder.detect(pictures) if pictures else [])
                for r in batch:
                    faces = [] if r.picture is None else self._masked(r.source, r.picture, next(detected))
                    if faces:
                        file, stamp = self._files[r.source], self._stamps[r.source]
                        done[r.source] = {"source": r.source, "file": file, "stamp": stamp, "faces": faces}
                        journal.write(json.dumps(done[r.source]).encode("ascii") + b"\n")
                        journal.flush()
                    else:
                        # There may be one of an earlier run, when the source was another picture.
                        (self._dst / self._files[r.source]).unlink(missing_ok=True)
                        notes.append((r.source, r.reason or NO_FACE))
                    progress.update()
        return notes

    def _masked(self, name: str, picture: np.ndarray, found: Detections) -> list[dict[str, Any]]:
        """Mask one photograph's faces and write it; return the journal's rows of them, none if there is nothing."""
        points = self._points(picture, found)
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        # Small faces first: they are farther away, and masks of nearer ones lie over theirs.
        order = sorted((i for i in range(len(found)) if np.isfinite(points[i]).all()), key=lambda i: sides[i].prod())
        gray = (picture == picture[..., :1]).all()
        image, rows = picture[..., :1] if gray else picture, []
        for i in order[-1:] if self._options.cut else order:
            try:
                image, kind = self._changed(image, points[i], face_seed(self._options.seed, name, i))
            except UserError:  # Points that are no face's; the other faces are masked all the same.
                continue
            box = [round(float(v), 3) for v in found.boxes[i]]
            rows.append({"face": i, "kind": kind, "score": round(float(found.scores[i]), 6), "box": box})
        if rows:
            _write(image, self._dst / self._files[name])
        return sorted(rows, key=lambda row: row["face"])

    def _points(self, picture: np.ndarray, found: Detections) -> list[np.ndarray]:
        """Return each face's points; the detector's five where 68 do not fit it."""
        points = self._finder.points(picture, found) if len(found) else []
        return [p if np.isfinite(p).all() else five for p, five in zip(points, found.landmarks, strict=True)]

    def _changed(self, image: np.ndarray, points: np.ndarray, seed: tuple[int, ...]) -> tuple[np.ndarray, str]:
        if self._options.cut:
            return cut_face(image, points, fill=self._options.fill, enlarge=self._options.enlarge), "cut"
        kind = self._options.kind
        if kind == RANDOM:
            names = sorted(MASKS)
            kind = names[np.random.default_rng((*seed, 1)).integers(len(names))]
        return put_mask(image, points, kind, seed=seed, color=self._options.color).image, kind


def _write(image: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, 1 or 3) in the format of the suffix."""
    how = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}
    suffix = path.suffix.lower().replace("jpeg", "jpg")
    with atomic.replacing(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, **how.get(suffix, {}))

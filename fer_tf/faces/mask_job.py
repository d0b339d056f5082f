"""Masks on a folder tree of photographs: the same tree out, and a table of who wears what.

The job may be killed at any time: started again it keeps the pictures that are done. A face's mask depends on the seed,
the picture's name and the face's number alone, so that order and interruptions change nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fer_tf import callstring
from fer_tf.errors import UserError, unknown_name
from fer_tf.faces import mask_records as records
from fer_tf.faces.crops import NO_FACE
from fer_tf.faces.cut import cut_face
from fer_tf.faces.detectors import DETECTORS, Detections, Detector
from fer_tf.faces.masks import MASKS, drawn_kind, face_seed, put_mask, read_color
from fer_tf.io import atomic, folders, read_ahead
from fer_tf.progress import bar

if TYPE_CHECKING:
    from fer_tf.faces.dlib_faces import PointFinder

RANDOM = "random"
SURGICAL = "surgical"


@dataclass(frozen=True)
class MaskOptions:
    """How faces are masked.

    Attributes:
        kind: call string of a row of ``MASKS``, or ``random``.
        seed: draws colours and folds, ≥ 0.
        color: ``None`` draws it.
        detector: call string, see ``detectors``.
        points: 5, the detector's own, or 68, which follow the jaw and need the extra ``landmarks``.
        cut: in place of a mask, cut the largest face off below the eyes; nothing is drawn, so that ``kind``, ``seed``
            and ``color`` must be left alone.
        enlarge: with ``cut``, turn the upper face upright and enlarge it.
        fill: with ``cut``, the level of what is removed.

    Raises:
        UserError: a value out of range.
    """

    kind: str = SURGICAL
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
        if self.cut and (self.kind != SURGICAL or self.seed or self.color is not None):
            raise UserError("A cut face has no mask. Leave kind, seed and color out, or cut.")
        if self.enlarge and self.fill:
            raise UserError("An enlarged face leaves nothing to fill. Leave enlarge or fill out.")
        _ = DETECTORS[callstring.parse(self.detector)[0]]
        self._check_kind()

    def _check_kind(self) -> None:
        color = None if self.color is None else read_color(self.color)
        if self.kind == RANDOM:
            return
        name = callstring.parse(self.kind)[0]
        if name == RANDOM:
            raise UserError(f"kind={self.kind!r}: {RANDOM} takes no options.")
        if name not in MASKS:
            raise unknown_name("mask", name, [*MASKS, RANDOM])
        MASKS.make(self.kind, np.random.default_rng(0), color)


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
        limit: read at most so many pictures, the first by name; what earlier jobs did of the others stays.
        detector: in place of ``options.detector``.

    Returns:
        What ``dst`` now holds.

    Raises:
        UserError: nothing to read, or a folder that cannot be used or holds another job's pictures.
    """
    src, dst, options = Path(src), Path(dst), options or MaskOptions()
    notes: list[tuple[str, str]] = []
    sources = folders.find_pictures(src, lambda name, reason: notes.append((name, reason)))
    records.check_places(src, dst)
    finder = None
    if overwrite or not (dst / records.OPTIONS).exists():  # A mistake in the detector must change nothing in dst.
        finder = _finder(options, detector)
    with atomic.folder_lock(dst):
        records.begin(dst, {"source": records.escaped(src.resolve()), **asdict(options)}, overwrite)
        known = {entry["source"]: entry for entry in records.read_journal(dst)}
        files = records.file_names([n for _, n in sources], {name: entry["file"] for name, entry in known.items()})
        done = {name: entry for name, entry in known.items() if (dst / entry["file"]).exists()}
        stamps = {name: records.stamp(path) for path, name in sources[:limit]}
        left = [s for s in sources[:limit] if s[1] not in done or done[s[1]]["stamp"] != stamps[s[1]]]
        if left:
            job = _Job(dst, options, files, stamps, finder or _finder(options, detector))
            notes += job.run(left, len(stamps), done)
        return records.write_tables(dst, [done[name] for name in sorted(done)], notes)


def _finder(options: MaskOptions, detector: Detector | None) -> "PointFinder":
    # Loads what is needed: dlib for 68 points only.
    from fer_tf.faces.dlib_faces import PointFinder

    return PointFinder(detector or options.detector, options.points)


class _Job:
    """What turns photographs into masked ones.

    Args:
        dst: output folder.
        options: how.
        files: by source, the file to write.
        stamps: by source, what the journal keeps to know it again.
        finder: finds faces and their points.
    """

    def __init__(
        self,
        dst: Path,
        options: MaskOptions,
        files: Mapping[str, str],
        stamps: Mapping[str, list[int]],
        finder: "PointFinder",
    ):
        self._dst, self._options, self._files, self._stamps, self._finder = dst, options, files, stamps, finder

    def run(
        self, left: Sequence[tuple[Path, str]], total: int, done: dict[str, dict[str, Any]]
    ) -> list[tuple[str, str]]:
        """Do what is left of ``total``, adding it to the journal and to ``done``; return what was skipped, and why."""
        notes = []
        with (
            bar(total, "Masking", "image", total - len(left)) as progress,
            (self._dst / records.JOURNAL).open("ab") as journal,
        ):
            for batch in read_ahead.read_batches(left, 1, {}):
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
                        done.pop(r.source, None)
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
        kind = drawn_kind(seed) if self._options.kind == RANDOM else self._options.kind
        return put_mask(image, points, kind, seed=seed, color=self._options.color).image, kind


def _write(image: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, 1 or 3) in the format of the suffix."""
    how = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}
    suffix = path.suffix.lower().replace("jpeg", "jpg")
    with atomic.atomic_write(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, **how.get(suffix, {}))

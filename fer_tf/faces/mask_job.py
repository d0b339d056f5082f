"""Mask the faces of a folder tree of photographs into the same tree.

A table says who wears which mask. A job that was stopped is resumed by the same call. A face's mask depends only on the
seed, the picture's name and the face's number, so that order and interruptions change nothing.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer_tf import callstring
from fer_tf.errors import UserError, unknown_name
from fer_tf.faces.detectors import DETECTORS, NO_FACE, Detections, Detector
from fer_tf.faces.dlib_faces import PointFinder
from fer_tf.faces.masks import MASKS, cut_face, drawn_kind, face_seed, put_mask, read_color
from fer_tf.io import folders, naming
from fer_tf.io.atomic import atomic_write
from fer_tf.io.folder_job import FolderJob, JobSummary, escape, stamp, work_through
from fer_tf.io.journal import Entry, Journal
from fer_tf.io.read_ahead import InputImage

RANDOM = "random"
SURGICAL = "surgical"
MASK_COLUMNS = ("source", "file", "face", "kind", "score", "x0", "y0", "x1", "y1")
# What Pillow writes as it reads it; others get .png at the end.
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class MaskOptions:
    """How faces are masked.

    Attributes:
        kind: call string of a row of ``MASKS``, or ``random``.
        seed: draws colors and wrinkles, ≥ 0.
        color: ``None`` draws it.
        detector: call string, see ``detectors``.
        points: 5, the detector's own, or 68, which follow the jaw and need the extra ``landmarks``.
        cut: in place of a mask, cut the largest face off below the eyes; nothing is drawn, so that ``kind``, ``seed``
            and ``color`` must be left alone.
        enlarge: with ``cut``, turn the upper face upright and enlarge it.
        fill: with ``cut``, the level of what is removed.

    Raises:
        UserError: a value out of range.

    Example:
        >>> MaskOptions(kind="n95(valve=True)").points
        5
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
) -> JobSummary:
    """Mask the faces of photographs, or resume a job that was stopped.

    Args:
        src: a photograph or a folder tree.
        dst: output folder: new, empty, or of this same job.
        options: ``None`` for the defaults.
        overwrite: first delete what an earlier job wrote.
        limit: read at most so many pictures, the first by name; what earlier jobs did of the others stays.
        detector: in place of ``options.detector``.

    Returns:
        What ``dst`` now holds.

    Raises:
        UserError: nothing to read, or a folder that cannot be used or holds another job's pictures.
    """
    src, job, options = Path(src), _MaskFolder(Path(dst)), options or MaskOptions()
    notes: dict[str, str] = {}
    sources = folders.find_pictures(src, notes.__setitem__)
    job.check_places(src)
    finder = None
    if overwrite or not job.exists:  # A mistake in the detector must change nothing in dst.
        finder = PointFinder(detector or options.detector, options.points)
    with job.opened({"source": escape(src.resolve()), **asdict(options)}, overwrite) as journal:
        known = {key[0]: place.name for key, place in journal.places.items()}
        files = naming.assign_files([name for _, name in sources], known, KEPT_SUFFIXES)
        stamps = {name: stamp(path) for path, name in sources[:limit]}
        job.forget_changed(journal, stamps, {name for _, name in sources})
        if any((name, None) not in journal.places for name in stamps):
            finder = finder or PointFinder(detector or options.detector, options.points)
            work = _Work(job.folder, options, files, stamps, finder)
            work_through(sources[:limit], journal, work, journal.append, "Masking")
        return job.write_tables(journal, MASK_COLUMNS, _rows, notes)


class _MaskFolder(FolderJob):
    settings_file = "mask.json"
    journal_file = ".mask-journal.jsonl"
    table = "masks.csv"
    holds = "faces masked"

    def forget_changed(self, journal: Journal, stamps: Mapping[str, tuple[int, int]], present: set[str]) -> None:
        """Leave out what has to be done again: changed sources, lost output; and sources without faces that are gone.

        What was written for a source that is gone stays.
        """
        changed = set()
        for (name, _), place in journal.places.items():
            lost = place.faces and not (self.folder / place.name).exists()
            gone = name not in present and not place.faces
            if lost or gone or stamps.get(name, place.stamp) != place.stamp:
                changed.add(name)
        journal.forget(changed)


class _Work:
    """Turn photographs into masked ones, write them, and return their journal entries.

    Args:
        folder: output folder.
        options: how.
        files: by source, the file to write.
        stamps: by source, its size and time of change.
        finder: finds faces and their points.
    """

    def __init__(
        self,
        folder: Path,
        options: MaskOptions,
        files: Mapping[str, str],
        stamps: Mapping[str, tuple[int, int]],
        finder: PointFinder,
    ):
        self._folder, self._options, self._files, self._stamps, self._finder = folder, options, files, stamps, finder
        self._turn = threading.Lock()

    def __call__(self, batch: Sequence[InputImage]) -> list[Entry]:
        pictures = [image.picture for image in batch if image.picture is not None]
        with self._turn:
            detected = self._finder.detect(pictures) if pictures else []
            points = [self._points(picture, found) for picture, found in zip(pictures, detected, strict=True)]
        found = iter(zip(detected, points, strict=True))
        return [self._entry(image, None if image.picture is None else next(found)) for image in batch]

    def _entry(self, image: InputImage, found: tuple[Detections, list[np.ndarray]] | None) -> Entry:
        file, reason = self._files[image.source], image.reason
        faces = [] if found is None else self._masked(image, *found, file)
        if not faces:
            reason = reason or NO_FACE
            # There may be one of an earlier run, when the source was another picture.
            (self._folder / file).unlink(missing_ok=True)
        return Entry(image.source, None, file, self._stamps[image.source], reason, tuple(faces))

    def _masked(
        self, image: InputImage, found: Detections, points: Sequence[np.ndarray], file: str
    ) -> list[dict[str, Any]]:
        """Mask one photograph's faces and write it; return the journal's rows of them, none if there is nothing."""
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        # Small faces first: they are farther away, and masks of nearer ones lie over theirs.
        order = sorted((i for i in range(len(found)) if np.isfinite(points[i]).all()), key=lambda i: sides[i].prod())
        gray = (image.picture == image.picture[..., :1]).all()
        masked, rows = image.picture[..., :1] if gray else image.picture, []
        for i in order[-1:] if self._options.cut else order:
            try:
                masked, kind = self._changed(masked, points[i], face_seed(self._options.seed, image.source, i))
            except UserError:  # Points that are no face's; the other faces are masked all the same.
                continue
            box = [round(float(v), 3) for v in found.boxes[i]]
            rows.append({"file": file, "face": i, "kind": kind, "score": round(float(found.scores[i]), 6), "box": box})
        if rows:
            _write(masked, self._folder / file)
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
    with atomic_write(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, **how.get(suffix, {}))


def _rows(entry: Entry) -> Iterable[tuple]:
    return [
        (entry.source, face["file"], face["face"], face["kind"], face["score"], *face["box"]) for face in entry.faces
    ]

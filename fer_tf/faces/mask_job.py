"""Masks on a folder tree of photographs: the same tree out, and a table of who wears what.

The job may be killed at any time: started again it keeps the pictures that are done. A face's mask depends on the seed,
the picture's name and the face's number alone, so that order and interruptions change nothing.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from fer_tf import atomic
from fer_tf.errors import UserError
from fer_tf.faces import photographs, reading
from fer_tf.faces.cut import cut_face
from fer_tf.faces.detectors import Detections, Detector
from fer_tf.faces.masks import MASKS, put_mask, read_color
from fer_tf.progress import bar

RANDOM = "random"
OPTIONS, MASKED, SKIPPED, JOURNAL = "mask.json", "masks.csv", "skipped.csv", ".mask-journal.jsonl"
COLUMNS = ("source", "file", "face", "kind", "score", "x0", "y0", "x1", "y1")
# What Pillow writes as it reads it; others get .png at the end.
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
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
        if self.enlarge and not self.cut:
            raise UserError("enlarge acts on cut faces only. Give cut as well.")
        if self.kind != RANDOM:
            MASKS.make(self.kind, np.random.default_rng(0), self.color and read_color(self.color))
        elif self.color:
            read_color(self.color)


@dataclass(frozen=True)
class Summary:
    """What an output folder holds: masked faces, the pictures they are in, skipped sources, and the tables."""

    faces: int
    pictures: int
    skipped: int
    files: tuple[Path, ...]


def mask_folder(
    src: Path | str,
    dst: Path | str,
    options: MaskOptions | None = None,
    *,
    overwrite: bool = False,
    limit: int | None = None,
    detector: Detector | None = None,
) -> Summary:
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
    _check_places(src, dst)
    with atomic.alone_in(dst):
        _begin(src, dst, options, overwrite)
        job = _Job(dst, options, dict(zip([n for _, n in sources], _files([n for _, n in sources]), strict=True)))
        stamps = {name: _stamp(path) for path, name in sources}
        done = {
            e["source"]: e
            for e in _entries(dst)
            if stamps.get(e["source"]) == e["stamp"] and (dst / e["file"]).exists()
        }
        left = [s for s in sources if s[1] not in done]
        if left:
            _work(job, left, stamps, len(done), detector or options.detector, done, notes)
        return _write_tables(dst, [done[n] for _, n in sources if n in done], notes)


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
    """What turns a photograph with found faces into a file."""

    def __init__(self, dst: Path, options: MaskOptions, files: dict[str, str]):
        self.dst, self.options, self.files = dst, options, files

    def finished(self, name: str, picture: np.ndarray, found: Detections, points: np.ndarray) -> list[dict[str, Any]]:
        """Mask one photograph's faces and write it; return its faces' records, none if nothing could be masked."""
        usable = [i for i in range(len(found)) if np.isfinite(points[i]).all()]
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        # Small faces first: they are farther away, and masks of nearer ones lie over theirs.
        order = sorted(usable, key=lambda i: float(sides[i].prod()))
        gray = (picture == picture[..., :1]).all()
        image, records = picture[..., :1] if gray else picture, []
        for i in order[-1:] if self.options.cut else order:
            try:
                image, kind = self._changed(image, points[i], face_seed(self.options.seed, name, i))
            except UserError:  # Points that are no face's; the other faces are masked all the same.
                continue
            box = [round(float(v), 3) for v in found.boxes[i]]
            records.append({"face": i, "kind": kind, "score": round(float(found.scores[i]), 6), "box": box})
        if records:
            self._write(image, self.dst / self.files[name])
        return sorted(records, key=lambda record: record["face"])

    def _changed(self, image: np.ndarray, points: np.ndarray, seed: tuple[int, ...]) -> tuple[np.ndarray, str]:
        if self.options.cut:
            return cut_face(image, points, fill=self.options.fill, enlarge=self.options.enlarge), "cut"
        kind = self.options.kind
        if kind == RANDOM:
            names = sorted(MASKS)
            kind = names[np.random.default_rng((*seed, 1)).integers(len(names))]
        return put_mask(image, points, kind, seed=seed, color=self.options.color).image, kind

    @staticmethod
    def _write(image: np.ndarray, path: Path) -> None:
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        suffix = path.suffix.lower()
        how = {"quality": 95, "subsampling": 0} if suffix in (".jpg", ".jpeg") else {}
        with atomic.replacing(path) as part:
            picture.save(part, **({"lossless": True} if suffix == ".webp" else how))


def _work(
    job: _Job, left: Sequence[tuple[Path, str]], stamps: dict[str, list[int]], before: int,
    detector: str | Detector, done: dict[str, dict], notes: list[tuple[str, str]],
) -> None:  # fmt: skip
    """Mask what is left; add to the journal, to ``done`` and to ``notes``."""
    # dlib is imported for 68 points only.
    from fer_tf.faces.dlib_faces import PointFinder

    finder = PointFinder(detector, job.options.points)
    with (
        bar(before + len(left), "Masking", "image", before) as progress,
        (job.dst / JOURNAL).open("ab") as journal,
    ):
        for batch in reading.batches(left, 1, {}):
            pictures = [r.picture for r in batch if r.picture is not None]
            detected = iter(finder.detect(pictures) if pictures else [])
            for r in batch:
                progress.update()
                if r.picture is None:
                    notes.append((r.source, r.reason))
                    continue
                found = next(detected)
                faces = (
                    job.finished(r.source, r.picture, found, _points(finder, r.picture, found)) if len(found) else []
                )
                if not faces:
                    notes.append((r.source, NO_FACE))
                    continue
                done[r.source] = {
                    "source": r.source, "stamp": stamps[r.source], "file": job.files[r.source], "faces": faces,
                }  # fmt: skip
                journal.write(json.dumps(done[r.source]).encode("ascii") + b"\n")
                journal.flush()


def _points(finder: Any, picture: np.ndarray, found: Detections) -> np.ndarray:
    """Return each face's points; the detector's five where 68 do not fit it."""
    points = finder.points(picture, found)
    return [p if np.isfinite(p).all() else five for p, five in zip(points, found.landmarks, strict=True)]


def _files(names: Sequence[str]) -> list[str]:
    """Give each source the file that it is written to: its own name, with .png after a suffix that is not written."""
    own = {n.casefold() for n in names}
    files = []
    for name in names:
        file = name
        while PurePosixPath(file).suffix.lower() not in KEPT_SUFFIXES or (file != name and file.casefold() in own):
            file += ".png"
        files.append(file)
    return files


def _check_places(src: Path, dst: Path) -> None:
    inner, outer = dst.resolve(), src.resolve()
    if inner == outer or (outer.is_dir() and inner.is_relative_to(outer)) or outer.is_relative_to(inner):
        raise UserError(f"{src} and {dst}: one is inside the other. Give an output folder elsewhere.")


def _begin(src: Path, dst: Path, options: MaskOptions, overwrite: bool) -> None:
    """Make ``mask.json``, or check that the folder's is of this job; with ``overwrite`` delete what is listed."""
    path, wanted = dst / OPTIONS, {"source": str(src.resolve()), **asdict(options)}
    if not path.exists() and any(p.name not in (".lock", OPTIONS) for p in dst.iterdir()):
        raise UserError(f"{dst} is not empty and holds no {OPTIONS} of an earlier job. Give an empty or new folder.")
    for part in dst.rglob(".part-*"):
        part.unlink(missing_ok=True)
    if path.exists() and not overwrite:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            differing = [name for name in wanted if found[name] != wanted[name]]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is no record of a mask job. Give another folder.") from None
        if differing:
            name = differing[0]
            raise UserError(
                f"{dst} holds faces masked with {name}={found[name]!r}, now it is {wanted[name]!r}. "
                "Give --overwrite or another folder."
            )
        return
    for entry in _entries(dst):
        (dst / entry["file"]).unlink(missing_ok=True)
    for name in (JOURNAL, MASKED, SKIPPED):
        (dst / name).unlink(missing_ok=True)
    atomic.write_json(path, wanted)


def _entries(dst: Path) -> list[dict[str, Any]]:
    """Read the journal; a line that was cut short by the end of the process is cut off the file."""
    path, entries, whole = dst / JOURNAL, [], 0
    if not path.exists():
        return []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
        whole += len(line)
    if whole != path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(whole)
    return entries


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _write_tables(dst: Path, entries: Sequence[dict[str, Any]], notes: Iterable[tuple[str, str]]) -> Summary:
    rows = [
        (e["source"], e["file"], face["face"], face["kind"], face["score"], *face["box"])
        for e in entries
        for face in e["faces"]
    ]
    skipped = sorted(notes)
    for name, header, table in ((MASKED, COLUMNS, rows), (SKIPPED, ("source", "reason"), skipped)):
        # Escaped, since a table with names that are no UTF-8 could not be read by others.
        with (
            atomic.replacing(dst / name) as part,
            part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows([header, *table])
    return Summary(len(rows), len(entries), len(skipped), (dst / MASKED, dst / SKIPPED))

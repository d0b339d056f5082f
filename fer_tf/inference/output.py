"""Hold the results of analysis, and write them as CSV, JSON and tables."""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fer_tf.errors import UserError, printable
from fer_tf.faces.detectors import NO_FACE, POINT_COLUMNS, plausible
from fer_tf.io import atomic
from fer_tf.io.folder_job import SKIPPED_COLUMNS
from fer_tf.io.tables import cell
from fer_tf.labels import LabelSet

# JSON and CSV keep pixels to a thousandth and probabilities to a millionth.
PIXEL_DIGITS, SHARE_DIGITS, SECOND_DIGITS = 3, 6, 4


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face in a photograph or in a frame of a video.

    Attributes:
        source: Path of the file as it was given, ``"webcam 0"``, or the index of an array.
        frame: Index of the video frame, from 0; ``None`` for a photograph.
        time: Time of the video frame in seconds; ``None`` for a photograph.
        index: Index of the face in its image, by falling detection score.
        box: (x0, y0, x1, y1) in pixels; it may reach beyond the image.
        score: Detection score from 0 to 1; ``None`` if no detector was used.
        landmarks: float32 array of shape (5, 2), x and y in pixels, of the right eye, left eye, nose, right and left
            corner of the mouth; ``None`` if no detector was used.
        distribution: Dict from class to probability, in the order of the label set. The values sum to 1.
        label: The most probable class.
        track: Number of the person in a video, the same in each frame; ``None`` for a photograph.

    Example:
        >>> face = Face("a.jpg", None, None, 0, (1, 2, 30, 40), 0.9, None, {"happy": 0.8, "sad": 0.2}, "happy")
        >>> face.to_json()["distribution"]
        {'happy': 0.8, 'sad': 0.2}
        >>> Face.from_json(face.to_json()).box
        (1, 2, 30, 40)
    """

    source: str
    frame: int | None
    time: float | None
    index: int
    box: tuple[float, float, float, float]
    score: float | None
    landmarks: np.ndarray | None
    distribution: dict[str, float]
    label: str
    track: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the face as a dict of JSON values."""
        points = (
            None if self.landmarks is None else [[round(float(v), PIXEL_DIGITS) for v in p] for p in self.landmarks]
        )
        return {
            "source": self.source,
            "frame": self.frame,
            "time": None if self.time is None else round(self.time, SECOND_DIGITS),
            "index": self.index,
            "track": self.track,
            "box": [round(v, PIXEL_DIGITS) for v in self.box],
            "score": None if self.score is None else round(self.score, SHARE_DIGITS),
            "landmarks": points,
            "doubtful": self.doubtful,
            "distribution": {name: round(p, SHARE_DIGITS) for name, p in self.distribution.items()},
            "label": self.label,
        }

    @property
    def doubtful(self) -> bool:
        """Whether the landmarks are not arranged as a face's: it may be turned, so that its expression is misread."""
        return self.landmarks is not None and not plausible(np.array([self.box]), self.landmarks[None])[0]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Face":
        """Create a face from the dict that ``to_json`` returns."""
        values = {name: value for name, value in values.items() if name != "doubtful"}
        points = values["landmarks"]
        points = None if points is None else np.asarray(points, np.float32)
        return cls(**{**values, "box": tuple(values["box"]), "landmarks": points})

    def with_distribution(self, distribution: dict[str, float], track: int | None) -> "Face":
        """Return a copy with another distribution, and the label that follows from it."""
        label = max(distribution, key=distribution.get)
        return dataclasses.replace(self, distribution=distribution, label=label, track=track)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageResult:
    """Faces of one photograph or video frame, or the reason why it was not read.

    Attributes:
        source: As in ``Face``.
        frame: As in ``Face``; ``None`` also for the damaged rest of a video.
        time: As in ``Face``.
        picture: uint8 array of shape (H, W, 3); ``None`` if the image was not read.
        faces: The faces, by falling detection score.
        reason: Why the image was not read; empty if it was.
        note: Why it may have more faces, and how they are found; empty if there is no reason to think so.

    Example:
        >>> result = ImageResult("damaged.jpg", None, None, None, reason="The file is truncated.")
        >>> result.faces, result.reason
        ((), 'The file is truncated.')
    """

    source: str
    frame: int | None
    time: float | None
    picture: np.ndarray | None
    faces: tuple[Face, ...] = ()
    reason: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted distributions of a batch of faces.

    Attributes:
        probabilities: float32 array of shape (N, C); each row sums to 1.
        label_set: Names and order of the C classes.

    Example:
        >>> import numpy as np
        >>> from fer_tf.labels import LabelSet
        >>> prediction = Prediction(np.array([[0.9, 0.1]], np.float32), LabelSet("two", ("happy", "sad")))
        >>> prediction.labels
        ['happy']
    """

    probabilities: np.ndarray
    label_set: LabelSet

    @property
    def labels(self) -> list[str]:
        """The most probable class of each face: N names."""
        return [self.label_set.classes[i] for i in self.probabilities.argmax(axis=1)]

    def __len__(self) -> int:
        return len(self.probabilities)


FACE_COLUMNS = (
    "source", "frame", "time", "index", "track", "score", "x0", "y0", "x1", "y1", *POINT_COLUMNS,
    "doubtful", "label", "probability",
)  # fmt: skip
JSON_SUFFIXES = (".json", ".jsonl")
# File names that are not UTF-8 are escaped, so that other programs can read the table.
WRITING = {"mode": "w", "newline": "", "encoding": "utf-8", "errors": "backslashreplace"}


class Writer(Protocol):
    """Interface of result writers: a context manager whose file appears when the block ends without error."""

    files: list[Path]

    def __enter__(self) -> "Writer": ...

    def __exit__(self, *error: Any) -> None: ...

    def add(self, result: ImageResult) -> None:
        """Write the faces of one image."""
        ...


class _FileWriter:
    """Write one text file, which appears when the block ends without error."""

    def __init__(self, path: Path):
        self.path, self.files = Path(path), [Path(path)]
        if self.path.is_dir():
            raise UserError(f"{path} is a folder. Expected the name of a file.")

    def __enter__(self) -> "_FileWriter":
        with ExitStack() as stack:
            self._file = stack.enter_context(stack.enter_context(atomic.atomic_write(self.path)).open(**WRITING))
            self.begin()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None:
            self.end()
        return self._open.__exit__(*error)

    def begin(self) -> None:
        """Write the header."""

    def end(self) -> None:
        """Write the end of the file."""


class CsvWriter(_FileWriter):
    """Write a CSV row for each face: ``FACE_COLUMNS`` and one column for each class."""

    def __init__(self, path: Path, label_set: LabelSet):
        super().__init__(path)
        self._classes = label_set.classes

    def begin(self) -> None:
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow([*FACE_COLUMNS, *map(cell, self._classes)])

    def add(self, result: ImageResult) -> None:
        self._writer.writerows(map(_row, result.faces))


class JsonWriter(_FileWriter):
    """Write ``Face.to_json`` of each face: an array in a ``.json`` file, lines in a ``.jsonl`` file."""

    def __init__(self, path: Path):
        super().__init__(path)
        if self.path.suffix.lower() not in JSON_SUFFIXES:
            raise UserError(f"{path}: unknown suffix. Expected .json (an array) or .jsonl (a line for each face).")
        self._lines, self._count = self.path.suffix.lower() == ".jsonl", 0

    def begin(self) -> None:
        self._file.write("" if self._lines else "[")

    def add(self, result: ImageResult) -> None:
        for face in result.faces:
            text = json.dumps(face.to_json(), ensure_ascii=False, allow_nan=False)
            before = "" if self._lines else ",\n" if self._count else "\n"
            self._file.write(f"{before}{text}" + ("\n" if self._lines else ""))
            self._count += 1

    def end(self) -> None:
        self._file.write("" if self._lines else "\n]\n")


class SkippedWriter(_FileWriter):
    """Write a CSV row for each image that was not read or has no face."""

    def begin(self) -> None:
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(SKIPPED_COLUMNS)

    def add(self, result: ImageResult) -> None:
        reason = result.reason or ("" if result.faces else f"{NO_FACE} {result.note}".rstrip())
        if reason:
            self._writer.writerow([cell(result.source), _blank(result.frame), reason])


def _row(face: Face) -> list[Any]:
    points = [""] * len(POINT_COLUMNS)
    if face.landmarks is not None:
        points = [round(float(v), PIXEL_DIGITS) for v in face.landmarks.ravel()]
    time = "" if face.time is None else round(face.time, SECOND_DIGITS)
    score = "" if face.score is None else round(face.score, SHARE_DIGITS)
    shares = [round(p, SHARE_DIGITS) for p in face.distribution.values()]
    return [
        cell(face.source), _blank(face.frame), time, face.index, _blank(face.track), score,
        *(round(v, PIXEL_DIGITS) for v in face.box), *points, int(face.doubtful),
        cell(face.label), max(shares), *shares,
    ]  # fmt: skip


def _blank(value: Any) -> Any:
    return "" if value is None else value


# What the table and gradcam add to a face that may be turned.
DOUBTFUL = "  (doubtful landmarks)"
# Lines of faces, and of skipped files, after which they are only counted.
LINES = 40
LONGEST_NAME = 32


class Table:
    """Format results as lines of text and count them, without keeping them."""

    def __init__(self, names: Sequence[str], moving: bool, lines: int = LINES):
        """Set the widths of the columns.

        Args:
            names: Sources that will appear; long names are shortened in the middle.
            moving: Whether there are videos, which have columns for frame and time.
            lines: Number of faces to show.
        """
        self._width = min(LONGEST_NAME, max([len("source"), *(len(printable(n)) for n in names)]))
        self._moving, self._most = moving, lines
        self.labels: Counter[str] = Counter()
        self.faces = self.pictures = self.empty = self.skipped = self.noted = 0
        self.first_reason = ""

    def header(self) -> str:
        """Return the header line."""
        frame = f"{'frame':>7} {'time':>8} {'who':>4} " if self._moving else f"{'face':>5} "
        return f"{'source':{self._width}} {frame}{'x,y w×h':>20} {'score':>5}  expression"

    def add(self, result: ImageResult) -> Iterator[str]:
        """Count one result and yield its lines."""
        if result.reason:
            self.skipped += 1
            self.first_reason = self.first_reason or f"{result.source}: {result.reason}"
            if self.skipped <= LINES:
                yield f"{self._name(result.source)} skipped: {printable(result.reason)}"
            return
        self.pictures += 1
        if not result.faces:
            self.empty += 1
            # Frames without a face are many, so they are only counted.
            if result.frame is None and self.empty <= LINES:
                yield f"{self._name(result.source)} no face found{'. ' * bool(result.note)}{result.note}"
        for face in result.faces:
            self.faces += 1
            self.labels[face.label] += 1
            if self.faces == 1 and self._most:
                yield self.header()
            if self.faces <= self._most:
                yield self._line(face)
        if result.faces and result.note:
            self.noted += 1
            if self.noted <= LINES:
                yield f"{self._name(result.source)} {result.note}"

    def summary(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        hidden = self.faces - self._most
        if hidden > 0 and self._most:
            yield f"… and {counted(hidden, 'more face')} (--lines shows more, --csv and --json write all)"
        noun = "frame" if self._moving else "picture"
        text = f"{counted(self.faces, 'face')} in {counted(self.pictures, noun)}"
        if self.labels:
            text += ": " + ", ".join(f"{name} {count:,}" for name, count in self.labels.most_common())
        text += f"; no face in {self.empty:,}" if self.empty else ""
        yield text + (f"; {self.skipped:,} skipped" if self.skipped else "")

    def _line(self, face: Face) -> str:
        x0, y0, x1, y1 = face.box
        where = f"{x0:.0f},{y0:.0f} {x1 - x0:.0f}×{y1 - y0:.0f}"
        if self._moving:
            frame = "" if face.frame is None else f"{face.frame:,}"
            time = "" if face.time is None else f"{face.time:.2f} s"
            who = face.index if face.track is None else face.track + 1
            place = f"{frame:>7} {time:>8} {who:>4} "
        else:
            place = f"{face.index + 1:>5} "
        score = "" if face.score is None else f"{face.score:.2f}"
        best = sorted(face.distribution.items(), key=lambda pair: -pair[1])[:3]
        shares = "  ".join(f"{name} {100 * p:.0f} %" for name, p in best)
        doubt = DOUBTFUL if face.doubtful else ""
        return f"{self._name(face.source)} {place}{where:>20} {score:>5}  {shares}{doubt}"

    def _name(self, source: str) -> str:
        text = printable(source)
        if len(text) > self._width:
            # The end of a path tells more than its beginning.
            text = text[: self._width // 4] + "…" + text[len(text) - (self._width - self._width // 4 - 1) :]
        return f"{text:{self._width}}"


def counted(number: int, noun: str) -> str:
    """Return ``"1 face"``, ``"1,234 faces"``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

"""Run a job on a folder of pictures that can be stopped and resumed.

A job may be stopped at any time; the same call resumes it. The output folder holds the job's settings, by which it is
known again, a journal of what is done, the output, and two tables: what was written, and what was skipped and why.
"""

import contextlib
import csv
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError
from fer_tf.io import video
from fer_tf.io.atomic import atomic_write, folder_lock, write_json
from fer_tf.io.folders import is_litter
from fer_tf.io.tables import Entry, Journal, cell
from fer_tf.io.video import InputImage, read_batches, two_at_a_time
from fer_tf.progress import bar

__all__ = ["SKIPPED_COLUMNS", "FolderJob", "JobSummary", "escape", "stamp", "work_through", "write_table"]

SKIPPED = "skipped.csv"
SKIPPED_COLUMNS = ("source", "video_frame", "reason")


@dataclass(frozen=True)
class JobSummary:
    """What the output folder of a job holds.

    Attributes:
        faces: how many faces.
        pictures: of how many pictures and video frames.
        skipped: how many sources and frames gave none.
        files: the tables that were written.

    Example:
        >>> JobSummary(faces=3, pictures=2, skipped=0, files=()).faces
        3
    """

    faces: int
    pictures: int
    skipped: int
    files: tuple[Path, ...]


class FolderJob:
    """An output folder, its settings and its journal; subclasses say what else they write.

    Args:
        folder: the output folder: new, empty, or of this same job.

    Attributes:
        settings_file: name of the JSON file with the settings.
        journal_file: name of the journal.
        table: name of the table of what was written.
        holds: what the folder holds, for messages.
        free: settings that may differ when a job is resumed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     job = FolderJob(Path(folder) / "out")
        ...     with job.opened({"size": 48}) as journal:
        ...         journal.append([Entry("a.jpg", None, "a", (0, 0), faces=({"file": "a.png"},))])
        ...     with job.opened({"size": 64}):
        ...         pass
        Traceback (most recent call last):
        fer_tf.errors.UserError: ... holds faces with size=48, now it is 64. Give --overwrite or another folder.
    """

    settings_file = "job.json"
    journal_file = ".journal.jsonl"
    table = "faces.csv"
    holds = "faces"
    free: tuple[str, ...] = ()

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether the folder holds a job."""
        return (self.folder / self.settings_file).exists()

    def check_places(self, src: Path) -> None:
        """Raise a ``UserError`` if the input folder is in the output folder, or the other way round."""
        inner, outer = self.folder.resolve(), src.resolve()
        if outer.is_dir() and inner.is_relative_to(outer):
            raise UserError(f"{self.folder} is inside {src}: its faces would be read again. Give a folder outside.")
        if outer.is_relative_to(inner) and self.exists:
            raise UserError(f"{src} is inside {self.folder}, which holds {self.holds}. Give another output folder.")

    @contextlib.contextmanager
    def opened(self, settings: Mapping[str, Any], overwrite: bool = False) -> Iterator[Journal]:
        """Begin the job or resume it, with a lock on the folder; yield the journal.

        Args:
            settings: by name, what the output depends on, as JSON.
            overwrite: first delete what an earlier job wrote.

        Raises:
            UserError: the folder holds something else, or the output of other settings; another process is at work.
        """
        with folder_lock(self.folder):
            if not self.exists and any(not is_litter(p.name) for p in self.folder.iterdir()):
                raise UserError(
                    f"{self.folder} is not empty and holds no {self.settings_file} of an earlier job. "
                    "Give an empty or new folder."
                )
            for part in self.folder.rglob(".part-*"):
                part.unlink(missing_ok=True)
            if overwrite and self.exists:
                self._clear()
            with Journal(self.folder / self.journal_file) as journal:
                if differs := self._difference(settings):
                    if self.started(journal):
                        raise UserError(f"{self.folder} {differs}. Give --overwrite or another folder.")
                    journal.clear()
                write_json(self.folder / self.settings_file, settings)
                yield journal

    def started(self, journal: Journal) -> bool:
        """Return whether there is output that depends on the settings."""
        return any(place.faces for place in journal.places.values())

    def clear(self, journal: Journal) -> None:
        """Delete the output; the tables, the journal and the settings are deleted after it."""
        for entry in journal.entries():
            for file in {face["file"] for face in entry.faces if isinstance(face["file"], str)}:
                path = self.folder / file
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    for folder in path.relative_to(self.folder).parents:
                        (self.folder / folder).rmdir()

    def write_tables(
        self,
        journal: Journal,
        columns: Sequence[str],
        rows_of: Callable[[Entry], Iterable[Sequence]],
        notes: Mapping[str, str],
    ) -> JobSummary:
        """Write the tables of what was written and of what was skipped.

        Args:
            journal: the job's.
            columns: of the first table.
            rows_of: returns the rows of an entry.
            notes: by name, why folders and files were left out before the job.
        """
        counts = {"faces": 0, "pictures": 0}
        skipped = [(name, "", reason) for name, reason in notes.items()]

        def rows() -> Iterator[Sequence]:
            for entry in journal.entries():
                yield from rows_of(entry)
                counts["faces"] += len(entry.faces)
                counts["pictures"] += bool(entry.faces)
                if entry.reason:
                    frame = "" if entry.video_frame is None else entry.video_frame
                    skipped.append((entry.source, frame, entry.reason))

        files = (self.folder / self.table, self.folder / SKIPPED)
        write_table(files[0], columns, rows())
        rows_skipped = [(cell(source), *rest) for source, *rest in sorted(skipped, key=lambda row: row[0])]
        write_table(files[1], SKIPPED_COLUMNS, rows_skipped)
        return JobSummary(**counts, skipped=len(skipped), files=files)

    def _clear(self) -> None:
        with Journal(self.folder / self.journal_file) as journal:
            self.clear(journal)
        # The settings last, so that a clearing that was stopped can be repeated.
        for name in (self.table, SKIPPED, self.journal_file, self.settings_file):
            (self.folder / name).unlink(missing_ok=True)

    def _difference(self, wanted: Mapping[str, Any]) -> str:
        """Say in which setting the folder's job differs; empty if in none, or if there is no job yet."""
        path = self.folder / self.settings_file
        if not path.exists():
            return ""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            name = next((n for n in wanted if n not in self.free and found[n] != wanted[n]), None)
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is no record of such a job. Give another folder.") from None
        return f"holds {self.holds} with {name}={found[name]!r}, now it is {wanted[name]!r}" if name else ""


def work_through(
    sources: Sequence[tuple[Path, str]],
    journal: Journal,
    work: Callable[[Sequence[InputImage]], Any],
    write: Callable[[Any], None],
    description: str,
    every: int = 1,
    batches: Iterator[list[InputImage]] | None = None,
    total: int | None = None,
) -> None:
    """Read the sources that the journal lacks, work on them batch by batch, and write the results in order.

    Args:
        sources: files and names.
        journal: what is done.
        work: called with a batch, from two threads at once.
        write: called with what ``work`` returned, in order.
        description: of the progress bar.
        every: take every n-th frame of a video.
        batches: what the journal lacks, in place of the sources.
        total: how many images there are with those in the journal, for the progress bar; ``None`` counts the sources.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, Journal(Path(folder) / "journal.jsonl") as journal:
        ...     work_through([(Path("none.jpg"), "none.jpg")], journal, lambda batch: batch[0].reason, print, "Example")
        no such picture.
    """
    done = defaultdict(set)
    for source, frame in journal.places:
        done[source].add(frame)
    initial = sum(None in done[name] for _, name in sources) if batches is None else len(done)
    if total is None and not any(video.is_video(name) for _, name in sources):
        total = len(sources)
    batches = batches or read_batches(sources, every, done)
    with bar(total, description, "image", initial) as progress, contextlib.closing(batches):
        for batch, result in two_at_a_time(work, batches):
            write(result)
            progress.update(sum(image.picture is not None or bool(image.reason) for image in batch))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    r"""Write a CSV table atomically; bytes of names that are not UTF-8 are written as ``\udc..``.

    Args:
        path: the file.
        columns: the header.
        rows: of the table.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_table(Path(folder) / "t.csv", ["source", "face"], [["a.jpg", 0]])
        ...     (Path(folder) / "t.csv").read_text()
        'source,face\na.jpg,0\n'
    """
    writing = {"mode": "w", "newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    with atomic_write(path) as part, part.open(**writing) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        names = [i for i, column in enumerate(columns) if column in ("source", "file")]
        writer.writerows([cell(value) if i in names else value for i, value in enumerate(row)] for row in rows)


def escape(name: object) -> str:
    r"""Return a name as text that can be written: bytes that are not UTF-8 become ``\udc..``.

    Args:
        name: a file's name or path.

    Example:
        >>> escape("caf\udce9")
        'caf\\udce9'
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def stamp(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and the time of its last change in nanoseconds; zeros if there is no file.

    Args:
        path: the file.

    Example:
        >>> stamp(Path("none.jpg"))
        (0, 0)
    """
    try:
        # os.stat takes a third of the time of Path.stat, and there are many files.
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns

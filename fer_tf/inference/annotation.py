"""Write annotated copies of photographs and videos, and timelines of videos."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.inference.drawing import annotate, colors
from fer_tf.inference.output import Face, ImageResult
from fer_tf.inference.sources import Found
from fer_tf.io import atomic, folders, video
from fer_tf.labels import LabelSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 1024
PEOPLE = 4
# Number of people whose bins are kept; those who were seen least are dropped first.
KEPT = 64
FIRST_WIDTH = 0.02
INK = "#24292f"


class Timeline:
    """Collect mean distributions per person and time bin; bins double in width when there are more than ``BINS``."""

    def __init__(self, label_set: LabelSet):
        self.label_set, self.width, self._end = label_set, FIRST_WIDTH, 0.0
        # By person: bin → sum of distributions, followed by their count.
        self._bins: dict[int, dict[int, np.ndarray]] = {}

    def add(self, faces: Iterable[Face]) -> None:
        """Add the faces of a video frame; faces of photographs have no time and are ignored."""
        for face in faces:
            if face.time is not None:
                self._end = max(self._end, face.time)
                while self._end >= BINS * self.width:
                    self._halve()
                bins = self._bins.setdefault(face.track or 0, {})
                row = np.append(list(face.distribution.values()), 1.0)
                place = max(0, int(face.time / self.width))
                bins[place] = bins[place] + row if place in bins else row
        if len(self._bins) > 2 * KEPT:
            self._bins = {track: self._bins[track] for track in self._most_seen(KEPT)}

    def people(self, most: int = PEOPLE) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Return the series of the people who were seen most, in the order of their track numbers.

        Returns:
            For each person the track number, the centers (T,) of the time bins in seconds, and the mean distributions
            (T, C).
        """
        return [(track, *self._series(track)) for track in sorted(self._most_seen(most))]

    def __len__(self) -> int:
        return len(self._bins)

    def _most_seen(self, most: int) -> list[int]:
        seen = {track: sum(row[-1] for row in bins.values()) for track, bins in self._bins.items()}
        return sorted(seen, key=lambda track: (-seen[track], track))[:most]

    def _series(self, track: int) -> tuple[np.ndarray, np.ndarray]:
        bins = self._bins[track]
        places = sorted(bins)
        rows = np.array([bins[p] for p in places])
        return (np.array(places) + 0.5) * self.width, rows[:, :-1] / rows[:, -1:]

    def _halve(self) -> None:
        self.width *= 2
        for track, bins in self._bins.items():
            merged: dict[int, np.ndarray] = {}
            for place, row in bins.items():
                merged[place // 2] = merged[place // 2] + row if place // 2 in merged else row
            self._bins[track] = merged


def draw_timeline(timeline: Timeline, title: str = "", gap: float = 1.0) -> "Figure":
    """Plot each person's distribution over time as stacked areas.

    Args:
        timeline: The distributions to plot.
        title: Title of the figure.
        gap: Seconds without a face that leave a white gap.

    Returns:
        A matplotlib figure, which belongs to no window.
    """
    from matplotlib.figure import Figure

    people = timeline.people()
    rows = max(1, len(people))
    figure = Figure(figsize=(10, 1.2 + 1.9 * rows), layout="constrained")
    all_axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    color = colors(timeline.label_set.classes)
    for axes, (track, times, shares) in zip(all_axes, people, strict=False):
        for start, end in _runs(times, max(gap, 2.5 * timeline.width)):
            x, y = _widened(times[start:end], shares[start:end], timeline.width)
            axes.stackplot(x, 100 * y.T, colors=list(color.values()), lw=0)
        axes.set_ylabel(f"face {track + 1}\n%")
    for axes in all_axes:
        axes.set(ylim=(0, 100), yticks=(0, 50, 100))
        axes.spines[["top", "right"]].set_visible(False)
    if not people:
        all_axes[0].text(0.5, 0.5, "no face found", transform=all_axes[0].transAxes, ha="center", color=INK)
    all_axes[-1].set_xlabel("time (s)")
    hidden = len(timeline) - len(people)
    more = f" ({hidden} more {'face' if hidden == 1 else 'faces'} seen for less time)" if hidden > 0 else ""
    all_axes[0].set_title(title + more, fontsize=10, loc="left")
    _legend(figure, color)
    return figure


def _legend(figure: "Figure", color: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=c, label=name) for name, c in color.items()]
    figure.legend(handles=handles[::-1], loc="outside right upper", frameon=False, fontsize=9)


def _runs(times: np.ndarray, gap: float) -> list[tuple[int, int]]:
    """Return start and end of the stretches without a gap."""
    cuts = np.flatnonzero(np.diff(times) > gap) + 1
    ends = [*cuts.tolist(), len(times)]
    return list(zip([0, *cuts.tolist()], ends, strict=True))


def _widened(times: np.ndarray, shares: np.ndarray, width: float) -> tuple[Sequence[float], np.ndarray]:
    """Make a single moment as wide as its bin, so that it is seen."""
    if len(times) > 1:
        return times, shares
    return [times[0] - width / 2, times[0] + width / 2], np.repeat(shares, 2, axis=0)


QUALITY = 92
# Clock ticks a second; MPEG-4 part 2 needs fewer than 65,536.
TICKS = 10_000
# H.264 plays in browsers; a PyAV build without it has MPEG-4.
CODECS = (("libx264", {"crf": "20", "preset": "veryfast"}), ("mpeg4", {"q": "3"}))


def output_names(found: Sequence[Found]) -> dict[str, str]:
    """Choose the output name of each source's annotated copy, without suffix.

    ``a/b.jpg`` becomes ``a/b_faces``. A name that is taken, ignoring case, gets ``~2`` and so on.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for one in found:
        plain = folders.short(str(PurePosixPath(one.relative).with_suffix(""))) + "_faces"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}~{number}", number + 1
        taken.add(name.casefold())
        names[one.source] = name
    return names


def check_folder(folder: Path, inputs: Sequence[Path | str]) -> None:
    """Raise a ``UserError`` if annotated copies would be written among the inputs, or if ``folder`` is a file."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Expected a folder for the annotated copies.")
    for path in map(Path, inputs):
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise UserError(f"{folder} is inside {path}: its images would be read again. Give a folder outside.")


class Annotator:
    """Write an annotated copy of each image and video, and a timeline beside each video."""

    def __init__(self, folder: Path, names: Mapping[str, str], label_set: LabelSet):
        """Write into ``folder`` under the names from ``output_names``; other sources use their own name."""
        self.files: list[Path] = []
        self._folder, self._names, self._labels = folder, names, label_set
        self._video: tuple[str, VideoWriter, Timeline] | None = None

    def __enter__(self) -> "Annotator":
        return self

    def __exit__(self, *error: Any) -> None:
        self._close(*error)

    def add(self, result: ImageResult) -> None:
        """Draw the faces of one result; an image that was not read gives no copy."""
        if self._video and self._video[0] != result.source:
            self._close(None, None, None)
        if result.picture is None:
            return
        path = self._folder / self._names.get(result.source, f"{result.source.replace(' ', '_')}_faces")
        if result.frame is None:
            file = path.with_name(path.name + ".jpg")
            with atomic.atomic_write(file) as part:
                Image.fromarray(annotate(result.picture, result.faces)).save(part, quality=QUALITY, subsampling=0)
            self.files.append(file)
            return
        if not self._video:
            writer = VideoWriter(path.with_name(path.name + ".mp4")).__enter__()
            self._video = result.source, writer, Timeline(self._labels)
        self._video[1].add(annotate(result.picture, result.faces, enlarge=False), result.time)
        self._video[2].add(result.faces)

    def _close(self, *error: Any) -> None:
        if not self._video:
            return
        (source, writer, line), self._video = self._video, None
        writer.__exit__(*error)
        if error[0] is None:
            plot = writer.path.with_name(writer.path.stem.removesuffix("_faces") + "_timeline.png")
            save_timeline(plot, line, source)
            self.files += [writer.path, plot]


class TimelineWriter:
    """Write the timeline of one video."""

    def __init__(self, path: Path, label_set: LabelSet):
        """Write into ``path``, a .png, .svg or .pdf file."""
        if path.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise UserError(f"{path} does not end in a figure's suffix. Expected .png, .svg or .pdf.")
        self.path, self.files, self._line, self._source = path, [path], Timeline(label_set), ""

    def __enter__(self) -> "TimelineWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            save_timeline(self.path, self._line, self._source)

    def add(self, result: ImageResult) -> None:
        """Add the faces of a frame; photographs are ignored."""
        if result.time is not None:
            self._source = result.source
            self._line.add(result.faces)


class VideoWriter:
    """Write an MP4 file with the original frame times; the file appears when the ``with`` block ends without error."""

    def __init__(self, path: Path):
        """Write into ``path``; the first frame sets the size, rounded down to even numbers."""
        self.path, self._container, self._last = path, None, -1

    def __enter__(self) -> "VideoWriter":
        self._av = video.import_av()
        with ExitStack() as stack:
            self._part = stack.enter_context(atomic.atomic_write(self.path))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if self._container:
            if error[0] is None:
                self._container.mux(self._stream.encode())
            self._container.close()
        return self._open.__exit__(*error)

    def add(self, picture: np.ndarray, time: float) -> None:
        """Write a frame, uint8 (H, W, 3), to be shown at ``time`` in seconds."""
        if not self._container:
            self._begin(*picture.shape[:2])
        picture = np.ascontiguousarray(picture[: self._stream.height, : self._stream.width])
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        if (frame.height, frame.width) != (self._stream.height, self._stream.width):
            frame = frame.reformat(width=self._stream.width, height=self._stream.height)
        # Damaged files have times that do not increase, and no container accepts them.
        self._last = max(self._last + 1, round(time * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def _begin(self, height: int, width: int) -> None:
        av = self._av
        codec, options = next(c for c in CODECS if c[0] in av.codecs_available)
        self._container = av.open(str(self._part), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream(codec, rate=30, options=options)
        self._stream.width, self._stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)


def save_timeline(path: Path, line: Timeline, source: str) -> None:
    """Plot a timeline and save it to ``path``."""
    with atomic.atomic_write(path) as part:
        draw_timeline(line, source).savefig(part, dpi=120)

"""Annotated copies of photographs and videos, and the timelines of videos, written as results come."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from fer_tf import atomic
from fer_tf.errors import UserError
from fer_tf.faces import naming, photographs
from fer_tf.labels import LabelSet
from fer_tf.recognition import timeline
from fer_tf.recognition.drawing import annotated
from fer_tf.recognition.records import Analysed
from fer_tf.recognition.sources import Found

QUALITY = 92
# Of a video's clock; the widest that MPEG-4's second part can write is below 65,536.
TICKS = 10_000
# H.264 plays in browsers; a PyAV that was built without it has the other one.
CODECS = (("libx264", {"crf": "20", "preset": "veryfast"}), ("mpeg4", {"q": "3"}))


def output_names(found: Sequence[Found]) -> dict[str, str]:
    """Name the annotated copy of each source below the output folder, without suffix.

    ``a/b.jpg`` becomes ``a/b_faces``; a name that is taken gets ``~2`` and so on, whatever the case of its letters.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for one in found:
        plain = naming.short(str(PurePosixPath(one.relative).with_suffix(""))) + "_faces"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}~{number}", number + 1
        taken.add(name.casefold())
        names[one.source] = name
    return names


def check_folder(folder: Path, inputs: Sequence[Path | str]) -> None:
    """Raise a ``UserError`` where annotated copies would come to lie among what is read, or a file is in the way."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder. Expected a folder for annotated copies.")
    for path in map(Path, inputs):
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise UserError(f"{folder} is inside {path}: its pictures would be read again. Give a folder outside.")


class Annotator:
    """Writes an annotated copy of each picture, and a timeline beside each video's."""

    def __init__(self, folder: Path, names: Mapping[str, str], label_set: LabelSet):
        """Write below ``folder``; ``names`` are those of ``output_names``, others go by their source."""
        self.files: list[Path] = []
        self._folder, self._names, self._labels = folder, names, label_set
        self._video: tuple[str, VideoWriter, timeline.Timeline] | None = None

    def __enter__(self) -> "Annotator":
        return self

    def __exit__(self, *error: Any) -> None:
        self._close(*error)

    def add(self, result: Analysed) -> None:
        """Draw one picture's faces; what could not be read gives no copy."""
        if self._video and self._video[0] != result.source:
            self._close(None, None, None)
        if result.picture is None:
            return
        path = self._folder / self._names.get(result.source, f"{result.source.replace(' ', '_')}_faces")
        if result.frame is None:
            file = path.with_name(path.name + ".jpg")
            with atomic.replacing(file) as part:
                Image.fromarray(annotated(result.picture, result.faces)).save(part, quality=QUALITY, subsampling=0)
            self.files.append(file)
            return
        if not self._video:
            writer = VideoWriter(path.with_name(path.name + ".mp4")).__enter__()
            self._video = result.source, writer, timeline.Timeline(self._labels)
        self._video[1].add(annotated(result.picture, result.faces, enlarge=False), result.time)
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
    """Writes the timeline of one video."""

    def __init__(self, path: Path, label_set: LabelSet):
        """Write into ``path``, whose suffix is one that matplotlib writes."""
        if path.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise UserError(f"{path}: no figure by its suffix. Expected .png, .svg or .pdf.")
        self.path, self.files, self._line, self._source = path, [path], timeline.Timeline(label_set), ""

    def __enter__(self) -> "TimelineWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            save_timeline(self.path, self._line, self._source)

    def add(self, result: Analysed) -> None:
        """Count a frame's faces; photographs are passed over."""
        if result.time is not None:
            self._source = result.source
            self._line.add(result.faces)


class VideoWriter:
    """An MP4 file whose frames keep their times; it is there when the ``with`` block has ended well."""

    def __init__(self, path: Path):
        """Write into ``path``; the first frame sets the size, even numbers being needed."""
        self.path, self._container, self._last = path, None, -1

    def __enter__(self) -> "VideoWriter":
        self._av = photographs.import_av()
        with ExitStack() as stack:
            self._part = stack.enter_context(atomic.replacing(self.path))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if self._container:
            if error[0] is None:
                self._container.mux(self._stream.encode())
            self._container.close()
        return self._open.__exit__(*error)

    def add(self, picture: np.ndarray, time: float) -> None:
        """Write a frame, uint8 (H, W, 3), that is shown at ``time`` in seconds."""
        if not self._container:
            self._begin(*picture.shape[:2])
        picture = np.ascontiguousarray(picture[: self._stream.height, : self._stream.width])
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        if (frame.height, frame.width) != (self._stream.height, self._stream.width):
            frame = frame.reformat(width=self._stream.width, height=self._stream.height)
        # Times that do not grow are found in damaged files, and no container takes them.
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


def save_timeline(path: Path, line: timeline.Timeline, source: str) -> None:
    """Draw a timeline into a file."""
    with atomic.replacing(path) as part:
        timeline.draw(line, source).savefig(part, dpi=120)

"""Analyze an upload, and show its results as HTML or plain values."""

import base64
import dataclasses
import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer_tf.errors import DataError
from fer_tf.explain import METHODS
from fer_tf.explain.pictures import FaceView, PictureExplainer
from fer_tf.inference import annotation
from fer_tf.inference.annotation import Timeline
from fer_tf.inference.drawing import annotate, colors
from fer_tf.inference.output import SHARE_DIGITS, Face
from fer_tf.inference.pipeline import FacePipeline
from fer_tf.inference.tracking import tracked
from fer_tf.io import pictures, video
from fer_tf.io.pictures import count_pixels
from fer_tf.reports.explanations import overlay

# Most faces of a photograph, those with the highest detection score; Score-CAM takes a second for so many.
MOST_FACES = 32
# Photographs that are analyzed at a time.
AT_ONCE = 2
_DETECTOR = f"retinaface(max_faces={MOST_FACES})"
# Side in pixels of the blank image that compiles the networks before the first user comes.
_BLANK = 192

# First bytes of video formats. A text in place of a video, such as a playlist, would make FFmpeg open other files.
_BOX_KINDS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_STARTS = (b"\x1aE\xdf\xa3", b"FLV", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"\x30\x26\xb2\x75")


@dataclass(frozen=True, eq=False)
class PhotographResult:
    """The faces of a photograph, with their heat maps.

    Attributes:
        picture: uint8 (H, W, 3).
        faces: at most ``MOST_FACES``, the highest detection score first.
        views: heat map and input of the network for each face.
        method: title of the method of the heat maps.
    """

    picture: np.ndarray
    faces: Sequence[Face]
    views: Sequence[FaceView]
    method: str


@dataclass(frozen=True, eq=False)
class VideoResult:
    """The faces of a video over time.

    Attributes:
        timeline: distributions by person and time.
        frames: number of analyzed frames.
        seconds: time of the last of them in the video.
        picture: the frame with the most faces, the first of these; uint8 (H, W, 3).
        faces: of ``picture``.
        note: why the rest of the video was not analyzed; "" where all of it was.
    """

    timeline: Timeline
    frames: int
    seconds: float
    picture: np.ndarray
    faces: Sequence[Face]
    note: str = ""


class Analyzer:
    """The detector and the networks of the page, loaded once and shared by all users."""

    def __init__(
        self, models: dict[str, Path | str], max_pixels: int, max_frames: int = 600, seconds: float = 60.0,
        photograph_seconds: float = 30.0,
    ):  # fmt: skip
        """Load the first network; the others are loaded at their first use.

        Args:
            models: shipped name or path of each network, by its name on the page.
            max_pixels: most pixels of a photograph and of a frame of a video.
            max_frames: most frames of a video that are analyzed.
            seconds: most seconds of work on one video.
            photograph_seconds: most seconds of work on one photograph.

        Raises:
            UserError: a model that cannot be used.
        """
        self.models, self.max_pixels, self.max_frames, self.seconds = models, max_pixels, max_frames, seconds
        self._explainers: dict[tuple[str, str], PictureExplainer] = {}
        self._pipelines: dict[str, FacePipeline] = {}
        self._loading = threading.Lock()
        self.photograph_seconds, self._photographs = photograph_seconds, ThreadPoolExecutor(AT_ONCE, "photograph")
        first = next(iter(models))
        self._detector = PictureExplainer(models[first], detector=_DETECTOR).detector
        self.explainer(first, next(iter(METHODS)))

    def explainer(self, model: str, method: str) -> PictureExplainer:
        """Return the explainer of a model and a method, made at the first call."""
        with self._loading:
            if (model, method) not in self._explainers:
                known = next((e for (name, _), e in self._explainers.items() if name == model), None)
                network = known.classifier.network if known else self.models[model]
                made = PictureExplainer(network, method, faces="all", detector=self._detector)
                self._explainers[model, method] = made
            return self._explainers[model, method]

    def pipeline(self, model: str) -> FacePipeline:
        """Return the pipeline for videos, made at the first call."""
        network = self.explainer(model, next(iter(METHODS))).classifier.network
        with self._loading:
            if model not in self._pipelines:
                self._pipelines[model] = FacePipeline(network, self._detector)
            return self._pipelines[model]

    def warm_up(self) -> None:
        """Compile the networks, so that the first user does not wait for it."""
        explainer = next(iter(self._explainers.values()))
        self._detector.detect([np.zeros((_BLANK, _BLANK, 3), np.uint8)])
        explainer.explainer.explain(np.zeros((1, _BLANK, _BLANK, 3), np.uint8))

    @cached_property
    def methods(self) -> dict[str, str]:
        """Methods for heat maps by their titles."""
        return {METHODS[name].load().title: name for name in METHODS}

    def photograph(self, path: Path | str, model: str, method: str) -> PhotographResult:
        """Find the faces of a photograph, recognize their expressions and draw heat maps.

        Args:
            path: the file.
            model: a name of ``models``.
            method: a title of ``methods``.

        Raises:
            DataError: not an image, too large, or too slow; the message does not show the path.
        """
        end = time.monotonic() + self.photograph_seconds
        work = self._photographs.submit(self._photograph, path, model, method, end)
        try:
            return work.result(self.photograph_seconds)
        except TimeoutError:
            work.cancel()
            raise self._too_slow() from None

    def _too_slow(self) -> DataError:
        return DataError(f"takes longer than {self.photograph_seconds:g} seconds. Expected a smaller photograph.")

    def _photograph(self, path: Path | str, model: str, method: str, end: float) -> PhotographResult:
        self._check_pixels(count_pixels(path))
        picture = pictures.read_photograph(path)
        # Nobody waits for the rest any more.
        if time.monotonic() > end:
            raise self._too_slow()
        explainer = self.explainer(model, self.methods[method])
        views = explainer.explain(picture)
        faces = [_face(i, view, explainer.classes) for i, view in enumerate(views)]
        return PhotographResult(picture, faces, views, method)

    def video(
        self, path: Path | str, model: str, every: int, smooth: float, tell: Callable[[int], None] = lambda count: None
    ) -> VideoResult:
        """Follow the faces of a video, up to the limits of frames and time.

        Args:
            path: the file.
            model: a name of ``models``.
            every: analyze every n-th frame.
            smooth: time constant in seconds of the smoothing; 0 for none.
            tell: called with the number of analyzed frames.

        Raises:
            DataError: not a video, or too large; the message does not show the path.
        """
        _check_video(path)
        pipeline = self.pipeline(model)
        timeline, best, frames, seconds, note = Timeline(pipeline.label_set), None, 0, 0.0, ""
        end = time.monotonic() + self.seconds
        # The pipeline recognizes videos by their suffix, and an upload may have any name.
        found = tracked(pipeline.analyze([(Path(path), "upload.mp4")], every), smooth)
        for result in found:
            if result.picture is None:
                note = result.reason
                break
            self._check_pixels(result.picture.shape[0] * result.picture.shape[1])
            timeline.add(result.faces)
            frames, seconds = frames + 1, result.time or 0.0
            if best is None or len(result.faces) > len(best.faces):
                best = result
            tell(frames)
            if frames == self.max_frames or time.monotonic() > end:
                note = f"Only the first {seconds:.1f} s were analyzed. Choose fewer frames to reach further."
                break
        found.close()
        if best is None:
            raise DataError(note or "no frames in it.")
        return VideoResult(timeline, frames, seconds, best.picture, best.faces, note)

    def _check_pixels(self, count: int) -> None:
        if count > self.max_pixels:
            raise DataError(f"{count:,} pixels. This page takes at most {self.max_pixels:,}.")


def _face(number: int, view: FaceView, classes: Sequence[str]) -> Face:
    shares = dict(zip(classes, map(float, view.probabilities), strict=True))
    return Face("upload", None, None, number, view.box, None, None, shares, max(shares, key=shares.get))


def _check_video(path: Path | str) -> None:
    """Raise a ``DataError`` unless the file begins like a video."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(12)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.") from None
    avi = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    if not (avi or start[4:8] in _BOX_KINDS or start.startswith(_STARTS)):
        raise DataError(f"no video. Expected one of {', '.join(video.SUFFIXES)}.")


# Longer side in pixels of the images that are shown.
_SIDE = 1280
_QUALITY = 88
_DPI = 110


def message(text: str, bad: bool = False) -> str:
    """Return a line of text that screen readers announce."""
    return f'<p class="fer-line{" fer-bad" if bad else ""}" role="{"alert" if bad else "status"}">{escape(text)}</p>'


def photograph_html(found: PhotographResult) -> str:
    """Return the photograph with its boxes, and for each face the heat map and the distribution."""
    if not found.faces:
        return message("No face found in this picture.") + _picture(found.picture, (), "the picture, no face found")
    # The drawing shows a track's number in its box; here it is the number of the face's card.
    numbered = [dataclasses.replace(f, track=f.index) for f in found.faces] if len(found.faces) > 1 else found.faces
    parts = [message(_summary(found.faces)), _picture(found.picture, numbered, "the picture, faces in boxes")]
    cards = [_card(i, f, v, found.method) for i, (f, v) in enumerate(zip(found.faces, found.views, strict=True), 1)]
    return "".join([*parts, '<div class="fer-cards">', *cards, "</div>"])


def photograph_json(found: PhotographResult) -> dict[str, Any]:
    """Return the faces as plain values."""
    height, width = found.picture.shape[:2]
    return {"width": width, "height": height, "faces": [_values(face) for face in found.faces]}


def video_html(found: VideoResult) -> str:
    """Return the timeline of a video, the mean distribution of each person, and the frame with the most faces."""
    analyzed = f"{found.frames} frames of {found.seconds:.1f} s analyzed."
    if not len(found.timeline):
        return message(f"No face found in this video. {analyzed} {found.note}".strip())
    people = _count(len(found.timeline), "face")
    parts = [message(f"{people} followed, {analyzed} {found.note}".strip()), _timeline(found)]
    parts.append('<div class="fer-cards">')
    for track, shares in _means(found).items():
        parts.append(f'<section class="fer-card"><h3>Face {track + 1}, on average</h3>{_bars(shares)}</section>')
    parts += ["</div>", _picture(found.picture, found.faces, "the frame with the most faces")]
    return "".join(parts)


def video_json(found: VideoResult) -> dict[str, Any]:
    """Return the distributions of the timeline as plain values."""
    people = [
        {"face": track + 1, "times": [round(float(t), 3) for t in times], "shares": _rounded(shares).tolist()}
        for track, times, shares in found.timeline.people()
    ]
    classes = list(found.timeline.label_set.classes)
    return {"frames": found.frames, "seconds": found.seconds, "note": found.note, "classes": classes, "people": people}


def _means(found: VideoResult) -> dict[int, dict[str, float]]:
    classes = found.timeline.label_set.classes
    return {
        track: dict(zip(classes, map(float, shares.mean(axis=0)), strict=True))
        for track, _, shares in found.timeline.people()
    }


def _summary(faces: Sequence[Face]) -> str:
    counts: dict[str, int] = {}
    for face in faces:
        counts[face.label] = counts.get(face.label, 0) + 1
    most = " (more are not analyzed)" if len(faces) == MOST_FACES else ""
    return f"{_count(len(faces), 'face')}{most}: " + ", ".join(f"{n} {name}" for name, n in counts.items())


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _card(number: int, face: Face, view: FaceView, method: str) -> str:
    title = f"Face {number}: {face.label} {100 * face.distribution[face.label]:.0f} %"
    of = f"{method} of {view.explained}" if view.explained else method
    heat = _image(overlay(view.image, view.heat), f"heat map of face {number}, {of}", "fer-heat")
    return (
        f'<section class="fer-card"><h3>{escape(title)}</h3><figure>{heat}<figcaption>{escape(of)}</figcaption>'
        f"</figure>{_bars(face.distribution)}</section>"
    )


def _bars(distribution: Mapping[str, float]) -> str:
    """Return a table of bars and numbers; screen readers read the numbers."""
    best, color = max(distribution, key=distribution.get), colors(list(distribution))
    rows = [
        f'<tr{" class=fer-best" if name == best else ""}><th scope="row">{escape(name)}</th>'
        f'<td class="fer-bar"><span style="width:{100 * share:.1f}%;background:{color[name]}"></span></td>'
        f"<td>{100 * share:.1f} %</td></tr>"
        for name, share in distribution.items()
    ]
    return f'<table class="fer-bars"><tbody>{"".join(rows)}</tbody></table>'


def _picture(picture: np.ndarray, faces: Sequence[Face], alt: str) -> str:
    return _image(annotate(*_shown(picture, faces)), alt, "fer-picture")


def _shown(picture: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """Resize an image and its boxes to the shown size, so that text is drawn in its final size."""
    height, width = picture.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    if scale == 1:
        return picture, list(faces)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return small, [dataclasses.replace(face, box=tuple(v * scale for v in face.box)) for face in faces]


def _timeline(found: VideoResult) -> str:
    figure, file = annotation.draw_timeline(found.timeline), io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    alt = "distributions over time, one row a face; the means are in the tables below"
    return f'<div class="fer-wide" tabindex="0" role="group" aria-label="timeline">{_tag(file, "png", alt, "")}</div>'


def _image(pixels: np.ndarray, alt: str, name: str) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return _tag(file, "jpeg", alt, name)


def _tag(file: io.BytesIO, kind: str, alt: str, name: str) -> str:
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img class="{name}" alt="{escape(alt)}" src="data:image/{kind};base64,{data}">'


def _values(face: Face) -> dict[str, Any]:
    shares = {name: round(share, SHARE_DIGITS) for name, share in face.distribution.items()}
    return {"box": [round(v, 1) for v in face.box], "label": face.label, "distribution": shares}


def _rounded(shares: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(shares, float), SHARE_DIGITS)

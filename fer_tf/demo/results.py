"""Show results as self-contained HTML, and as plain values for the API."""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from fer_tf.demo.analysis import MOST_FACES, PhotographResult, VideoResult
from fer_tf.explain.pictures import FaceView
from fer_tf.inference import annotation
from fer_tf.inference.drawing import annotate, colors
from fer_tf.inference.records import SHARE_DIGITS, Face
from fer_tf.reports.explanations import overlay

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

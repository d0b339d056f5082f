"""Results as HTML and as values, from records made by hand; and the reader of videos before its library."""

import re

import numpy as np
import pytest

from fer_tf.demo import analysis
from fer_tf.demo.analysis import MOST_FACES, PhotographResult, VideoResult, _check_video
from fer_tf.errors import DataError
from fer_tf.explain.pictures import FaceView
from fer_tf.inference.annotation import Timeline
from fer_tf.inference.output import Face
from fer_tf.labels import LabelSet

PAIR = LabelSet("pair", ("happy", "sad"))


def face(number, happy, time=None, track=None, box=(10.0, 20.0, 40.0, 60.0)):
    shares = {"happy": happy, "sad": 1 - happy}
    return Face("upload", None, time, number, box, None, None, shares, max(shares, key=shares.get), track)


def photograph(*faces, size=(80, 120)):
    view = FaceView(np.zeros((32, 32, 3), np.uint8), np.zeros((8, 8)), np.array([0.5, 0.5]), "happy")
    return PhotographResult(np.zeros((*size, 3), np.uint8), faces, [view] * len(faces), "Grad-CAM")


def test_numbers_stand_beside_bars_of_that_length():
    html = analysis.photograph_html(photograph(face(0, 0.875)))
    rows = re.findall(r'<th scope="row">(\w+)</th>.*?width:([\d.]+)%.*?<td>([\d.]+) %</td>', html)
    assert rows == [("happy", "87.5", "87.5"), ("sad", "12.5", "12.5")]
    assert "1 face: 1 happy" in html and "Face 1: happy 88 %" in html


def test_a_full_list_says_that_there_may_be_more():
    assert "more are not analyzed" not in analysis.photograph_html(photograph(*[face(i, 0.9) for i in range(2)]))
    many = analysis.photograph_html(photograph(*[face(i, 0.9) for i in range(MOST_FACES)]))
    assert f"{MOST_FACES} faces (more are not analyzed): {MOST_FACES} happy" in many


def test_boxes_are_drawn_where_they_are_in_a_picture_that_is_shown_smaller():
    picture = np.zeros((1000, 2560, 3), np.uint8)
    small, faces = analysis._shown(picture, [face(0, 0.9, box=(100.0, 200.0, 300.0, 400.0))])
    assert small.shape == (500, 1280, 3) and faces[0].box == (50, 100, 150, 200)


def test_what_others_wrote_is_no_html():
    assert "<script>" not in analysis.message('<script>alert("x")</script>', bad=True)


def test_values_are_those_of_the_photograph():
    values = analysis.photograph_json(photograph(face(0, 0.25)))
    assert values == {
        "width": 120,
        "height": 80,
        "faces": [{"box": [10.0, 20.0, 40.0, 60.0], "label": "sad", "distribution": {"happy": 0.25, "sad": 0.75}}],
    }


def film(*frames, note=""):
    line = Timeline(PAIR)
    for faces in frames:
        line.add(faces)
    best = max(frames, key=len, default=())
    return VideoResult(line, len(frames), 1.0, np.zeros((80, 120, 3), np.uint8), best, note)


def test_a_film_has_a_mean_for_each_face():
    html = analysis.video_html(film([face(0, 0.2, 0.0, 0)], [face(0, 0.6, 0.5, 0), face(1, 1.0, 0.5, 1)]))
    assert "2 faces followed, 2 frames of 1.0 s analyzed." in html
    assert re.findall(r"<td>([\d.]+) %</td>", html) == ["40.0", "60.0", "100.0", "0.0"]


def test_a_film_without_faces_says_so():
    html = analysis.video_html(film([], [], note="Only the start."))
    assert "No face found in this video." in html and "Only the start." in html and "<img" not in html


STARTS = {
    "mp4": b"\0\0\0\x20ftypisom", "quicktime": b"\0\0\0\x08wide\0\0\0\0", "webm": b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f",
    "avi": b"RIFF\0\0\0\0AVI ", "flv": b"FLV\x01\x05\0\0\0\x09", "mpeg": b"\0\0\x01\xba\x44\0\0\0",
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa",
}  # fmt: skip


@pytest.mark.parametrize("kind", STARTS)
def test_the_formats_of_videos_are_known_by_their_start(tmp_path, kind):
    path = tmp_path / "x.mp4"
    path.write_bytes(STARTS[kind])
    _check_video(path)


@pytest.mark.parametrize(
    "start", [b"", b"#EXTM3U\n", b"ffconcat version 1.0", b"RIFF\0\0\0\0WAVE", b"\x89PNG\r\n\x1a\n", b"<MPD>"]
)
def test_what_begins_as_no_video_is_never_opened(tmp_path, start):
    path = tmp_path / "x.mp4"
    path.write_bytes(start)
    with pytest.raises(DataError, match="no video"):
        _check_video(path)

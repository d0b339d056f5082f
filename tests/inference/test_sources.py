import itertools
import os
import sys
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.inference import sources
from fer_tf.inference.annotation import check_folder, output_names


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_files_and_folders_are_found_once_in_order(tmp_path):
    touch(tmp_path, "b/y.jpg", "b/c/x.png", "a.jpg", "v.mp4", "notes.txt")
    notes = {}
    given = [
        tmp_path / "b" / "y.jpg",
        tmp_path / "b",
        tmp_path / "v.mp4",
        tmp_path / "gone.jpg",
        tmp_path / "notes.txt",
    ]
    found = sources.find(given, notes.__setitem__)
    assert [(f.relative, f.source) for f in found] == [
        ("y.jpg", str(tmp_path / "b" / "y.jpg")),
        ("c/x.png", str(tmp_path / "b" / "c" / "x.png")),
        ("v.mp4", str(tmp_path / "v.mp4")),
    ]
    assert notes[str(tmp_path / "gone.jpg")] == "no such file or folder."
    assert notes[str(tmp_path / "notes.txt")].startswith("no picture by its suffix")


def test_nothing_to_read_names_the_first_path(tmp_path):
    with pytest.raises(UserError, match="one: no such file or folder"):
        sources.find([tmp_path / "one", tmp_path / "two"], lambda *_: None)


def test_without_the_extra_videos_are_left_out_or_refused(tmp_path, monkeypatch):
    touch(tmp_path, "x.jpg", "v.mp4")

    monkeypatch.setitem(sys.modules, "av", None)
    notes = {}
    assert [f.relative for f in sources.find([tmp_path], notes.__setitem__)] == ["x.jpg"]
    assert notes == {str(tmp_path / "v.mp4"): "Videos need PyAV: pip install 'fer-tf[video]'."}
    with pytest.raises(UserError, match="need PyAV"):
        sources.find([tmp_path / "v.mp4"], notes.__setitem__)


def test_annotated_copies_have_names_of_their_own(tmp_path):
    touch(tmp_path, "p/a.jpg", "p/A.png", "p/s/a.jpg", "q/a.jpg")
    names = output_names(sources.find([tmp_path / "p", tmp_path / "q" / "a.jpg"], lambda *_: None))
    assert {os.path.relpath(k, tmp_path): v for k, v in names.items()} == {
        "p/A.png": "A_faces", "p/a.jpg": "a_faces~2", "p/s/a.jpg": "s/a_faces", "q/a.jpg": "a_faces~3",
    }  # fmt: skip


def test_copies_go_nowhere_that_is_read(tmp_path):
    touch(tmp_path, "p/a.jpg")
    check_folder(tmp_path / "out", [tmp_path / "p"])
    check_folder(tmp_path / "p", [tmp_path / "p" / "a.jpg"])
    with pytest.raises(UserError, match="is inside"):
        check_folder(tmp_path / "p" / "out", [tmp_path / "p"])
    with pytest.raises(UserError, match="is not a folder"):
        check_folder(tmp_path / "p" / "a.jpg", [tmp_path / "q"])


def test_names_that_file_systems_would_refuse_are_cut():
    long = "a/" + "ü" * 120
    found = [sources.Found(None, str(i), f"{long}{i}.jpg") for i in range(2)]
    names = list(output_names(found).values())
    assert len(set(names)) == 2 and all(n.startswith("a/ü") and len(n.encode()) < 210 for n in names)


class Camera:
    """Stands in for PyAV: gives pictures when it is let to, and knows whether it was closed."""

    def __init__(self, pictures, gate=None):
        self.pictures, self.gate, self.asked, self.open = pictures, gate, None, False

    def __call__(self, name, format):
        self.asked, self.open = (name, format), True
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.open = False

    def decode(self, video):
        for number, value in enumerate(self.pictures):
            if self.gate and number == 1:
                self.gate.wait(10)
            picture = np.full((2, 3, 3), value, np.uint8)
            yield type("Frame", (), {"to_ndarray": lambda self, format, picture=picture: picture})()


@pytest.fixture
def plugged(monkeypatch):
    def plug(camera):
        monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=camera, logging=Mock()))
        return camera

    return plug


def test_the_newest_picture_comes_and_the_camera_is_let_go(plugged):
    gate = threading.Event()
    camera = plugged(Camera([10, 20, 30, 40], gate))
    batches = sources.watch(2)
    (first,) = next(batches)
    assert (first.source, first.video_frame, first.time) == ("webcam 2", 0, 0.0) and first.picture[0, 0, 0] == 10
    assert camera.asked == {"linux": ("/dev/video2", "v4l2"), "darwin": ("2", "avfoundation")}[sys.platform]
    gate.set()
    rest = [batch[0] for batch in batches]
    assert [r.video_frame for r in rest] == list(range(1, len(rest) + 1))
    shades = [int(r.picture[0, 0, 0]) for r in rest]
    assert shades == sorted(shades) and shades[-1] == 40
    assert all(b.time >= a.time for a, b in itertools.pairwise(rest))
    assert not camera.open


def test_a_camera_that_gives_nothing_or_is_not_there(plugged, monkeypatch):
    plugged(Camera([]))
    with pytest.raises(UserError, match="Webcam 0 delivers no picture"):
        sources.watch(0)

    def absent(name, format):
        raise FileNotFoundError(2, "No such file or directory", name)

    plugged(absent)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"No webcam 7: .*No such file.*7.*; OpenCV is not installed"):
        sources.watch(7)


def test_opencv_is_asked_where_av_cannot(monkeypatch):
    class Capture:
        left, released = 2, False

        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return self.number == 1

        def read(self):
            Capture.left -= 1
            return Capture.left >= 0, np.tile(np.array([1, 2, 3], np.uint8), (4, 4, 1))

        def release(self):
            Capture.released = True

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "cv2", type("cv2", (), {"VideoCapture": Capture}))
    readings = [batch[0] for batch in sources.watch(1)]
    assert readings[0].picture[0, 0].tolist() == [3, 2, 1] and Capture.released
    with pytest.raises(UserError, match=r"No webcam 0: PyAV opens webcams on Linux and macOS only\.; OpenCV finds no"):
        sources.watch(0)


def test_one_result_an_input_and_folders_note_what_they_leave_out(tmp_path):
    touch(tmp_path, "p/b.jpg")
    (tmp_path / "p" / "a.jpg").symlink_to("b.jpg")
    notes = {}
    path = tmp_path / "p" / "b.jpg"
    assert [f.source for f in sources.find([path, path], notes.__setitem__)] == [str(path)] * 2
    assert [f.relative for f in sources.find([tmp_path / "p" / "a.jpg", path], notes.__setitem__)] == ["a.jpg", "b.jpg"]
    assert not notes
    assert [f.relative for f in sources.find([tmp_path / "p"], notes.__setitem__)] == ["a.jpg"]
    assert notes == {str(path): f"the same file as {tmp_path / 'p' / 'a.jpg'}, which is read already."}


def test_an_empty_path_is_refused():
    with pytest.raises(UserError, match="An empty path"):
        sources.find([""], lambda *_: None)

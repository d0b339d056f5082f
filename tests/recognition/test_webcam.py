"""A camera made of a list of pictures; no machine of the tests has one."""

import itertools
import sys
import threading

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.faces import photographs
from fer_tf.recognition import webcam


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
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(photographs, "import_av", lambda: type("Av", (), {"open": staticmethod(camera)}))
        return camera

    return plug


def test_the_newest_picture_comes_and_the_camera_is_let_go(plugged):
    gate = threading.Event()
    camera = plugged(Camera([10, 20, 30, 40], gate))
    batches = webcam.watch(2)
    (first,) = next(batches)
    assert (first.source, first.video_frame, first.time) == ("webcam 2", 0, 0.0) and first.picture[0, 0, 0] == 10
    assert camera.asked == ("/dev/video2", "v4l2")
    gate.set()
    rest = [batch[0] for batch in batches]
    assert [r.video_frame for r in rest] == list(range(1, len(rest) + 1))
    shades = [int(r.picture[0, 0, 0]) for r in rest]
    assert shades == sorted(shades) and shades[-1] == 40
    assert all(b.time >= a.time for a, b in itertools.pairwise(rest))
    assert not camera.open


def test_a_camera_that_gives_nothing_or_is_not_there(plugged, monkeypatch):
    plugged(Camera([]))
    with pytest.raises(UserError, match="Webcam 0 gives no picture"):
        webcam.watch(0)

    def absent(name, format):
        raise FileNotFoundError(2, "No such file or directory", name)

    plugged(absent)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"No webcam 7: .*No such file.*/dev/video7.*; OpenCV is not installed"):
        webcam.watch(7)


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
    readings = [batch[0] for batch in webcam.watch(1)]
    assert readings[0].picture[0, 0].tolist() == [3, 2, 1] and Capture.released
    with pytest.raises(UserError, match=r"No webcam 0: PyAV opens webcams on Linux and macOS only\.; OpenCV finds no"):
        webcam.watch(0)

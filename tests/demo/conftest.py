"""A server as users start it, pictures and videos to send, and what to send them with."""

import http.client
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import av
import matplotlib
import numpy as np
import pytest
import skimage.data
from PIL import Image

from fer_tf import models
from fer_tf.models.saving import read_metadata

START = 240


class Server:
    """A running ``python -m fer_tf.demo``."""

    def __init__(self, *options, temporary):
        environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fer_tf.demo", "--port", "0", *options], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines, self.errors = queue.Queue(), []
        for stream, keep in ((self.process.stdout, self.lines.put), (self.process.stderr, self.errors.append)):
            threading.Thread(target=self._follow, args=(stream, keep), daemon=True).start()
        try:
            while (line := self.lines.get(timeout=START)).startswith("Loading"):
                pass
        except queue.Empty:
            line = ""
        assert "The page is at" in line, line + "".join(self.errors)[-3000:]
        self.address = line.split("The page is at ")[1].split()[0]
        self.host = urlsplit(self.address).netloc

    def _follow(self, stream, keep):
        for line in stream:
            keep(line)
        keep("")

    def ask(self, method, path, body=None, headers=None, seconds=120):
        """Return status and body of one request."""
        connection = http.client.HTTPConnection(self.host, timeout=seconds)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, data, name="face.jpg"):
        """Send a file as a form does; return status and body."""
        edge = "----edge7"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        body = head + data + f"\r\n--{edge}--\r\n".encode()
        return self.ask("POST", "/gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def call(self, name, *values):
        """Call an endpoint of the API; return HTML and JSON."""
        status, body = self.ask(
            "POST", f"/gradio_api/call/{name}", json.dumps({"data": values}), {"Content-Type": "application/json"}
        )
        assert status == 200, body
        event = json.loads(body)["event_id"]
        status, body = self.ask("GET", f"/gradio_api/call/{name}/{event}")
        text = body.decode()
        assert status == 200 and "event: complete" in text, text[-2000:]
        return json.loads(text.rpartition("data: ")[2])

    def look(self, data, name="face.jpg", method="Grad-CAM", model="default"):
        """Upload a photograph and have it looked at; return HTML and JSON."""
        status, body = self.upload(data, name)
        assert status == 200, body
        return self.call("photograph", file(json.loads(body)[0]), model, method)

    def files(self):
        """Return what is on the disk of uploads."""
        return [p for p in self.temporary.rglob("*") if p.is_file()]

    def memory(self):
        """Return resident megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def file(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    other = tmp_path_factory.mktemp("networks") / "other.keras"
    shutil.copy(models.weights_path("default"), other)
    options = ("--rate", "2000", "--model", "default", "--model", str(other))
    running = Server(*options, temporary=tmp_path_factory.mktemp("uploads"))
    yield running
    assert running.end() == 0, "".join(running.errors)[-3000:]
    assert not list(running.temporary.iterdir())


@pytest.fixture(scope="session")
def joy():
    """What the shipped network calls the astronaut's expression."""
    return next(c for c in read_metadata(models.weights_path("default")).label_set.classes if c.startswith("happ"))


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Files with one face, with two, and without any, and a video of the two."""
    folder = tmp_path_factory.mktemp("faces")
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    one = skimage.data.astronaut()
    two = np.concatenate([one, np.asarray(Image.open(hopper).convert("RGB"))[:512]], axis=1)
    for name, pixels in (("one", one), ("two", two), ("none", skimage.data.chelsea())):
        Image.fromarray(pixels).save(folder / f"{name}.jpg", quality=92)
    frame = np.asarray(Image.fromarray(two).resize((512, 256)))
    film(folder / "film.mp4", [np.roll(frame, i, axis=1) for i in range(20)])
    film(folder / "long.mp4", [frame] * 300)
    return folder


def film(path, frames):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 512, 256, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())

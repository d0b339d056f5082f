"""The real page with a slow analyzer behind it: who waits for whom, and what becomes of connections that do nothing."""

import contextlib
import json
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from fer_tf.demo import server
from fer_tf.demo.analysis import Analyzer
from fer_tf.demo.guard import Limits, temporary_uploads
from fer_tf.errors import DataError, UserError

pytest.importorskip("gradio", reason="the extra demo is not installed")


class Slow:
    """An analyzer whose videos take until they are released."""

    models, methods = {"default": "x"}, {"Grad-CAM": "gradcam"}

    def __init__(self):
        self.released = threading.Event()

    def photograph(self, path, model, method):
        raise DataError("a photograph")

    def video(self, path, model, every, smooth, tell):
        self.released.wait(60)
        raise DataError("a video")


@contextlib.contextmanager
def page(**settings):
    """Serve the page; yields its port, the analyzer, and the path of an upload."""
    import uvicorn

    with temporary_uploads() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        upload = folder.path / "a" / "film.mp4"
        upload.parent.mkdir()
        upload.write_bytes(b"x")
        made = server.Settings(limits=Limits(rate=10_000), **settings)
        slow = Slow()
        running = uvicorn.Server(server.configure(server.build(slow, folder, made.limits), folder, made))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.02)
            yield listener.getsockname()[1], slow, str(upload)
        finally:
            slow.released.set()
            running.should_exit = True
            thread.join()


def call(port, name, path, address=None):
    """Join a queue; return the status and the id of the event."""
    rest = [3, 0.5] if name == "video" else ["Grad-CAM"]
    body = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "default", *rest]}).encode()
    headers = {"Content-Type": "application/json", **({"X-Forwarded-For": address} if address else {})}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/gradio_api/call/{name}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return 200, json.loads(answer.read())["event_id"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def result(port, name, event):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/gradio_api/call/{name}/{event}", timeout=30) as answer:
        return answer.read().decode()


def test_many_videos_keep_nobody_from_photographs():
    with page(proxy="127.0.0.1") as (port, _, path):
        mine = [call(port, "video", path, "1.1.1.1")[0] for _ in range(70)]
        # One runs and four wait; another address has places of its own, as long as the queue of videos has any.
        assert 4 <= mine.count(200) <= 6 and set(mine) == {200, 503}
        others = [call(port, "video", path, f"2.2.2.{i}")[0] for i in range(30)]
        assert 10 <= others.count(200) <= 16 and others[0] == 200
        status, event = call(port, "photograph", path, "1.1.1.1")
        assert status == 200 and "a photograph" in result(port, "photograph", event)


def test_the_address_of_a_header_is_not_believed():
    with page() as (port, _, path):
        statuses = [call(port, "video", path, f"2.2.2.{i}")[0] for i in range(12)]
        assert 4 <= statuses.count(200) <= 6 and statuses[-1] == 503


def test_another_name_is_refused_by_the_server_and_own_ones_are_not():
    with page(names=("faces.example.org",)) as (port, *_):
        for name, status in (("evil.example", 421), ("faces.example.org", 200), (f"localhost:{port}", 200)):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/config", headers={"Host": name})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                with error:
                    assert error.code == status


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET"])
def test_a_connection_that_asks_for_nothing_is_closed(sent):
    with page(idle=0.5) as (port, *_), socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        start = time.monotonic()
        connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass
        assert 0.3 < time.monotonic() - start < 10


def test_a_byte_now_and_then_keeps_no_connection_open():
    with page(idle=0.5) as (port, *_), socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            for _ in range(200):
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - start < 8


def test_a_reader_who_stops_reading_is_let_go():
    with page(idle=0.5) as (port, *_), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(15)
        connection.connect(("127.0.0.1", port))
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        # Pages that nobody reads fill what the system buffers.
        connection.sendall(head * 200)
        time.sleep(4)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += len(part)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert received < 100 * len(answer.read())


def test_a_photograph_that_takes_too_long_is_given_up():
    analyzer = Analyzer({"default": "default"}, 10**6, photograph_seconds=0.0005)
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.new("RGB", (900, 900)).save(file.name)
        with pytest.raises(DataError, match=r"^takes longer than 0\.0005 seconds\. Expected a smaller"):
            analyzer.photograph(file.name, "default", "Grad-CAM")


@pytest.mark.parametrize("name", ["", "*", "a b", "http://a", "a:80", "a/b", "user@a"])
def test_names_that_are_none(name):
    with pytest.raises(UserError, match=r"^--name .* is not a name\. Expected"):
        server.check_names(server.Settings(names=(name,)))


def test_a_proxy_is_an_address():
    server.check_names(server.Settings(proxy="10.0.0.0/8", names=("faces", "faces.example.org")))
    with pytest.raises(UserError, match=r"^--proxy 'nginx' is not an address"):
        server.check_names(server.Settings(proxy="nginx"))

"""The client against servers of the genuine protocols: official gRPC stubs, and REST's documented row format."""

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fer_tf import cli
from fer_tf.commands import client
from fer_tf.errors import UserError
from fer_tf.serving import GrpcClient, RestClient, convert_face, convert_photograph

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("servers", ROOT / "tests" / "serving" / "servers.py")
servers_file = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(servers_file)
CLASSES = ["glad", "cross"]


def texts(values):
    return np.array(values, object)


def answer(signature, files):
    """Answer as an export does: one face a byte of the file, at most two; what starts with ? is no picture."""
    valid = np.array([not f.startswith(b"?") for f in files], bool)
    classes = texts([[c.encode() for c in CLASSES]] * len(files)).reshape(len(files), 2)
    shares = np.array([[0.25, 0.75] if v else [0, 0] for v in valid], np.float32).reshape(-1, 2)
    if signature == "serving_default":
        label = texts([b"cross" if v else b"" for v in valid])
        return {"probabilities": shares, "label": label, "label_id": np.where(valid, 1, -1), "classes": classes,
                "valid": valid}  # fmt: skip
    count = np.array([min(2, len(f)) if v else 0 for f, v in zip(files, valid, strict=True)], np.int32)
    there = (np.arange(2) < count[:, None]).astype(np.float32)
    boxes = there[..., None] * np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    return {
        "count": count, "scores": there * np.float32(0.5), "boxes": boxes,
        "landmarks": there[..., None, None] * np.ones((5, 2), np.float32),
        "probabilities": there[..., None] * np.array([0.25, 0.75], np.float32),
        "labels": np.where(there > 0, b"cross", b"").astype(object), "size": np.full((len(files), 2), 9, np.int32),
        "classes": classes, "valid": valid,
    }  # fmt: skip


@pytest.fixture(scope="module")
def rest():
    with servers_file.rest_server(answer) as server:
        yield server


@pytest.fixture(scope="module")
def remote():
    with servers_file.grpc_server(answer) as service:
        yield service


@pytest.fixture
def servers(rest, remote):
    over_grpc = GrpcClient(f"127.0.0.1:{remote.port}")
    yield [RestClient(f"127.0.0.1:{rest.server_port}"), over_grpc]
    over_grpc.close()


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {"two.jpg": b"ab", "one.png": b"a", "bad.gif": b"?", "none.bmp": b""}.items():
        Path(name).write_bytes(content)
    return [Path(n) for n in ("two.jpg", "one.png", "bad.gif", "none.bmp")]


def test_both_ways_give_the_same_answers(servers, files):
    found = [list(client.ask(server, files)) for server in servers]
    assert found[0] == found[1]
    two, one, bad, none = found[0]
    face = {"box": [1, 2, 3, 4], "score": 0.5, "landmarks": [[1, 1]] * 5, "label": "cross",
            "distribution": {"glad": 0.25, "cross": 0.75}}  # fmt: skip
    assert one == {"source": "one.png", "valid": True, "size": [9, 9], "faces": [face]}
    assert two["faces"] == [face, {**face, "box": [5, 6, 7, 8]}]
    assert not bad["valid"] and bad["faces"] == none["faces"] == [] and none["valid"]


def test_faces_that_are_cut_already(servers, files):
    for server in servers:
        one, bad = client.ask(server, files[1:3], crop=False)
        assert one["faces"] == [{"label": "cross", "distribution": {"glad": 0.25, "cross": 0.75}}]
        assert bad == {"source": "bad.gif", "valid": False, "faces": []}


def test_many_pictures_are_sent_in_parts(servers, files, rest):
    rest.seen.clear()
    for server in servers:
        found = list(client.ask(server, files[:2] * 10))
        assert [len(a["faces"]) for a in found] == [2, 1] * 10
    assert [len(body["instances"]) for _, _, body in rest.seen] == [8, 8, 4]


def test_a_version_can_be_asked_for(rest, remote):
    RestClient(f"127.0.0.1:{rest.server_port}/", version=3).predict("analyze", [b"a"])
    assert rest.seen[-1][0] == "/v1/models/faces/versions/3"
    GrpcClient(f"127.0.0.1:{remote.port}", version=3).predict("analyze", [b"a"])
    assert remote.seen[-1].version.value == 3
    assert RestClient(f"http://127.0.0.1:{rest.server_port}").status()["model_version_status"][0]["version"] == "1"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
def test_errors_are_one_line(kind, rest, remote):
    port = rest.server_port if kind is RestClient else remote.port
    with pytest.raises(UserError, match=r"other.*Servable not found"):
        kind(f"127.0.0.1:{port}", model="other").predict("analyze", [b"a"])
    with pytest.raises(UserError, match=r"^No server at .*127\.0\.0\.1:\d+ \(.*\)\.$"):
        kind(f"127.0.0.1:{free_port()}").predict("analyze", [b"a"])
    with pytest.raises(UserError, match="is not an address"):
        kind("" if kind is GrpcClient else "http://")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError, match=r"not respond in 0\.2 sec"):
        kind(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).predict("analyze", [b"a"])


def test_what_is_no_export_of_ours_is_named(rest, files):
    host = f"127.0.0.1:{rest.server_port}"
    with pytest.raises(UserError, match=r"strange at .* is not a model of fer_tf: it lacks boxes, classes"):
        list(client.ask(RestClient(host, model="strange"), files))
    with pytest.raises(UserError, match="does not respond in JSON"):
        RestClient(host, model="proxy").predict("analyze", [b"a"])
    with pytest.raises(ValueError, match=r"lacks label$"):
        convert_face({"probabilities": [], "classes": [], "valid": True})


def test_addresses():
    urls = {
        "localhost": "http://localhost:8501", "localhost:9": "http://localhost:9", "[::1]": "http://[::1]:8501",
        "https://example.org": "https://example.org", "http://example.org:80/tf/": "http://example.org:80/tf",
    }  # fmt: skip
    for host, address in urls.items():
        assert RestClient(host, model="a b").url == f"{address}/v1/models/a%20b"
    for host, address in {"localhost": "localhost:8500", "[::1]": "[::1]:8500", "[::1]:9": "[::1]:9"}.items():
        assert GrpcClient(host).address == address
    for wrong in ("ftp://localhost", "localhost:x"):
        with pytest.raises(UserError, match="is not an address"):
            RestClient(wrong)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["client", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_the_command(rest, remote, files, capsys):
    host = f"127.0.0.1:{rest.server_port}"
    code, out, err = run(capsys, host, "two.jpg", "none.bmp")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "two.jpg at 1, 2, 3, 4: cross 75.0%, glad 25.0%", "two.jpg at 5, 6, 7, 8: cross 75.0%, glad 25.0%",
        "none.bmp: no face",
    ]  # fmt: skip
    code, out, err = run(capsys, f"127.0.0.1:{remote.port}", "--grpc", "--json", "one.png", "bad.gif")
    assert (
        code == 1
        and err == "bad.gif: the server cannot read this image. Expected a JPEG or PNG file within its limits.\n"
    )
    assert [json.loads(line)["source"] for line in out.splitlines()] == ["one.png", "bad.gif"]
    code, out, err = run(capsys, host, "--no-crop", "one.png")
    assert (code, out) == (0, "one.png: cross 75.0%, glad 25.0%\n")
    for arguments, message in (
        (["nothing.jpg"], "error: nothing.jpg: no such image file."), (["one.png", "--model", "other"], "not found"),
    ):  # fmt: skip
        code, out, err = run(capsys, host, *arguments)
        assert code == 2 and message in err and err.count("\n") == 1 and not out


def test_without_the_official_stubs_grpc_says_what_to_install(files, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    code, _, err = run(capsys, "localhost", "--grpc", "one.png")
    assert code == 2 and "pip install 'fer-tf[serving]'" in err


def test_rest_needs_the_standard_library_only(rest, files):
    # -S: no site-packages at all.
    command = [sys.executable, "-S", "-m", "fer_tf.client", f"127.0.0.1:{rest.server_port}", "one.png", "--json"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["faces"][0]["label"] == "cross"


@contextlib.contextmanager
def hostile(send):
    """A server that reads a request's head and then does whatever ``send(connection)`` does; yields its address."""

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                send(connection)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def body_of(*parts):
    return lambda connection: [connection.sendall(part) for part in (b"HTTP/1.0 200 OK\r\n\r\n", *parts)]


def dripping(head):
    def send(connection):
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)

    return send


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX:", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 500 No\r\n\r\n"])
def test_a_response_that_drips_ends_at_the_timeout(head):
    start = time.monotonic()
    with hostile(dripping(head)) as host, pytest.raises(UserError, match=r"not respond in 0\.4 seconds|500 No"):
        RestClient(host, timeout=0.4).predict("analyze", [b"a"])
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([b"x" * 1_000_000] * 40, r"more than 2,000,000 bytes\.$"),
        ([b"[" * 200_000], "does not respond in JSON"),
        ([b'{"predictions":' + b"[" * 900 + b"]" * 900 + b"}"], "is not a model of fer_tf"),
        ([b'{"predictions": {"a": 1}}'], "no row for each image"),
        ([b"9" * 10_000], "does not respond in JSON"),
        ([b"\xff\xfe\x00"], "does not respond in JSON"),
    ],
)
def test_what_a_server_sends_is_limited(parts, message, files):
    with hostile(body_of(*parts)) as host, pytest.raises(UserError, match=message) as raised:
        list(client.ask(RestClient(host), files[:1]))
    assert "\n" not in str(raised.value)


def test_error_texts_are_limited_and_hold_no_escape_sequences():
    text = json.dumps({"error": "\x1b[31mbad\r\n" + "x" * 5000}).encode()
    refused = b"HTTP/1.0 400 Bad\r\n\r\n" + text
    with hostile(lambda c: c.sendall(refused)) as host, pytest.raises(UserError) as raised:
        RestClient(host).predict("analyze", [b"a"])
    assert r": 400 \x1b[31mbad xxx" in str(raised.value) and len(str(raised.value)) < 450
    for sent in (
        b"HTTP/1.0 400 Bad\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.0 302 Found\r\nLocation: ftp://localhost/\r\n\r\n",
    ):
        with (
            hostile(lambda c, sent=sent: c.sendall(sent)) as host,
            pytest.raises(UserError, match=r"400 Bad|302 Found"),
        ):
            RestClient(host).predict("analyze", [b"a"])


PHOTOGRAPH = {
    "count": 1, "boxes": [[1.0, 2.0, 3.0, 4.0]], "scores": [0.5], "landmarks": [[[1.0, 1.0]] * 5],
    "probabilities": [[0.25, 0.75]], "labels": ["cross"], "size": [9, 9], "classes": CLASSES, "valid": True,
}  # fmt: skip
WRONG = (
    ("count", "1"), ("count", -1), ("count", 10**400), ("count", 2), ("count", True), ("boxes", 5),
    ("boxes", [[1, 2, 3]]),
    ("boxes", [["a", 2, 3, 4]]), ("scores", [None]), ("scores", [float("nan")]), ("scores", [10**400]),
    ("landmarks", [[[1, 1]] * 4]), ("probabilities", [[1.0]]), ("probabilities", {"a": 1}), ("labels", [3]),
    ("labels", "c"), ("size", [9]), ("size", None), ("classes", "ab"), ("classes", ["a", "a"]), ("classes", [[], []]),
    ("valid", "yes"), ("valid", 1),
)  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_values_of_wrong_types_are_named(key, value, files, capsys):
    assert convert_photograph(PHOTOGRAPH)["faces"][0]["label"] == "cross"
    with pytest.raises(ValueError, match=f"^has (a |size|{key}|boxes)"):
        convert_photograph({**PHOTOGRAPH, key: value})
    sent = json.dumps({"predictions": [{**PHOTOGRAPH, key: value}]}).encode()
    with hostile(body_of(sent)) as host:
        code, out, err = run(capsys, host, "one.png")
    assert code == 2 and not out and err.count("\n") == 1 and err.startswith("error: ")
    if key in ("probabilities", "classes", "valid"):
        face = {"probabilities": [0.25, 0.75], "label": "cross", "classes": CLASSES, "valid": True, key: value}
        with pytest.raises(ValueError, match=r"^has "):
            convert_face(face)


def tensor(values, sizes=None, **changed):
    made = tf.make_tensor_proto(values)
    for dim, size in zip(made.tensor_shape.dim, sizes or (), strict=False):
        dim.size = size
    for key, value in changed.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"count": tensor([1], [2_000_000_000])}, "2,000,000,000 values"),
        ({"count": tensor([1], [2_000_000_000]), "size": tensor([1], [-2_000_000_000])}, "4,000,000,000 values"),
        ({"count": tensor([1], [5], tensor_content=b"abc")}, "damaged tensors"),
        ({"count": tensor([1], dtype=21)}, "damaged tensors"),
        ({"labels": tensor([b"\xff\xfe"])}, "damaged tensors"),
        ({"count": tensor(1)}, "no row for each image"),
        ({"count": tensor([1])}, "is not a model of fer_tf: it lacks boxes"),
        ({}, "no row for each image"),
    ],
)
def test_tensors_of_a_grpc_server_are_not_believed(outputs, message, files, capsys):
    with servers_file.grpc_server(lambda *_: outputs) as service:
        code, out, err = run(capsys, f"127.0.0.1:{service.port}", "--grpc", "one.png")
    assert code == 2 and not out and message in err and err.count("\n") == 1


@pytest.mark.parametrize("kind", [RestClient, GrpcClient])
@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": float("nan")}, {"timeout": float("inf")}, {"version": -1}, {"version": 2**63}],
)
def test_settings_out_of_range_are_named(kind, options):
    with pytest.raises(UserError, match=rf"^{next(iter(options))} .* is out of range\. Expected "):
        kind("localhost", **options)


def test_no_images_are_no_request(servers, rest, remote):
    """A server with batching never answers an empty request."""
    before = len(rest.seen), len(remote.seen)
    assert [server.predict("analyze", []) for server in servers] == [[], []]
    assert (len(rest.seen), len(remote.seen)) == before

"""The client against servers of the genuine protocols: official gRPC stubs, and REST's documented row format."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_tf import cli
from fer_tf.commands import client
from fer_tf.errors import UserError
from fer_tf.serving import GrpcClient, RestClient, convert_face

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

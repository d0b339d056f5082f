"""The page as a server that strangers send things to."""

import base64
import http.client
import io
import json
import re
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def file(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def pictures(html):
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_a_photograph_gives_faces_distributions_and_heat_maps(server, faces, joy):
    html, values = server.look((faces / "two.jpg").read_bytes())
    assert [f["label"] for f in values["faces"]].count(joy) == 1 and len(values["faces"]) == 2
    for face in values["faces"]:
        assert sum(face["distribution"].values()) == pytest.approx(1, abs=1e-4)
    # Where the astronaut's face is in the picture.
    x0, y0, x1, y1 = next(f["box"] for f in values["faces"] if f["label"] == joy)
    assert 160 < x0 < 190 and 260 < x1 < 290 and 40 < y0 < 80 and 160 < y1 < 190
    assert [p.size for p in pictures(html)] == [(1024, 512), (224, 224), (224, 224)]
    assert "2 faces" in html and html.count("Grad-CAM of ") == 4


def test_each_method_draws_another_map(server, faces, joy):
    maps = {}
    for method in ("Grad-CAM", "Grad-CAM++", "LayerCAM", "Score-CAM", "Eigen-CAM"):
        html, _ = server.look((faces / "one.jpg").read_bytes(), method=method)
        assert f"{method}{'' if method == 'Eigen-CAM' else f' of {joy}'}</figcaption>" in html
        maps[method] = np.asarray(pictures(html)[1], float)
    # Before a mean and one dense layer, a channel's gradient is the same everywhere: Grad-CAM++ is LayerCAM there.
    del maps["Grad-CAM++"]
    alike = [(a, b) for a in maps for b in maps if a < b and np.abs(maps[a] - maps[b]).mean() < 0.5]
    assert not alike


def test_each_network_is_asked(server, faces):
    data = (faces / "one.jpg").read_bytes()
    first, other = (server.look(data, model=name)[1] for name in ("default", "other"))
    assert first == other and len(first["faces"]) == 1


def test_unknown_methods_and_models_are_refused(server, faces):
    data = (faces / "one.jpg").read_bytes()
    for options in ({"method": "x"}, {"model": "/etc/passwd"}):
        with pytest.raises(AssertionError, match="event: error"):
            server.look(data, **options)


def test_a_picture_without_a_face_says_so(server, faces):
    html, values = server.look((faces / "none.jpg").read_bytes())
    assert "No face found" in html and values["faces"] == [] and len(pictures(html)) == 1


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


BAD = {
    "html": (lambda good: b"<html><script>alert(1)</script>", "no picture"),
    "empty": (lambda good: b"", "empty file"),
    "half a jpeg": (lambda good: good[: len(good) // 2], "damaged picture"),
    "zeros": (lambda good: bytes(100_000), "no picture"),
    "a bomb of 3,600 million pixels": (lambda good: bomb(60_000, 60_000), "pixels"),
    "more pixels than the page takes": (lambda good: bomb(6000, 5000), "at most 25,000,000"),
    "svg": (lambda good: b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "no picture"),
    "eps": (lambda good: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n", "no picture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_gets_a_line_and_the_page_goes_on(server, faces, kind):
    make, reason = BAD[kind]
    good = (faces / "one.jpg").read_bytes()
    for name in ("face.jpg", "face.svg", "face"):
        html, values = server.look(make(good), name)
        assert reason in values["error"] and "This file cannot be used" in html and 'role="alert"' in html
        assert str(server.temporary) not in html + json.dumps(values)
    assert len(server.look(good)[1]["faces"]) == 1


NAMES = (
    "../../../../tmp/evil.jpg", "/etc/cron.d/evil.jpg", "..", ".", "C:\\\\evil.jpg", "a" * 5000 + ".jpg",
    "e%00vil.jpg", "-rf.jpg", "<img src=x onerror=alert(1)>.jpg", "ü 顔.jpg",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_path_in_a_name_leads_nowhere(server, faces, name):
    status, body = server.upload((faces / "one.jpg").read_bytes(), name)
    (folder,) = server.temporary.glob("fer_tf-uploads-*")
    assert status in (200, 400, 413), body
    if status == 200:
        path = json.loads(body)[0]
        assert path.startswith(f"{folder}/") and ".." not in path.split("/")
    assert set(server.files()) == set(p for p in folder.rglob("*") if p.is_file())
    assert len(server.look((faces / "one.jpg").read_bytes())[1]["faces"]) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_200_megabytes_is_refused_early(server, chunked):
    before, files = server.memory(), sum(p.stat().st_size for p in server.files())
    connection = http.client.HTTPConnection(server.host, timeout=60)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=edge")
    connection.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "200000000")))
    connection.endheaders()
    part, sent = bytes(1_000_000), 0
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\n'
    try:
        for data in [head, *[part] * 200]:
            connection.send(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            sent += len(data)
    except OSError:
        pass
    assert sent < 60_000_000
    try:
        assert connection.getresponse().status == 413
    except OSError:
        pass
    finally:
        connection.close()
    assert server.memory() < before + 60
    assert server.ask("GET", "/config")[0] == 200
    # What was begun is a file of at most the limit, and goes with the next sweep.
    assert sum(p.stat().st_size for p in server.files()) <= files + 25_100_000


def test_fifty_at_once_are_all_answered_and_the_page_meanwhile(server, faces):
    data, longest = (faces / "one.jpg").read_bytes(), 0.0
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(server.look, data) for _ in range(50)]
        while not all(w.done() for w in waiting):
            start = time.monotonic()
            assert server.ask("GET", "/config")[0] == 200
            longest = max(longest, time.monotonic() - start)
            time.sleep(0.1)
    assert all(len(w.result()[1]["faces"]) == 1 for w in waiting)
    assert longest < 10


def test_a_video_gives_a_timeline(server, faces):
    _, body = server.upload((faces / "film.mp4").read_bytes(), "film.mp4")
    html, values = server.call("video", file(json.loads(body)[0]), "default", 2, 0)
    assert values["frames"] == 10 and len(values["people"]) == 2 and values["note"] == ""
    np.testing.assert_allclose(np.sum(values["people"][0]["shares"], axis=1), 1, atol=1e-4)
    assert "2 faces followed" in html and len(pictures(html)) == 2


def test_a_long_video_keeps_nobody_from_photographs(server, faces):
    _, body = server.upload((faces / "long.mp4").read_bytes(), "long.mp4")
    with ThreadPoolExecutor(1) as pool:
        video = pool.submit(server.call, "video", file(json.loads(body)[0]), "default", 1, 0)
        time.sleep(1)
        for _ in range(3):
            assert len(server.look((faces / "one.jpg").read_bytes())[1]["faces"]) == 1
        assert not video.done()
        assert video.result()[1]["frames"] == 300


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://%s\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "data", [PLAYLIST, b"ffconcat version 1.0\nfile '%s'\n", b"<MPD>%s</MPD>", b"", b"RIFF____WAVE%s"]
)
def test_a_video_that_names_other_files_is_none(server, faces, data):
    data = data.replace(b"%s", str(faces / "film.mp4").encode())
    _, body = server.upload(data, "film.mp4")
    html, values = server.call("video", file(json.loads(body)[0]), "default", 1, 0)
    assert values["error"].startswith("no video") and "cannot be used" in html


def test_half_a_video_shows_what_there_was(server, faces):
    data = (faces / "film.mp4").read_bytes()
    _, body = server.upload(data[: len(data) // 2], "film.mp4")
    _, values = server.call("video", file(json.loads(body)[0]), "default", 1, 0)
    assert "damaged video" in values.get("error", "") + values.get("note", "")


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/x.jpg"])
def test_the_api_reads_no_file_but_uploads(server, path):
    body = json.dumps({"data": [file(path), "default", "Grad-CAM"]})
    status, answer = server.ask("POST", "/gradio_api/call/photograph", body, {"Content-Type": "application/json"})
    assert status == 400 and b"Only uploaded files" in answer


def test_the_api_is_no_way_around_the_queue(server):
    for path in ("/gradio_api/run/photograph", "/gradio_api/api/photograph"):
        assert server.ask("POST", path, "{}", {"Content-Type": "application/json"})[0] == 404

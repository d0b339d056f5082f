"""Mutated inputs of every kind work or end in one line; never in another error, a hang or a gigabyte of memory.

Seeded: a failure names its kind and number. More rounds: ``FER_TF_FUZZ=10 pytest tests/test_fuzz.py -m slow``.
"""

import contextlib
import copy
import http.server
import io
import json
import os
import resource
import signal
import threading
import zipfile
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from fer_tf import augment, datasets, explain, losses, metrics, models, registry
from fer_tf.errors import UserError
from fer_tf.io import pictures, tfrecord, video
from fer_tf.labels import FER2013
from fer_tf.robustness.corruptions import CORRUPTIONS
from fer_tf.serving import RestClient, convert_face, convert_photograph
from fer_tf.training import schedules
from fer_tf.training.optimizers import OPTIMIZERS

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("FER_TF_FUZZ", "2"))
SECONDS, GIGABYTE = 20, 2**20  # ru_maxrss is in kilobytes
WORDS = [
    b"\0", b"\xff", b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b'"', b"'", b",", b"\n", b"\r", b"(", b")", b"[", b"{",
    b"}", b"=", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"../", b"%s", b"None", b"{[]:1}", b"lambda:0",
]  # fmt: skip
VALUES = [None, True, -1, 0, 3, 1000, 0.5, float("nan"), "", "softmax", "x" * 1000, [], [1], {}, [[[]]], {"a": None}]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a few places: bytes, numbers, slices that go, come twice, or are others."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(data) + 1))
        size = int(rng.integers(1, 1 + max(1, len(data) // int(rng.choice([4, 50, 1000])))))
        kind = rng.integers(0, 8)
        if kind == 0:
            data[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            data[at : at + 4] = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"][at % 4]
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            data[at : at + size] = bytes(size)
        elif kind == 5:
            data[at:at] = WORDS[rng.integers(len(WORDS))]
        elif kind == 6:
            data[at : at + 1] = WORDS[rng.integers(len(WORDS))]
        else:
            del data[max(at, len(data) // 2) :]
    return bytes(data)


def nodes(value, place=()):
    """Yield the places of all values in nested lists and dicts."""
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from nodes(item, (*place, key))


def restructured(value, rng):
    """Replace or delete values anywhere in what JSON holds."""
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, 3)):
        places = [place for place in nodes(value) if place]
        if not places:
            return value
        *way, last = places[rng.integers(len(places))]
        holder = value
        for key in way:
            holder = holder[key]
        if rng.random() < 0.3:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    return value


@contextlib.contextmanager
def bounded(what):
    """Fail where the block takes too long, too much memory, or ends in an error that is not a user's."""

    def late(*_):
        raise TimeoutError(what)

    before, old = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 5000, what
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE, what


def rounds(count, *kind):
    """Yield a number's name and its generator, ``count`` times."""
    for number in range(count * ROUNDS):
        yield f"{kind} {number}", np.random.default_rng([number, zlib.crc32(repr(kind).encode())])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF"])
def test_images(form, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(file, form, **({} if form in ("BMP", "PPM", "GIF") else {"exif": exif}))
    path = tmp_path / f"x.{form.lower()}"
    for what, rng in rounds(150, "image", form):
        path.write_bytes(mutated(file.getvalue(), rng))
        with bounded(what):
            pictures.read_photograph(path)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"), ("flv", "flv"), ("mpg", "mpeg2video")],
)
def test_videos(suffix, codec, tmp_path):
    av = pytest.importorskip("av")
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / f"x.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, i, 1), format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    for what, rng in rounds(60, "video", suffix):
        path.write_bytes(mutated(data, rng))
        with bounded(what):
            for _ in video.read_frames(path):
                pass


def faces_csv(folder):
    for i in range(6):
        Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(folder / f"{i}.png")
    return "path,label,split\n" + "".join(f"{i}.png,{FER2013.classes[i % 3]},{'train' if i < 4 else 'test'}\n"
                                          for i in range(6))  # fmt: skip


def distributions_csv(folder):
    faces_csv(folder)
    return "path,angry,happy,sad\n" + "".join(f"{i}.png,0.5,{i / 20},{0.5 - i / 20}\n" for i in range(6))


def fer2013_csv(folder):
    pixels = " ".join(["7"] * 48 * 48)
    usage = ["Training", "Training", "PublicTest", "PrivateTest"]
    return "emotion,pixels,Usage\n" + "".join(f"{i},{pixels},{u}\n" for i, u in enumerate(usage))


@pytest.mark.parametrize(
    ("name", "content"),
    [("csv(size=8)", faces_csv), ("csv(size=8)", distributions_csv), ("fer2013", fer2013_csv)],
    ids=["labels", "distributions", "fer2013"],
)
def test_csv_files(name, content, tmp_path):
    text = content(tmp_path).encode()
    path = tmp_path / "faces.csv"
    for what, rng in rounds(100, "csv", content.__name__):
        path.write_bytes(mutated(text, rng))
        with bounded(what):
            datasets.DATASETS.make(name, data=path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "n.keras"
    network = models.get("vgg(width=0.1, filters=(8,), depth=1, head='gap')", 7, (16, 16, 1))
    models.save_model(network, path, models.ModelMetadata(FER2013, 16, "features"))
    network.save_weights(path.with_name("n.weights.h5"))
    return path


def test_network_files(small, tmp_path):
    path = tmp_path / "n.keras"
    for what, rng in rounds(60, "keras bytes"):
        path.write_bytes(mutated(small.read_bytes(), rng))
        with bounded(what):
            models.load_model(path)


def test_entries_of_network_files(small, tmp_path):
    path = tmp_path / "n.keras"
    with zipfile.ZipFile(small) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for what, rng in rounds(120, "keras entries"):
        name = sorted(entries)[rng.integers(len(entries))]
        if name.endswith(".json") and rng.random() < 0.8:
            changed = json.dumps(restructured(json.loads(entries[name]), rng)).encode()
        else:
            changed = mutated(entries[name], rng)
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in entries.items():
                archive.writestr(entry, changed if entry == name else content)
        with bounded(f"{what} {name}"):
            models.load_model(path)
        keras.utils.clear_session(free_memory=False)


def test_weights_files(small, tmp_path):
    network = models.get("vgg(width=0.1, filters=(8,), depth=1, head='gap')", 7, (16, 16, 1))
    path = tmp_path / "n.weights.h5"
    for what, rng in rounds(100, "weights"):
        path.write_bytes(mutated(small.with_name("n.weights.h5").read_bytes(), rng))
        with bounded(what):
            models.load_backbone(network, path)


def test_call_strings():
    """All that only builds an object is built; of the others, names and keywords are looked up."""
    tables = [losses.LOSSES, metrics.METRICS, augment.OPS, OPTIMIZERS, schedules.SCHEDULES, CORRUPTIONS]
    others = [models.MODELS, datasets.DATASETS, explain.METHODS]
    texts = [(table, name) for table in (*tables, *others) for name in table]
    for what, rng in rounds(3000, "call"):
        table, name = texts[rng.integers(len(texts))]
        text = f"{name}(rate=0.5, alpha=(1, 2), size=[3, None], p={{'a': -1e-3}}, mode='min')"
        if rng.random() < 0.5:
            row = registry.inspect.signature(table[name].load()).parameters
            key = sorted(row)[rng.integers(len(row))] if row else "x"
            text = f"{name}({key}={VALUES[rng.integers(len(VALUES))]!r})"
        if rng.random() < 0.7:
            text = mutated(text.encode(), rng).decode("utf-8", "surrogateescape")
        with bounded(f"{what} {table.kind} {text!r}"):
            table.make(text) if table in tables else table.resolve(text)


def test_records(tmp_path):
    path = tmp_path / "x.tfrecord"
    with tfrecord.RecordWriter(path) as writer:
        for i in range(5):
            writer.write(tfrecord.encode_example({"id": f"{i}", "box": np.float32([1, 2, 3, 4]), "n": [i]}))
    data = path.read_bytes()
    for what, rng in rounds(150, "records"):
        path.write_bytes(mutated(data, rng))
        with bounded(what):
            for record in tfrecord.read_records(path):
                tfrecord.decode_example(mutated(record, rng))


FACE = {"probabilities": [0.75, 0.25], "label": "happy", "label_id": 0, "classes": ["happy", "sad"], "valid": True}
PHOTOGRAPH = {
    "count": 1, "scores": [0.5, 0.0], "boxes": [[1, 2, 3, 4], [0, 0, 0, 0]], "landmarks": [[[1.0, 1.0]] * 5] * 2,
    "probabilities": [[0.75, 0.25], [0.0, 0.0]], "labels": ["happy", ""], "size": [9, 9], "classes": ["happy", "sad"],
    "valid": True,
}  # fmt: skip


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("row", "convert"), [(FACE, convert_face), (PHOTOGRAPH, convert_photograph)])
def test_responses_of_servers(row, convert):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = RestClient(f"127.0.0.1:{server.server_port}", timeout=2)
    try:
        for what, rng in rounds(150, "response", convert.__name__):
            body = json.dumps(restructured({"predictions": [row]}, rng)).encode()
            body = mutated(body, rng) if rng.random() < 0.5 else body
            head = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            server.answer = mutated(head, rng) + body if rng.random() < 0.3 else head + body
            with bounded(what):
                for found in client.predict("analyze", [b"x"]):
                    try:
                        convert(found)
                    except ValueError as error:
                        raise UserError(str(error)) from None
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

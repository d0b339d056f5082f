"""The local job: one record a photograph, whatever happens."""

import importlib.util
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import cli
from fer_tf.errors import DataError, UserError
from fer_tf.faces import crops
from fer_tf.io.tfrecord import RecordWriter, decode_example, read_records
from fer_tf.shards import ShardOptions, prepare, verify
from fer_tf.shards.plan import digest_of

SPEC = importlib.util.spec_from_file_location("drawn_faces", Path(__file__).parents[1] / "faces" / "drawn.py")
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

WHOLE = ShardOptions(size=8, faces="whole", shard_images=4)


@pytest.fixture
def faces(tmp_path):
    """Ten gray faces in two classes and two splits, a damaged one, and one whose name is no UTF-8."""
    rng, root = np.random.default_rng(0), tmp_path / "faces"
    for i in range(10):
        drawn.save(root / ("train", "test")[i > 7] / "ab"[i % 2] / f"é{i}.png", rng.integers(0, 256, (8, 8), np.uint8))
    (root / "train" / "b" / "html.jpg").write_text("<html>")
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(file, "PNG")
    (root / "train" / "b" / os.fsdecode(b"\xff.png")).write_bytes(file.getvalue())
    return root


def records(folder):
    return [decode_example(r) for path in sorted(folder.glob("shard-*.tfrecord")) for r in read_records(path)]


def shards(folder):
    """Return everything that a job leaves, as bytes by name."""
    return {name: content for name, content in drawn.tree(folder).items() if not name.startswith(".")}


def test_every_photograph_has_one_record(faces, tmp_path):
    done = prepare(faces, tmp_path / "out", WHOLE)
    assert (done.images, done.shards) == (12, 3)
    assert done.statuses == {"face": 0, "whole": 11, "no face": 0, "unreadable": 1}
    found = records(tmp_path / "out")
    names = sorted(str((Path(at) / n).relative_to(faces)) for at, _, inside in os.walk(faces) for n in inside)
    assert [r["id"].decode("utf-8", "surrogateescape") for r in found] == names
    by_name = dict(zip(names, found, strict=True))
    bad = by_name["train/b/html.jpg"]
    assert (bad["status"], bad["pixels"], bad["size"].tolist()) == (b"unreadable", b"", [0])
    assert bad["reason"].startswith(b"no picture.")
    good = by_name["test/a/é8.png"]
    assert (good["status"], good["label"], good["split"]) == (b"whole", b"a", b"test")
    assert (good["size"].tolist(), good["channels"].tolist()) == ([8], [1])
    pixels = np.asarray(Image.open(faces / "test/a/é8.png"))
    assert good["pixels"] == pixels.tobytes() and np.isnan(good["score"]).all() and np.isnan(good["box"]).all()
    assert verify(tmp_path / "out") == done


def test_offsets_lead_to_the_pixels(faces, tmp_path):
    prepare(faces, tmp_path / "out", WHOLE)
    for path in sorted((tmp_path / "out").glob("*.npz")):
        columns, content = np.load(path), path.with_suffix(".tfrecord").read_bytes()
        for record, offset in zip(read_records(path.with_suffix(".tfrecord")), columns["offsets"], strict=True):
            pixels = decode_example(record)["pixels"]
            assert content[offset : offset + 64] == pixels if pixels else offset == -1


def test_tensorflow_reads_the_records(faces, tmp_path):
    tf = pytest.importorskip("tensorflow")
    prepare(faces, tmp_path / "out", WHOLE)
    files = sorted(str(p) for p in (tmp_path / "out").glob("*.tfrecord"))
    spec = {"id": tf.io.FixedLenFeature([], tf.string), "pixels": tf.io.FixedLenFeature([], tf.string)}
    theirs = [tf.io.parse_single_example(r, spec) for r in tf.data.TFRecordDataset(files)]
    ours = records(tmp_path / "out")
    assert [t["id"].numpy() for t in theirs] == [o["id"] for o in ours]
    assert [t["pixels"].numpy() for t in theirs] == [o["pixels"] for o in ours]


def test_faces_are_found_and_cut_out(squares, tmp_path):
    root, options = drawn.thirty(tmp_path / "src"), ShardOptions(size=32, detector=squares)
    done = prepare(root, tmp_path / "out", replace(options, channels=3, shard_images=7))
    assert done.statuses == {"face": 30, "whole": 0, "no face": 1, "unreadable": 1}
    by_name = {r["id"].decode(): r for r in records(tmp_path / "out")}
    assert len(by_name) == 32
    face = by_name["a/00.jpg"]
    assert face["box"].tolist() == [20, 30, 60, 70] and face["score"] == np.float32(0.99)
    assert face["landmarks"].reshape(5, 2)[0] == pytest.approx([32, 46])
    # The crop job's own faces, photograph by photograph.
    crops.crop(root, tmp_path / "crop", crops.CropOptions(size=32, detector=squares))
    theirs = np.asarray(Image.open(tmp_path / "crop" / "a" / "00.png"))
    assert face["pixels"] == theirs.tobytes()
    whole = prepare(root, tmp_path / "whole", replace(options, fallback="whole"))
    assert whole.statuses == {"face": 30, "whole": 1, "no face": 0, "unreadable": 1}
    gray = {r["id"].decode(): r for r in records(tmp_path / "whole")}["a/00.jpg"]
    assert gray["pixels"] == Image.fromarray(theirs).convert("L").tobytes()


def test_an_interrupted_job_ends_with_the_same_bytes(faces, tmp_path, monkeypatch):
    from fer_tf.shards import job

    prepare(faces, tmp_path / "straight", WHOLE)
    read, calls = job.read_picture, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(job, "read_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(faces, tmp_path / "out", WHOLE)
    assert (tmp_path / "out" / "shard-00000.json").exists() and not (tmp_path / "out" / "index.json").exists()
    with pytest.raises(DataError, match=r"has no index.json: no shards, or not all yet"):
        verify(tmp_path / "out")
    calls[:] = [None] * 10
    prepare(faces, tmp_path / "out", WHOLE)
    assert len(calls) == 10 + 8  # all but the first shard's
    assert shards(tmp_path / "out") == shards(tmp_path / "straight")


def test_a_killed_process_leaves_whole_shards_only(faces, tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys, time\nfrom fer_tf.shards import job, prepare, ShardOptions\n"
        "read = job.read_picture\n"
        "job.read_picture = lambda *a: (time.sleep(0.1), read(*a))[1]\n"
        "prepare(sys.argv[1], sys.argv[2], ShardOptions(size=8, faces='whole', shard_images=4))\n"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code, faces, out], env=here, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (out / "shard-00000.json").exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "shard-00000.json").exists() and not (out / "index.json").exists()
    prepare(faces, out, WHOLE)
    prepare(faces, tmp_path / "straight", WHOLE)
    assert shards(out) == shards(tmp_path / "straight")


def test_a_full_disk_is_told_and_a_restart_goes_on(tmp_path, capsys):
    """A file-size limit stands for the full disk: the system refuses the write in the same place."""
    rng, root = np.random.default_rng(0), tmp_path / "faces"
    for i in range(9):
        drawn.save(root / f"{i}.png", rng.integers(0, 256, (8, 8), np.uint8))
    command = ["prepare", str(root), str(tmp_path / "out"), "--faces", "whole", "--size", "64", "--shard-images", "8"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # eight faces of 4,096 pixels do not go in
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["shards", *command])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.value.code == 1 and "File too large" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("shard-*"))
    with pytest.raises(SystemExit, match="0"):
        cli.main(["shards", *command])
    assert verify(tmp_path / "out").images == 9


@pytest.mark.parametrize("name", ["shard-00001.tfrecord", "shard-00001.npz", "shard-00001.json"])
def test_a_shard_with_a_file_cut_off_is_written_again(faces, tmp_path, name):
    prepare(faces, tmp_path / "out", WHOLE)
    before = shards(tmp_path / "out")
    os.truncate(tmp_path / "out" / name, 100)
    prepare(faces, tmp_path / "out", WHOLE)
    assert shards(tmp_path / "out") == before


def test_changed_photographs_are_prepared_again(faces, tmp_path):
    prepare(faces, tmp_path / "out", WHOLE)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tfrecord")}
    (faces / "test" / "a" / "é8.png").unlink()
    (faces / "train" / "b" / "html.jpg").unlink()
    drawn.save(faces / "train" / "a" / "é0.png", np.zeros((8, 8), np.uint8))
    done = prepare(faces, tmp_path / "out", WHOLE)
    assert (done.images, done.shards, done.statuses["unreadable"]) == (10, 3, 0)
    prepare(faces, tmp_path / "fresh", WHOLE)
    assert shards(tmp_path / "out") == shards(tmp_path / "fresh")
    for path in sorted((faces / "train").rglob("*.png"))[:3]:
        path.unlink()
    assert prepare(faces, tmp_path / "out", WHOLE).shards == 2
    assert len(list((tmp_path / "out").glob("shard-*"))) == 6 and len(before) == 3
    assert verify(tmp_path / "out").images == 7


def rewritten(folder, change):
    """Change the records of the first shard; leave all counts and digests as they would be."""
    path = folder / "shard-00000.tfrecord"
    records = change(list(read_records(path)))
    with RecordWriter(path) as file:
        for record in records:
            file.write(record)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0] |= {"bytes": path.stat().st_size, "digest": digest_of(path)}
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: [r[0], r[0], *r[2:]], "once each"),
        (lambda r: r[:-1], "once each"),
        (lambda r: [r[1], r[0], *r[2:]], "once each"),
    ],
)
def test_verify_refuses_records_that_are_twice_missing_or_swapped(faces, tmp_path, change, words):
    prepare(faces, tmp_path / "out", WHOLE)
    rewritten(tmp_path / "out", change)
    with pytest.raises(DataError, match=words):
        verify(tmp_path / "out")


def test_verify_refuses_one_photograph_that_is_listed_twice(faces, tmp_path):
    prepare(faces, tmp_path / "out", WHOLE)
    lines = (tmp_path / "out" / "sources.jsonl").read_bytes().split(b"\n")
    names = json.loads(lines[0])
    lines[0] = json.dumps([names[0], names[0], *names[2:]], separators=(",", ":")).encode()
    (tmp_path / "out" / "sources.jsonl").write_bytes(b"\n".join(lines))
    rewritten(tmp_path / "out", lambda r: [r[0], r[0], *r[2:]])
    with pytest.raises(DataError, match="twice"):
        verify(tmp_path / "out")


def test_verify_sees_one_flipped_bit(faces, tmp_path):
    prepare(faces, tmp_path / "out", WHOLE)
    path = tmp_path / "out" / "shard-00002.tfrecord"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"shard-00002.tfrecord has other bytes than written"):
        verify(tmp_path / "out")


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["shards", *map(str, arguments)])
    return ended.value.code


def test_the_command(faces, tmp_path, capsys):
    told = ["prepare", faces, tmp_path / "out", "--size", 8, "--faces", "whole", "--shard-images", 4]
    assert command(*told) == 0
    wrote, counts = capsys.readouterr().out.splitlines()
    assert wrote == f"wrote {tmp_path / 'out' / 'index.json'}"
    assert counts == "12 records in 3 shards: 0 faces found, 11 whole pictures, 0 without a face, 1 unreadable"
    assert command("verify", tmp_path / "out") == 0
    assert "12 records" in capsys.readouterr().out
    before = shards(tmp_path / "out")
    assert command(*told, "--channels", 3) == 2
    assert "holds shards with channels=1, now it is 3. Give --overwrite" in capsys.readouterr().err
    assert shards(tmp_path / "out") == before
    assert command(*told, "--channels", 3, "--overwrite") == 0
    assert len(records(tmp_path / "out")[0]["pixels"]) == 8 * 8 * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{faces}/none", "{out}"], "no such file or folder"),
        (["{empty}", "{out}"], "no pictures in it"),
        (["{faces}", "{faces}/out"], "is inside"),
        (["{faces}", "{other}"], "is not empty and holds no job.json"),
        (["{faces}", "{out}", "--faces", "all"], "faces='all' is unknown. Expected largest, central, whole"),
        (["{faces}", "{out}", "--size", "0"], "size=0"),
        (["{faces}", "{out}", "--channels", "2"], "channels=2"),
        (["{faces}", "{out}", "--shard-images", "0"], "shard_images=0"),
        (["{faces}", "{out}", "--features"], "Name one as model"),
        (["{faces}", "{out}", "--model", "no.keras"], "No model 'no.keras'"),
        (["{faces}", "{out}", "--detector", "hgo"], "hgo"),
        (["{faces}", "{out}", "--workers", "2"], "--workers needs --executor ray"),
        (["{faces}", "{out}", "--executor", "ray", "--workers", "0"], "--workers is 0"),
    ],
)
def test_mistakes_in_one_line(faces, tmp_path, capsys, arguments, words):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    places = {name: tmp_path / name for name in ("faces", "out", "other", "empty")}
    assert command("prepare", *(a.format(**places) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error
    assert [p.name for p in (tmp_path / "other").iterdir() if p.name != ".lock"] == ["mine.txt"]


def test_settings_may_change_until_a_shard_is_there(faces, tmp_path):
    def refusing(task, blocks):
        raise UserError("no such network")

    with pytest.raises(UserError, match="no such network"):
        prepare(faces, tmp_path / "out", ShardOptions(size=9, faces="whole"), executor=refusing)
    assert prepare(faces, tmp_path / "out", WHOLE).images == 12


@pytest.mark.slow
def test_the_shipped_network_s_answers_are_those_of_predict(tmp_path):
    from fer_tf import datasets
    from fer_tf.inference.classifier import ExpressionClassifier

    table = datasets.get("synthetic(faces=70)")
    for name, image in zip(table.ids, table.images, strict=True):
        drawn.save(tmp_path / "faces" / "a" / f"{name}.png", image[..., 0])
    options = ShardOptions(size=48, faces="whole", model="default", shard_images=66)
    prepare(tmp_path / "faces", tmp_path / "out", options)
    found = [r["probabilities"] for r in records(tmp_path / "out")]
    order = np.argsort([f"a/{name}.png" for name in table.ids])
    np.testing.assert_allclose(np.stack(found), ExpressionClassifier("default").predict(table.images)[order], atol=1e-5)
    both = ShardOptions(size=48, faces="whole", model="default", features=True, shard_images=66)
    prepare(tmp_path / "faces", tmp_path / "both", both)
    columns = np.load(tmp_path / "both" / "shard-00000.npz")
    np.testing.assert_allclose(columns["probabilities"], np.stack(found)[:66], atol=1e-4)
    # The head on the features gives the distribution back.
    classifier = ExpressionClassifier("default")
    kernel, bias = (np.asarray(w) for w in classifier.network.get_layer("logits").get_weights())
    logits = (columns["features"] @ kernel + bias) / classifier.metadata.temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), columns["probabilities"], atol=1e-5)

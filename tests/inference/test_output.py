import csv
import json

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.inference.output import CsvWriter, Face, ImageResult, JsonWriter, SkippedWriter, Table
from fer_tf.labels import LabelSet

TWO = LabelSet("two", ("happy", "sad"))
POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)


def face(source="a.jpg", frame=None, time=None, index=0, points=POINTS, track=None, score=0.5):
    shares = {"happy": 0.75, "sad": 0.25}
    return Face(source, frame, time, index, (1.0, 2.0, 11.0, 22.0), score, points, shares, "happy", track)


def result(source="a.jpg", *faces, frame=None, time=None, reason=""):
    return ImageResult(source, frame, time, None if reason else np.zeros((1, 1, 3), np.uint8), faces, reason)


RESULTS = [
    result("a.jpg", face(), face(index=1, points=None, score=None)),
    result("b\n\udcff.jpg", face("b\n\udcff.jpg")),
    result("none.jpg"),
    result("bad.jpg", reason="empty file."),
    result("v.mp4", face("v.mp4", 7, 0.28, track=3), frame=7, time=0.28),
    result("v.mp4", frame=8, time=0.32),
]


def write(writer, results=RESULTS):
    with writer:
        for one in results:
            writer.add(one)
    return writer.files[0]


def test_csv_has_a_row_a_face(tmp_path):
    path = write(CsvWriter(tmp_path / "new" / "f.csv", TWO))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["source"] for r in rows] == ["a.jpg", "a.jpg", "b\n\\udcff.jpg", "v.mp4"]
    assert list(rows[0].values()) == [
        "a.jpg", "", "", "0", "", "0.5", "1.0", "2.0", "11.0", "22.0", *(f"{i}.0" for i in range(10)),
        "1", "happy", "0.75", "0.75", "0.25",
    ]  # fmt: skip
    assert rows[1]["nose_x"] == rows[1]["score"] == ""
    assert [rows[3][k] for k in ("frame", "time", "track")] == ["7", "0.28", "3"]


@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
def test_json_has_an_object_a_face(tmp_path, name):
    text = write(JsonWriter(tmp_path / name)).read_text(encoding="utf-8")
    values = json.loads(text) if name == "f.json" else [json.loads(line) for line in text.splitlines()]
    assert values == [f.to_json() for r in RESULTS for f in r.faces]
    assert text.count("\n") == (6 if name == "f.json" else 4)


def test_without_faces_files_are_valid(tmp_path):
    assert json.loads(write(JsonWriter(tmp_path / "f.json"), []).read_text()) == []
    assert write(CsvWriter(tmp_path / "f.csv", TWO), []).read_text().endswith("label,probability,happy,sad\n")


def test_skipped_has_what_gave_no_face(tmp_path):
    assert write(SkippedWriter(tmp_path / "s.csv")).read_text().splitlines() == [
        "source,video_frame,reason",
        "none.jpg,,no face found.",
        "bad.jpg,,empty file.",
        "v.mp4,8,no face found.",
    ]


def test_a_run_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "f.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), JsonWriter(tmp_path / "f.json") as writer:
        writer.add(RESULTS[0])
        raise KeyboardInterrupt
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f.json", "old")]


def test_other_suffixes_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"f\.txt: unknown suffix"):
        JsonWriter(tmp_path / "f.txt")
    with pytest.raises(UserError, match="is a folder"):
        CsvWriter(tmp_path, TWO)


def test_the_screen_shows_a_line_a_face_and_what_was_skipped():
    table = Table(["a.jpg", "none.jpg"], moving=False)
    lines = [line for r in RESULTS[:4] for line in table.add(r)]
    assert lines == [
        "source    face              x,y w×h score  expression",
        "a.jpg        1            1,2 10×20  0.50  happy 75 %  sad 25 %  (doubtful landmarks)",
        "a.jpg        2            1,2 10×20        happy 75 %  sad 25 %",
        "b\\…f.jpg     1            1,2 10×20  0.50  happy 75 %  sad 25 %  (doubtful landmarks)",
        "none.jpg no face found",
        "bad.jpg  skipped: empty file.",
    ]
    assert list(table.summary()) == ["3 faces in 3 pictures: happy 3; no face in 1; 1 skipped"]


def test_of_a_long_run_the_first_faces_are_shown():
    table = Table(["v.mp4"], moving=True, lines=2)
    frames = [result("v.mp4", face("v.mp4", i, i / 25, track=0), frame=i, time=i / 25) for i in range(1500)]
    lines = [line for f in [*frames, result("v.mp4", frame=1500, time=60.0)] for line in table.add(f)]
    assert lines[1:] == [
        "v.mp4        0   0.00 s    1            1,2 10×20  0.50  happy 75 %  sad 25 %  (doubtful landmarks)",
        "v.mp4        1   0.04 s    1            1,2 10×20  0.50  happy 75 %  sad 25 %  (doubtful landmarks)",
    ]
    assert list(table.summary()) == [
        "… and 1,498 more faces (--lines shows more, --csv and --json write all)",
        "1,500 faces in 1,501 frames: happy 1,500; no face in 1",
    ]


def test_no_cell_is_a_formula_and_no_line_moves_the_cursor(tmp_path):
    results = [result("=1+1.jpg", face("=1+1.jpg")), result("@x.jpg", reason="empty file.")]
    assert write(CsvWriter(tmp_path / "f.csv", TWO), results).read_text().splitlines()[1].startswith("./=1+1.jpg,")
    assert write(SkippedWriter(tmp_path / "s.csv"), results).read_text().splitlines()[1] == "./@x.jpg,,empty file."
    table = Table(["a\x1b[31m.jpg"], moving=False)
    lines = list(table.add(result("a\x1b[31m.jpg", reason="no \x1b[2J.")))
    assert lines and all(line.isprintable() for line in lines)

"""What users name: an empty path is no folder, and names that would run or paint are made harmless everywhere."""

import csv

import numpy as np
import pytest
from PIL import Image

from fer_tf import cli, datasets
from fer_tf.datasets.landmarks import COLUMNS
from fer_tf.errors import UserError
from fer_tf.inference import output, sources
from fer_tf.io.folder_job import write_table
from fer_tf.labels import LabelSet


def ends(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, arguments)])
    return end.value.code or 0, capsys.readouterr()


@pytest.mark.parametrize(
    "command",
    [
        ["predict", ""], ["gradcam", ""], ["crop", "", "out"], ["crop", "in", ""], ["landmarks", "", "out.csv"],
        ["mask", "", "out"], ["shards", "prepare", "", "out"], ["compare", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_path_never_is_the_working_directory(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code, said = ends(capsys, *command)
    assert code == 2 and "An empty path names nothing" in said.err and said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_dataset_at_an_empty_path_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (lambda: datasets.get("folder", ""), lambda: datasets.load_folder("")):
        with pytest.raises(UserError, match="An empty path names nothing"):
            load()


def test_names_in_the_tables_of_crops_are_no_formulas(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / "in" / "=1+1.png")
    code, said = ends(capsys, "crop", tmp_path / "in", tmp_path / "out", "--fallback", "whole", "--size", "16")
    assert code == 0, said.err
    with (tmp_path / "out" / "faces.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["source"] == "./=1+1.png" and row["file"] == "./=1+1.png"
    assert (tmp_path / "out" / row["file"]).is_file()


def test_names_of_figures_do_not_paint_the_screen(tmp_path, capsys):
    bad = tmp_path / "a\x1b[31m.png"
    bad.write_bytes(b"no picture")
    code, said = ends(capsys, "gradcam", bad)
    assert code == 2 and "\x1b" not in said.err + said.out and "\\x1b[31m" in said.err


def test_figures_of_heat_maps_in_a_folder_are_no_photographs(tmp_path):
    for name in ("a.png", "a_gradcam.png", "montage_scorecam.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    notes = {}
    found = sources.find([tmp_path], notes.__setitem__)
    assert [f.path.name for f in found] == ["a.png"]
    assert sorted(notes) == [str(tmp_path / "a_gradcam.png"), str(tmp_path / "montage_scorecam.png")]
    assert all("a figure of fer-tf gradcam" in reason for reason in notes.values())
    assert len(sources.find([tmp_path / "a_gradcam.png"], notes.__setitem__)) == 1


def test_landmarks_find_faces_whose_names_begin_with_a_dot_or_a_formula(tmp_path):
    for name in ("=1.png", "2.png", "3.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    rows = "".join(f"{name},{label},{split}\n" for name, label, split in (
        ("=1.png", "happy", "train"), ("./2.png", "sad", "validation"), ("3.png", "sad", "test")))  # fmt: skip
    (tmp_path / "faces.csv").write_text("path,label,split\n" + rows)
    faces = datasets.get("csv", tmp_path / "faces.csv")
    write_table(tmp_path / "l.csv", [*COLUMNS, "x0", "y0"], [
        [name, 0, 1, "", 0.9, 8, 8, 0, 0, 8, 8, 1.5, 2.5] for name in faces.ids.tolist()])  # fmt: skip
    assert datasets.with_landmarks(faces, tmp_path / "l.csv").landmarks.shape == (3, 1, 2)


def test_classes_in_the_header_of_a_table_are_no_formulas(tmp_path):
    with output.CsvWriter(tmp_path / "faces.csv", LabelSet("moods", ("=1+1", "glad"))):
        pass
    header = (tmp_path / "faces.csv").read_text().splitlines()[0]
    assert header.endswith(",./=1+1,glad")

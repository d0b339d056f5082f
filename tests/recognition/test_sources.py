import os

import pytest

from fer_tf.errors import UserError
from fer_tf.faces import photographs
from fer_tf.recognition import sources
from fer_tf.recognition.pictures import check_folder, output_names


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_files_and_folders_are_found_once_in_order(tmp_path):
    touch(tmp_path, "b/y.jpg", "b/c/x.png", "a.jpg", "v.mp4", "notes.txt")
    notes = {}
    given = [
        tmp_path / "b" / "y.jpg",
        tmp_path / "b",
        tmp_path / "v.mp4",
        tmp_path / "gone.jpg",
        tmp_path / "notes.txt",
    ]
    found = sources.find(given, notes.__setitem__)
    assert [(f.relative, f.source) for f in found] == [
        ("y.jpg", str(tmp_path / "b" / "y.jpg")),
        ("c/x.png", str(tmp_path / "b" / "c" / "x.png")),
        ("v.mp4", str(tmp_path / "v.mp4")),
    ]
    assert notes[str(tmp_path / "gone.jpg")] == "no such file or folder."
    assert notes[str(tmp_path / "notes.txt")].startswith("no picture by its suffix")


def test_nothing_to_read_names_the_first_path(tmp_path):
    with pytest.raises(UserError, match="one: no such file or folder"):
        sources.find([tmp_path / "one", tmp_path / "two"], lambda *_: None)


def test_without_the_extra_videos_are_left_out_or_refused(tmp_path, monkeypatch):
    touch(tmp_path, "x.jpg", "v.mp4")

    def missing():
        raise UserError("Videos need PyAV.")

    monkeypatch.setattr(photographs, "import_av", missing)
    notes = {}
    assert [f.relative for f in sources.find([tmp_path], notes.__setitem__)] == ["x.jpg"]
    assert notes == {str(tmp_path / "v.mp4"): "Videos need PyAV."}
    with pytest.raises(UserError, match="need PyAV"):
        sources.find([tmp_path / "v.mp4"], notes.__setitem__)


def test_annotated_copies_have_names_of_their_own(tmp_path):
    touch(tmp_path, "p/a.jpg", "p/A.png", "p/s/a.jpg", "q/a.jpg")
    names = output_names(sources.find([tmp_path / "p", tmp_path / "q" / "a.jpg"], lambda *_: None))
    assert {os.path.relpath(k, tmp_path): v for k, v in names.items()} == {
        "p/A.png": "A_faces", "p/a.jpg": "a_faces~2", "p/s/a.jpg": "s/a_faces", "q/a.jpg": "a_faces~3",
    }  # fmt: skip


def test_copies_go_nowhere_that_is_read(tmp_path):
    touch(tmp_path, "p/a.jpg")
    check_folder(tmp_path / "out", [tmp_path / "p"])
    check_folder(tmp_path / "p", [tmp_path / "p" / "a.jpg"])
    with pytest.raises(UserError, match="is inside"):
        check_folder(tmp_path / "p" / "out", [tmp_path / "p"])
    with pytest.raises(UserError, match="is no folder"):
        check_folder(tmp_path / "p" / "a.jpg", [tmp_path / "q"])


def test_names_that_file_systems_would_refuse_are_cut():
    long = "a/" + "ü" * 120
    found = [sources.Found(None, str(i), f"{long}{i}.jpg") for i in range(2)]
    names = list(output_names(found).values())
    assert len(set(names)) == 2 and all(n.startswith("a/ü") and len(n.encode()) < 210 for n in names)

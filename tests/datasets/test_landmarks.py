import csv

import numpy as np
import pytest

from fer_tf import datasets
from fer_tf.datasets.landmarks import COLUMNS, point_columns, read_landmarks, with_landmarks
from fer_tf.errors import DataError, UserError


def row(source, points=None, face=0, width=48, height=48, **changes):
    found = points is not None
    facts = dict(zip(COLUMNS, (source, face, int(found), "" if found else "no face found.", 0.9), strict=False))
    box = {name: 0 for name in COLUMNS if name.startswith("box")}
    return {**facts, **box, "width": width, "height": height, **changes, "points": points if found else [""] * 4}


def write(path, *rows, count=2):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *point_columns(count)])
        writer.writerows([*(r[name] for name in COLUMNS), *r["points"]] for r in rows)
    return path


@pytest.fixture
def table():
    return datasets.get("synthetic(faces=9)")


def test_columns_of_points_alternate_between_x_and_y():
    assert point_columns(68)[:4] == ["x0", "y0", "x1", "y1"] and point_columns(68)[-1] == "y67"


def test_a_table_is_read_with_nan_for_missing_faces(tmp_path):
    path = write(
        tmp_path / "l.csv",
        row("a, b/ü.png", [1, 2.5, -3, 4]),
        row("none.png"),
        row("bad.png", width="", height=""),
        row("NA", [5, 6, 7, 8], width=100, height=50),
    )
    found = read_landmarks(path)
    assert found.ids.tolist() == ["a, b/ü.png", "none.png", "bad.png", "NA"]
    assert found.points.dtype == np.float32 and found.points.shape == (4, 2, 2)
    np.testing.assert_array_equal(found.points[[0, 3]], [[[1, 2.5], [-3, 4]], [[5, 6], [7, 8]]])
    assert np.isnan(found.points[[1, 2]]).all()
    np.testing.assert_array_equal(found.sizes, [[48, 48], [48, 48], [np.nan, np.nan], [100, 50]])


def test_of_several_faces_the_first_counts(tmp_path):
    path = write(tmp_path / "l.csv", row("a", [1, 1, 1, 1]), row("a", [2, 2, 2, 2], face=1), row("b", face=0))
    found = read_landmarks(path)
    assert found.ids.tolist() == ["a", "b"] and (found.points[0] == 1).all()


def test_a_table_without_rows_has_no_faces(tmp_path):
    found = read_landmarks(write(tmp_path / "l.csv"))
    assert found.ids.shape == (0,) and found.points.shape == (0, 2, 2)


def test_faces_get_their_landmarks_by_id_and_others_nan(table, tmp_path):
    ids = table.ids.tolist()
    path = write(tmp_path / "l.csv", row(ids[7], [1, 2, 3, 4]), row("stranger", [9, 9, 9, 9]), row(ids[0]))
    given = with_landmarks(table, path)
    assert given.landmarks.shape == (9, 2, 2) and given.landmarks.dtype == np.float32
    np.testing.assert_array_equal(given.landmarks[7], [[1, 2], [3, 4]])
    assert np.isnan(np.delete(given.landmarks, 7, axis=0)).all()
    assert given.digest() == table.digest() and (table.landmarks.shape == (9, 68, 2))


def test_landmarks_are_scaled_as_the_pictures_were(table, tmp_path):
    # The picture of 96×192 was read as 48×48: its x are halved, its y quartered.
    path = write(tmp_path / "l.csv", row(table.ids[0], [10, 20, 96, 192], width=96, height=192))
    assert table.image_shape[:2] == (48, 48)
    np.testing.assert_array_equal(with_landmarks(table, path).landmarks[0], [[5, 5], [48, 48]])


def test_landmarks_of_pictures_on_disk_stay_in_their_pixels(table, tmp_path):
    on_disk = type(table)(
        targets=table.targets, label_set=table.label_set, split=table.split, ids=table.ids, paths=table.ids
    )
    path = write(tmp_path / "l.csv", row(table.ids[0], [10, 20, 96, 192], width=96, height=192))
    np.testing.assert_array_equal(with_landmarks(on_disk, path).landmarks[0], [[10, 20], [96, 192]])


def test_no_matching_id_is_an_error_that_shows_both(table, tmp_path):
    path = write(tmp_path / "l.csv", row("train/happy/1.png", [1, 2, 3, 4]))
    with pytest.raises(UserError, match=rf"none of the 9 faces.*'train/happy/1.png'.*'{table.ids[0]}'"):
        with_landmarks(table, path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a", [1, 2, 3, "x"])], r"l.csv:2: 'x' is no number"),
        ([row("a", [1, 2, 3, "nan"])], r"l.csv:2: 'nan' is no number"),
        ([row("b"), row("a", [1, 2, 3, ""])], r"l.csv:3: '' is no number"),
        ([row("a", [1, 2, 3])], r"l.csv:2: 14 fields, expected 15"),
        ([row("a", [1, 2, 3, 4]), row("a")], r"l.csv:3: face 0 of 'a' is already on line 2"),
        ([row("a", [1, 2, 3, 4], found="yes")], r"l.csv:2: found 'yes', expected 0 or 1"),
        ([row("a", [1, 2, 3, 4], face="-1")], r"l.csv:2: face '-1'"),
        ([row("a", [1, 2, 3, 4], width="")], r"l.csv:2: '' is no number"),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_landmarks(write(tmp_path / "l.csv", *rows))


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", ",".join(COLUMNS) + "\n", ",".join(COLUMNS) + ",x0,x1\n"])
def test_another_table_is_refused(tmp_path, content):
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(DataError, match=r"l.csv:1: no table of landmarks. Expected source, face"):
        read_landmarks(tmp_path / "l.csv")


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"missing.csv cannot be read: No such file"):
        read_landmarks(tmp_path / "missing.csv")
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_landmarks(tmp_path / "l.csv")

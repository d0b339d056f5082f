import csv

import numpy as np
import pytest
from PIL import Image

from fer_tf.datasets import get
from fer_tf.datasets.ferplus_votes import filter_votes
from fer_tf.errors import DataError, UserError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
USAGES = ["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
NAMES = ["fer0000000.png", "fer0000001.png", "", *(f"fer000000{i}.png" for i in range(3, 8))]
VOTES = [
    (4, 0, 0, 1, 3, 2, 0, 0, 0, 0),  # no majority; neutral 4/7, anger 3/7
    (6, 0, 1, 1, 0, 0, 0, 0, 2, 0),  # neutral
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # unnamed
    (5, 0, 0, 3, 1, 0, 0, 0, 1, 0),  # neutral; neutral 5/8, sadness 3/8
    (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),  # no majority; halves
    (0, 9, 0, 0, 0, 0, 0, 0, 1, 0),  # happiness
    (2, 2, 2, 2, 2, 0, 0, 0, 0, 0),  # nothing
    (0, 0, 0, 8, 2, 0, 0, 0, 0, 0),  # sadness
]


@pytest.fixture
def faces(rng):
    return rng.integers(0, 256, (8, 48, 48), dtype=np.uint8)


@pytest.fixture
def two_files(tmp_path, faces):
    rows = [f"0,{' '.join(map(str, f.ravel()))},{u}" for f, u in zip(faces, USAGES, strict=True)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    votes = [f"{u},{n},{','.join(map(str, v))}" for u, n, v in zip(USAGES, NAMES, VOTES, strict=True)]
    (tmp_path / "fer2013new.csv").write_text("\n".join([HEADER, *votes]) + "\n")
    return tmp_path


@pytest.fixture
def folders(tmp_path, faces):
    places = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    for usage, name, votes, face in zip(USAGES, NAMES, VOTES, faces, strict=True):
        place = tmp_path / "ferplus" / places[usage]
        place.mkdir(parents=True, exist_ok=True)
        if name:
            Image.fromarray(face).save(place / name)
            with (place / "label.csv").open("a", newline="") as file:
                csv.writer(file).writerow([name, "(0, 0, 48, 48)", *votes])
    return tmp_path


@pytest.mark.parametrize("layout", ["two_files", "folders"])
def test_both_layouts_give_the_same_table(layout, faces, request):
    table = get("ferplus", request.getfixturevalue(layout))
    assert table.ids.tolist() == ["fer0000001", "fer0000003", "fer0000005", "fer0000007"]
    assert table.split.tolist() == ["train", "train", "validation", "test"]
    assert table.labels.tolist() == [0, 0, 1, 3]
    np.testing.assert_array_equal(table.images[..., 0], faces[[1, 3, 5, 7]])
    np.testing.assert_array_equal(table.votes, np.array(VOTES)[[1, 3, 5, 7]])
    assert table.label_set.name == "ferplus"
    assert not table.draw_targets


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_either_file_may_be_named(two_files, name):
    assert len(get("ferplus", two_files / name)) == 4


def test_modes_change_train_and_leave_evaluation_at_majority(two_files):
    soft = get("ferplus(mode='cross_entropy')", two_files)
    assert soft.split.tolist() == ["train"] * 3 + ["validation", "test"]
    np.testing.assert_allclose(soft.targets[0], [4 / 7, 0, 0, 0, 3 / 7, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(soft.targets[4], np.eye(8)[3])
    drawn = get("ferplus(mode='probability')", two_files)
    assert drawn.draw_targets
    np.testing.assert_array_equal(drawn.targets, soft.targets)
    multi = get("ferplus(mode='multi_target')", two_files)
    assert ((multi.targets > 0) == (soft.targets > 0)).all()
    wide = get("ferplus(mode='majority', evaluation='cross_entropy')", two_files)
    assert wide.ids.tolist() == [f"fer000000{i}" for i in (1, 3, 4, 5, 7)]
    np.testing.assert_allclose(wide.targets[2], [0.5, 0.5, 0, 0, 0, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("option", ["mode='mean'", "evaluation='probability'"])
def test_unknown_options_are_named(two_files, option):
    with pytest.raises(UserError, match=r"Unknown FER\+ .* Available: cross_entropy, majority"):
        get(f"ferplus({option})", two_files)


def test_valence_and_arousal_are_made_of_all_votes_when_asked_for(two_files):
    assert get("ferplus", two_files).valence_arousal is None
    made = get("ferplus(circumplex=True)", two_files)
    # Six votes for neutral (0, 0), one for surprise (0.2, 0.8), one for sadness (−0.7, −0.3); the unknown do not count.
    np.testing.assert_allclose(made.valence_arousal[0], [-0.5 / 8, 0.5 / 8], atol=1e-6)
    np.testing.assert_allclose(made.valence_arousal[2], [0.8, 0.35], atol=1e-6)


@pytest.mark.parametrize("layout", ["two_files", "folders"])
def test_fer2013s_labels_on_the_faces_that_a_mode_keeps(layout, two_files, faces, request):
    # The faces' labels in fer2013.csv: angry, disgust, fear, happy, sad, surprise, neutral, angry.
    path = two_files / "fer2013.csv"
    head, *rows = path.read_text().split()[0:1] + path.read_text().rstrip().split("\n")[1:]
    path.write_text("\n".join([head, *(f"{i % 7}{row[1:]}" for i, row in enumerate(rows))]) + "\n")
    if layout == "folders":
        (two_files / "fer2013new.csv").unlink()
        request.getfixturevalue("folders")
    table = get("ferplus(mode='cross_entropy', labels='fer2013')", two_files)
    soft = get("ferplus(mode='cross_entropy')", two_files)
    assert table.ids.tolist() == soft.ids.tolist() == [f"fer000000{i}" for i in (0, 1, 3, 5, 7)]
    named = [table.label_set.classes[i] for i in table.labels]
    assert named[:3] == ["anger", "disgust", "happiness"] and (table.targets.max(axis=1) == 1).all()
    np.testing.assert_array_equal(table.targets[3:], soft.targets[3:])  # validation and test stay FER+'s
    assert not get("ferplus(mode='probability', labels='fer2013')", two_files).draw_targets


def test_fer2013s_labels_need_its_file(folders):
    with pytest.raises(DataError, match=r"labels='fer2013' needs fer2013\.csv there or in the folder above"):
        get("ferplus(labels='fer2013')", folders / "ferplus")


def test_temperature_changes_training_targets_alone(two_files):
    soft = get("ferplus(mode='cross_entropy')", two_files)
    sharp = get("ferplus(mode='cross_entropy', temperature=0.5)", two_files)
    np.testing.assert_allclose(sharp.targets[0], [16 / 25, 0, 0, 0, 9 / 25, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(sharp.targets[3:], soft.targets[3:])
    most = get("ferplus(mode='cross_entropy', temperature=0)", two_files)
    np.testing.assert_array_equal(most.targets, np.eye(8, dtype=np.float32)[soft.labels])
    for options, reason in {
        "temperature=0.5": r"temperature=0\.5 changes nothing with mode='majority'",
        "mode='multi_target', temperature=0": "changes nothing with mode='multi_target'",
        "mode='cross_entropy', labels='fer2013', temperature=2": "changes nothing with labels='fer2013'",
        "labels='mean'": r"Unknown FER\+ labels 'mean'\. Available: fer2013, votes",
    }.items():
        with pytest.raises(UserError, match=reason):
            get(f"ferplus({options})", two_files)


BAD_ROWS = {
    "votes": ("Training,fer0000001.png,6,0,1,1,", "Training,fer0000001.png,6,0,x,1,", "'x' votes for surprise"),
    "negative": ("Training,fer0000001.png,6,", "Training,fer0000001.png,-6,", "'-6' votes for neutral"),
    "no votes": ("Training,fer0000001.png,6,0,1,1,0,0,0,0,2,0", "Training,fer0000001.png" + ",0" * 10, "no votes"),
    "usage": ("Training,fer0000001.png", "PublicTest,fer0000001.png", "Usage 'PublicTest', but fer2013.csv has"),
    "twice": ("Training,fer0000001.png", "Training,fer0000000.png", "image 'fer0000000.png' is named twice"),
    "fields": ("Training,fer0000001.png,6,", "Training,fer0000001.png,", "11 fields, expected 12"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_vote_row_is_named_or_skipped(two_files, name):
    old, new, reason = BAD_ROWS[name]
    path = two_files / "fer2013new.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as error:
        get("ferplus", two_files)
    assert str(error.value).startswith(f"{path}:3: {reason}")
    table = get("ferplus", two_files, skip_bad=True)
    assert table.ids.tolist() == ["fer0000003", "fer0000005", "fer0000007"]
    assert table.skipped == (str(error.value),)


def test_a_skipped_face_keeps_the_files_in_step(two_files):
    path = two_files / "fer2013.csv"
    lines = path.read_text().split("\n")
    lines[2] = lines[2].replace(" ", "", 1)
    path.write_text("\n".join(lines))
    table = get("ferplus", two_files, skip_bad=True)
    assert table.ids.tolist() == ["fer0000003", "fer0000005", "fer0000007"]
    assert table.labels.tolist() == [0, 1, 3]
    assert len(table.skipped) == 1


def test_files_of_different_length_are_refused(two_files):
    path = two_files / "fer2013new.csv"
    path.write_text("\n".join(path.read_text().split("\n")[:-2]) + "\n")
    with pytest.raises(DataError, match=r"fer2013new\.csv: 7 rows, but .*fer2013\.csv has 8"):
        get("ferplus", two_files, skip_bad=True)


def test_a_missing_column_and_a_missing_file_are_named(two_files, tmp_path):
    path = two_files / "fer2013new.csv"
    path.write_text(path.read_text().replace("disgust", "digust"))
    with pytest.raises(DataError, match=r"fer2013new\.csv:1: no column 'disgust'"):
        get("ferplus", two_files)
    path.unlink()
    with pytest.raises(DataError, match=r"no FER\+ there. Looked for fer2013new\.csv beside .* FER2013Train"):
        get("ferplus", two_files)
    with pytest.raises(DataError, match="no such file or folder"):
        get("ferplus", tmp_path / "nowhere")


def test_a_label_without_picture_and_a_part_of_a_picture_are_named_or_skipped(folders):
    labels = folders / "ferplus" / "FER2013Train" / "label.csv"
    (folders / "ferplus" / "FER2013Train" / "fer0000001.png").unlink()
    with pytest.raises(DataError, match=r"FER2013Train/label\.csv:2: no such picture: .*fer0000001\.png"):
        get("ferplus", folders)
    labels.write_text(labels.read_text().replace("(0, 0, 48, 48)", "(0, 0, 40, 40)", 1))
    table = get("ferplus", folders, skip_bad=True)
    assert table.ids.tolist() == ["fer0000003", "fer0000005", "fer0000007"]
    assert [line.split(": ")[0] for line in table.skipped] == [f"{labels}:1", f"{labels}:2"]


# The FER+ release holds two editions of the votes: the label.csv files (28,558 training rows) and fer2013new.csv
# (28,561), which differ in the votes of many faces. The first edition's figures are the published recount; the
# second's were counted by the rules as written a second time in test_votes.py.
EDITIONS = {
    28558: {
        "majority": (25045, 3191, 3137),
        "cross_entropy": (27947, 3508, 3507),
        "multi_target": (27667, 3472, 3466),
        "majority_classes": [
            [8733, 7284, 3136, 3022, 2098, 116, 536, 120],
            [1180, 862, 411, 348, 289, 25, 60, 16],
            [1083, 892, 394, 382, 269, 16, 86, 15],
        ],
        "cross_entropy_train": [10107, 7501, 3517, 3445, 2401, 170, 643, 163],
        "multi_target_train": [10056, 7489, 3481, 3410, 2337, 150, 598, 146],
        "kept": [19021, 7878, 1048],
    },
    28561: {
        "majority": (25060, 3199, 3153),
        "cross_entropy": (27956, 3505, 3505),
        "multi_target": (27671, 3472, 3472),
        "majority_classes": [
            [8740, 7287, 3149, 3014, 2100, 119, 532, 119],
            [1182, 865, 415, 351, 287, 24, 62, 13],
            [1090, 893, 396, 384, 273, 18, 83, 16],
        ],
        "cross_entropy_train": [10122, 7503, 3524, 3430, 2407, 169, 641, 160],
        "multi_target_train": [10071, 7492, 3486, 3399, 2327, 153, 598, 145],
        "kept": [19015, 7886, 1055],
    },
}
SPLITS = ("train", "validation", "test")


def real_votes(real_data) -> tuple[dict[str, np.ndarray], dict]:
    """Return the named rows' votes by split, and the figures of their edition."""
    with (real_data / "fer2013new.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file)][1:]
    usages = ("Training", "PublicTest", "PrivateTest")
    votes = {s: np.array([r[2:] for r in rows if r[0] == u and r[1]], int) for s, u in zip(SPLITS, usages, strict=True)}
    return votes, EDITIONS[len(votes["train"])]


@pytest.mark.real
@pytest.mark.parametrize("mode", ["majority", "probability", "cross_entropy", "multi_target"])
def test_real_sizes_of_every_filter_and_split(real_data, mode):
    votes, expected = real_votes(real_data)
    sizes = tuple(len(filter_votes(votes[s], mode)[1]) for s in SPLITS)
    assert sizes == expected["cross_entropy" if mode == "probability" else mode]


@pytest.mark.real
@pytest.mark.slow
def test_real_tables_have_the_class_counts(real_data):
    _, expected = real_votes(real_data)
    table = get("ferplus", real_data)
    assert [table.select(s).class_counts().tolist() for s in SPLITS] == expected["majority_classes"]
    train = get("ferplus(mode='cross_entropy')", real_data).select("train")
    assert train.class_counts().tolist() == expected["cross_entropy_train"]
    assert np.bincount((train.targets > 0).sum(axis=1)).tolist() == [0, *expected["kept"]]
    train = get("ferplus(mode='multi_target')", real_data).select("train")
    assert train.class_counts().tolist() == expected["multi_target_train"]
    wide = get("ferplus(mode='probability', evaluation='cross_entropy')", real_data)
    assert tuple(int((wide.split == s).sum()) for s in SPLITS) == expected["cross_entropy"]


@pytest.mark.real
@pytest.mark.slow
def test_real_folders_equal_the_two_files(real_data):
    files, folders = get("ferplus", real_data), get("ferplus", real_data / "ferplus")
    for column in ("ids", "split", "targets", "votes", "images"):
        np.testing.assert_array_equal(getattr(files, column), getattr(folders, column))

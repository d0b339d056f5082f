from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fer_tf.datasets import get
from fer_tf.errors import DataError, UserError

ORDER = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
LABEL = "Emotion/S005/001/S005_001_00000006_emotion.txt"


@pytest.fixture
def sequences(tmp_path, layouts):
    layouts.ckplus(tmp_path)
    return tmp_path


@pytest.fixture
def folders(tmp_path, layouts):
    layouts.ckplus_folders(tmp_path)
    return tmp_path


@pytest.fixture
def csv_file(tmp_path, layouts):
    layouts.ckplus_csv(tmp_path)
    return tmp_path


def test_the_last_frames_of_labeled_sequences_in_the_official_order(sequences):
    table = get("ckplus", sequences)
    assert len(table) == 14 * 3
    assert table.label_set.classes == ORDER
    rows = dict(zip(table.ids, table.labels.tolist(), strict=True))
    assert [rows[f"S{5 + c:03d}_001_00000006"] for c in range(7)] == list(range(7))
    assert {i.split("_")[1] for i in rows} == {"001"}
    assert {i.split("_")[2] for i in rows} == {"00000004", "00000005", "00000006"}
    assert len(get("ckplus(peak_frames=1)", sequences)) == 14


def test_neutral_is_the_first_frame(sequences):
    table = get("ckplus(neutral=True)", sequences)
    assert table.label_set.classes == ("neutral", *ORDER)
    neutral = table.ids[table.labels == 0]
    assert len(neutral) == 14 and all(i.endswith("_00000001") for i in neutral)
    assert table.labels[list(table.ids).index("S005_001_00000006")] == 1


def test_people_are_in_one_split_and_every_fold_is_test_once(sequences):
    tested = Counter()
    for fold in range(7):
        table = get(f"ckplus(folds=7, fold={fold})", sequences)
        people = {s: set(table.subject[table.split == s]) for s in ("train", "validation", "test")}
        assert not people["test"] & people["train"] | people["validation"] & (people["train"] | people["test"])
        later = get(f"ckplus(folds=7, fold={(fold + 1) % 7})", sequences)
        assert people["validation"] == set(later.subject[later.split == "test"])
        tested.update(people["test"])
    assert tested == Counter({f"S{p + 5:03d}": 1 for p in range(14)})


def test_the_seed_decides_the_folds(sequences):
    splits = [get(f"ckplus(seed={seed})", sequences).split for seed in (0, 0, 1)]
    assert (splits[0] == splits[1]).all() and (splits[0] != splits[2]).any()


def test_frames_are_cut_around_the_landmarks(sequences):
    table = get("ckplus(size=30)", sequences)
    # The points span (10, 10) to (30, 30): a square of 30, its lower edge 3 below them.
    frame = np.asarray(Image.open(sequences / "cohn-kanade-images/S005/001/S005_001_00000004.png"))
    np.testing.assert_array_equal(table.images[0, ..., 0], frame[3:33, 5:35])
    np.testing.assert_allclose(table.landmarks[0, [0, -1]], [[5, 7], [25, 27]])
    np.testing.assert_allclose(table.boxes[0], [0, 0, 30, 30])


def test_whole_frames_keep_landmarks_in_their_own_pixels(sequences):
    table = get("ckplus(crop=False, size=32)", sequences)
    np.testing.assert_allclose(table.landmarks[0, 0], [10 / 2, 10 * 32 / 49], rtol=1e-5)
    paths = get("ckplus(in_memory=False)", sequences)
    np.testing.assert_allclose(paths.landmarks[0, 0], [10, 10])
    np.testing.assert_allclose(paths.boxes[0], [5, 3, 35, 33])


def test_landmarks_may_be_absent_for_whole_frames_only(sequences):
    (sequences / "Landmarks").rename(sequences / "Elsewhere")
    with pytest.raises(DataError, match=r"Landmarks: no such folder.*crop=False"):
        get("ckplus", sequences)
    assert get("ckplus(crop=False)", sequences).landmarks is None


@pytest.mark.parametrize(
    ("file", "content", "message", "lost"),
    [
        (LABEL, "   8.0000000e+00", r"emotion.txt: label '8.0000000e\+00', expected a number from 1 to 7", 3),
        (LABEL, "   2.5000000e+00", r"emotion.txt: label '2.5000000e\+00'", 3),
        (LABEL, "happy", "emotion.txt: label 'happy'", 3),
        ("Landmarks/S005/001/S005_001_00000005_landmarks.txt", "1 2 3", "3 numbers, expected x and y of 68 points", 1),
        ("Landmarks/S005/001/S005_001_00000005_landmarks.txt", "a b", "expected numbers", 1),
        ("Landmarks/S005/001/S005_001_00000005_landmarks.txt", None, "no landmarks: .* is not there", 1),
        ("cohn-kanade-images/S005/001/S005_001_00000005.png", "x", "00000005.png: no picture", 1),
        ("cohn-kanade-images/S005/001/S005_001_00000007x.png", "x", "expected a name such as S005_001_00000011", 1),
    ],
)
def test_what_is_bad_is_named_or_skipped(sequences, file, content, message, lost):
    path = sequences / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        get("ckplus", sequences)
    table = get("ckplus", sequences, skip_bad=True)
    assert len(table) == 42 - lost and len(table.skipped) == 1


def test_a_label_without_frames_is_named(sequences):
    (sequences / "cohn-kanade-images/S006/001").rename(sequences / "moved")
    with pytest.raises(DataError, match=r"S006_001_00000006_emotion\.txt: no frames"):
        get("ckplus", sequences)
    (sequences / "moved").rename(sequences / "cohn-kanade-images/S006/001")
    with pytest.raises(DataError, match=r"6 frames in .*, expected at least 8"):
        get("ckplus(peak_frames=7, neutral=True)", sequences)


def test_class_folders_know_their_people(folders):
    table = get("ckplus", folders)
    assert len(table) == 42 and table.images.shape == (42, 48, 48, 1)
    row = list(table.ids).index("sadness/S015_004_00000017.png")
    assert table.label_set.classes[table.labels[row]] == "sadness" and table.subject[row] == "S015"
    assert all(len(set(table.split[table.subject == s])) == 1 for s in set(table.subject))
    assert (get("ckplus", folders / "CK+48").labels == table.labels).all()
    with pytest.raises(UserError, match="no neutral faces"):
        get("ckplus(neutral=True)", folders)
    (folders / "CK+48/fear/stranger.png").write_bytes((folders / "CK+48/fear/S013_004_00000017.png").read_bytes())
    with pytest.raises(DataError, match=r"stranger\.png: expected a name such as S010_004_00000017"):
        get("ckplus", folders)


def test_the_csv_has_an_order_of_its_own_and_keeps_its_splits(csv_file, caplog):
    table = get("ckplus(neutral=True)", csv_file)
    assert Counter(table.split) == {"train": 16, "validation": 8, "test": 8}
    # Pixels are the row's number; the CSV counts anger, disgust, fear, happiness, sadness, surprise, neutral, contempt.
    names = np.array(table.label_set.classes)[table.labels]
    assert names[:8].tolist() == [
        "anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt",
    ]  # fmt: skip
    assert (table.images[5] == 5).all() and table.subject is None
    assert "splits share people" in caplog.text
    seven = get("ckplus(size=24, channels=3)", csv_file / "ckextended.csv")
    assert seven.label_set.classes == ORDER and seven.images.shape == (28, 24, 24, 3)


def test_bad_csv_rows_are_named(csv_file):
    path = csv_file / "ckextended.csv"
    path.write_text(path.read_text() + f"8,{' '.join(['1'] * 2304)},Training\n")
    with pytest.raises(DataError, match=r"ckextended\.csv:34: emotion '8', expected 0 to 7"):
        get("ckplus", csv_file)
    assert len(get("ckplus", csv_file, skip_bad=True).skipped) == 1


def test_options_are_checked(csv_file):
    for option, message in (
        ("folds=2", "folds=2. Expected a whole number ≥ 3"),
        ("fold=10", "fold=10 of 10. Expected 0 to 9"),
        ("peak_frames=0", "peak_frames=0"),
        ("fold=1", "does not say who is who"),
        ("in_memory=False", "holds the pixels themselves"),
    ):
        with pytest.raises(UserError, match=message):
            get(f"ckplus({option})", csv_file)


def test_more_folds_than_people_are_refused(sequences):
    with pytest.raises(UserError, match="folds=15, but there are 14 people"):
        get("ckplus(folds=15)", sequences)

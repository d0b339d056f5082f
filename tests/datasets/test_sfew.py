from collections import Counter

import pytest

from fer_tf.datasets import get
from fer_tf.errors import DataError


@pytest.fixture
def release(tmp_path, layouts):
    layouts.sfew(tmp_path)
    return tmp_path


def test_official_validation_is_test_and_classes_are_in_order(release):
    table = get("sfew(validation=0)", release)
    assert Counter(table.split) == {"train": 70, "test": 7}
    assert table.label_set.classes == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    test = table.select("test")
    assert test.labels.tolist() == list(range(7))
    assert test.ids[4] == "Val_Aligned_Faces/Neutral/Airheads_000000004_00000005.png"
    assert table.images.shape == (77, 112, 112, 3)


def test_validation_takes_whole_films(release):
    table = get("sfew(validation=0.2)", release)
    films = {s: set(table.subject[table.split == s]) for s in ("train", "validation", "test")}
    assert len(films["validation"]) == 1 and len(films["train"]) == 4
    assert not films["train"] & films["validation"]
    assert films["test"] == {"Airheads"}
    assert films["train"] | films["validation"] == {f"Film_{i}" for i in range(5)}
    assert (get("sfew(validation=0.2)", release).split == table.split).all()


def test_aligned_faces_inside_the_splits_and_whole_stills(release, layouts):
    for part in ("Train", "Val"):
        (release / part).mkdir()
        (release / f"{part}_Aligned_Faces").rename(release / part / f"{part}_Aligned_Faces")
    assert len(get("sfew", release)) == 77
    with pytest.raises(DataError, match="no SFEW there"):
        get("sfew", release / "Train" / "Train_Aligned_Faces")


def test_whole_stills_are_taken_where_asked_for_or_alone(release, layouts):
    layouts.noise(release / "Train/Happy/Film_9_000000001_00000001.png", (72, 57), "RGB")
    layouts.noise(release / "Val/Sad/Film_8_000000001_00000001.png", (72, 57), "RGB")
    assert len(get("sfew", release)) == 77
    assert get("sfew(aligned=False)", release).ids.tolist() == [
        "Train/Happy/Film_9_000000001_00000001.png", "Val/Sad/Film_8_000000001_00000001.png",
    ]  # fmt: skip


def test_what_is_bad_is_named_or_skipped(release, layouts):
    bad = release / "Train_Aligned_Faces" / "Happy" / "Film.png"
    layouts.noise(bad)
    with pytest.raises(DataError, match=r"Film\.png: expected a name of film, time and frame"):
        get("sfew", release)
    assert len(get("sfew", release, skip_bad=True)) == 77
    bad.rename(bad.with_name("Film_1_000000001_00000009.png"))
    (release / "Train_Aligned_Faces" / "Bored").mkdir()
    layouts.noise(release / "Train_Aligned_Faces" / "Bored" / "Film_1_000000002_00000009.png")
    with pytest.raises(DataError, match="Bored: no class of sfew"):
        get("sfew", release, skip_bad=True)

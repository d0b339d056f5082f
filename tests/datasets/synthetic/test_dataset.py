"""The drawn dataset: what its table promises."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fer_tf.datasets import load_synthetic
from fer_tf.errors import UserError
from fer_tf.labels import FER2013, FERPLUS, POLARITY


@pytest.fixture(scope="module")
def table():
    return load_synthetic(faces=1200)


def entropy(targets):
    return -(targets * np.log(np.where(targets > 0, targets, 1))).sum(axis=1)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    one, two, other = (
        load_synthetic(faces=20, seed=3),
        load_synthetic(faces=20, seed=3),
        load_synthetic(faces=20, seed=4),
    )
    for column in ("images", "targets", "votes", "landmarks", "boxes", "split", "subject", "ids"):
        assert getattr(one, column).tobytes() == getattr(two, column).tobytes(), column
    assert (one.images != other.images).any(axis=(1, 2, 3)).all()
    assert (one.votes != other.votes).any()


def test_a_longer_table_starts_with_the_shorter_one(table):
    for faces in (1, 70):
        short = load_synthetic(faces=faces)
        for column in ("images", "targets", "votes", "landmarks", "boxes", "split", "subject", "ids"):
            np.testing.assert_array_equal(getattr(short, column), getattr(table, column)[:faces], err_msg=column)


def test_another_size_or_mode_shows_the_same_faces():
    gray, large, color = (
        load_synthetic(faces=30),
        load_synthetic(faces=30, size=96),
        load_synthetic(faces=30, channels=3),
    )
    np.testing.assert_allclose(large.landmarks, 2 * gray.landmarks, rtol=1e-5)
    np.testing.assert_array_equal(large.votes, gray.votes)
    np.testing.assert_array_equal(color.votes, gray.votes)
    halved = large.images.reshape(30, 48, 2, 48, 2).mean(axis=(2, 4))
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(halved, gray.images, strict=True)]
    assert min(alike) > 0.8 and np.median(alike) > 0.97
    luma = color.images @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - gray.images[..., 0]).mean() < 2


@pytest.mark.parametrize(("size", "channels"), [(48, 1), (96, 3), (101, 1), (224, 3)])
def test_shapes_and_types(size, channels):
    t = load_synthetic(faces=7, size=size, channels=channels)
    assert t.images.shape == (7, size, size, channels) and t.images.dtype == np.uint8
    assert t.landmarks.shape == (7, 68, 2) and t.landmarks.dtype == np.float32
    assert t.boxes.shape == (7, 4) and t.boxes.dtype == np.float32
    assert t.label_set is FER2013
    assert t.ids[6] == "synthetic000006"
    assert t.images.std(axis=(1, 2, 3)).min() > 5


def test_people_are_in_one_split_and_the_splits_have_their_shares():
    t = load_synthetic(faces=240)
    people = {split: set(t.subject[t.split == split]) for split in ("train", "validation", "test")}
    assert [len(people[s]) for s in ("train", "validation", "test")] == [84, 18, 18]
    assert len(set.union(*people.values())) == 120
    assert set(load_synthetic(faces=6, identities=6).split) == {"train", "validation", "test"}


def test_hard_targets_are_the_majority_of_ten_votes(table):
    assert table.votes.shape == (1200, 7)
    assert (table.votes.sum(axis=1) == 10).all() and (table.votes >= 0).all()
    assert (np.sort(table.targets, axis=1)[:, -1] == 1).all()
    np.testing.assert_array_equal(table.votes[np.arange(1200), table.labels], table.votes.max(axis=1))
    assert table.class_counts().min() > 120


def test_vote_targets_are_shares(table):
    t = load_synthetic(faces=100, targets="votes")
    np.testing.assert_allclose(t.targets, t.votes / 10, atol=1e-6)
    np.testing.assert_array_equal(t.images, table.images[:100])
    assert (entropy(t.targets) > 0).mean() > 0.3


def test_ferplus_votes_have_ten_columns_and_targets_eight():
    hard, t = (
        load_synthetic(faces=400, label_set="ferplus"),
        load_synthetic(faces=400, label_set="ferplus", targets="votes"),
    )
    assert t.label_set is FERPLUS and t.votes.shape == (400, 10) and t.targets.shape == (400, 8)
    assert (t.votes.sum(axis=1) == 10).all()
    emotions = t.votes[:, :8]
    np.testing.assert_allclose(t.targets, emotions / emotions.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(emotions[np.arange(400), hard.labels], emotions.max(axis=1))
    assert 0.01 < t.votes[:, 8].sum() / 4000 < 0.1
    covered = load_synthetic(faces=400, label_set="ferplus", occlusion=1.0)
    assert covered.votes[:, 8].sum() > 1.5 * t.votes[:, 8].sum()


def test_blended_faces_divide_the_taggers():
    pure, blended = (entropy(load_synthetic(faces=300, targets="votes", ambiguity=a).targets) for a in (0.0, 1.0))
    assert blended.mean() > 1.7 * pure.mean()


def test_ambiguity_and_occlusion_leave_the_other_faces_alone():
    plain, covered = load_synthetic(faces=60, occlusion=0.0), load_synthetic(faces=60, occlusion=0.5)
    same = (plain.images == covered.images).all(axis=(1, 2, 3))
    assert 15 < same.sum() < 45
    np.testing.assert_array_equal(plain.landmarks, covered.landmarks)


def test_landmarks_lie_in_the_box_and_in_the_picture(table):
    x, y = table.landmarks[..., 0], table.landmarks[..., 1]
    x0, y0, x1, y1 = table.boxes.T[:, :, None]
    assert (x >= x0).all() and (x <= x1).all() and (y >= y0).all() and (y <= y1).all()
    assert (table.boxes >= 0).all() and (table.boxes <= 48).all()
    assert ((x1 - x0) * (y1 - y0)).min() > 0.3 * 48 * 48


def test_landmarks_follow_the_68_point_order(table):
    x, y = table.landmarks[..., 0], table.landmarks[..., 1]

    def center(values, points):
        return values[:, points].mean(axis=1)

    assert (center(y, range(36, 48)) < center(y, range(31, 36))).all()
    assert (center(y, range(31, 36)) < center(y, range(48, 60))).all()
    assert (center(y, range(48, 60)) < y[:, 8]).all()
    assert (center(y, range(17, 27)) < center(y, range(36, 48))).all()
    assert (np.diff(x[:, [0, 17, 21, 22, 26, 16]], axis=1) > 0).all()
    assert (np.diff(x[:, [36, 39, 42, 45]], axis=1) > 0).all()
    assert (np.diff(x[:, 31:36], axis=1) > 0).all()
    assert (np.diff(x[:, [48, 50, 52, 54]], axis=1) > 0).all()
    assert (np.diff(x[:, [60, 62, 64]], axis=1) > 0).all() and (x[:, 58] < x[:, 56]).all()


def test_the_picture_agrees_with_its_landmarks():
    t = load_synthetic(faces=200, size=96, occlusion=0.0)
    iris = [t.images[i, int(y), int(x), 0] for i in range(200) for x, y in [t.landmarks[i, 36:42].mean(axis=0)]]
    cheek = [t.images[i, int(y), int(x), 0] for i in range(200) for x, y in [t.landmarks[i, [2, 31]].mean(axis=0)]]
    assert (np.array(iris, float) < np.array(cheek, float)).mean() > 0.95


def test_mouth_corners_rise_for_happy_and_fall_for_sad(table):
    points = table.landmarks
    chin = np.linalg.norm(points[:, 8] - points[:, 27], axis=1)
    lift = (points[:, [51, 57], 1].mean(axis=1) - points[:, [48, 54], 1].mean(axis=1)) / chin
    happy, sad = (lift[table.labels == FER2013.index(c)] for c in ("happy", "sad"))
    assert np.median(happy) > 0.05 > 0 > np.median(sad)


def test_a_linear_classifier_learns_something_but_not_everything(table):
    pixels = table.images.reshape(-1, 16, 3, 16, 3).mean(axis=(2, 4)).reshape(len(table), -1)
    pixels = (pixels - pixels.mean(axis=1, keepdims=True)) / pixels.std(axis=1, keepdims=True)
    train, seen = table.split == "train", table.split == "validation"
    model = LogisticRegression(C=0.01, max_iter=30, tol=0.01).fit(pixels[train], table.labels[train])
    assert 0.25 < model.score(pixels[seen], table.labels[seen]) < 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 20}, "size is 20. Expected an integer from 48 to 224"),
        ({"size": 225}, "size is 225"),
        ({"size": 48.0}, "size is 48.0"),
        ({"channels": 2}, "channels is 2. Expected 1 .gray. or 3 .RGB."),
        ({"faces": 0}, "faces is 0. Expected an integer from 1"),
        ({"faces": True}, "faces is True"),
        ({"seed": -1}, "seed is -1"),
        ({"identities": 5}, "identities is 5. Expected an integer from 6"),
        ({"label_set": "fer2014"}, r"Unknown label set 'fer2014'. Available: .*fer2013, ferplus, lfwfer"),
        ({"targets": "soft"}, "Unknown kind of targets 'soft'. Available: hard, votes"),
        ({"ambiguity": 1.5}, "ambiguity is 1.5. Expected a number from 0 to 1"),
        ({"occlusion": "much"}, "occlusion is 'much'"),
        ({"ambiguity": float("nan")}, "ambiguity is nan"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        load_synthetic(**options)


def test_valence_and_arousal_are_the_mean_of_what_the_taggers_said():
    table = load_synthetic(faces=60)
    happy, sad = FER2013.classes.index("happy"), FER2013.classes.index("sad")
    votes = table.votes / table.votes.sum(axis=1, keepdims=True)
    of_happy = np.flatnonzero(votes[:, happy] == 1)
    assert of_happy.size and np.allclose(table.valence_arousal[of_happy], (0.8, 0.35))
    assert (table.valence_arousal[votes[:, sad] > 0.8, 0] < -0.3).all()
    assert np.abs(table.valence_arousal).max() <= 1


def test_three_coarse_classes_are_drawn_as_seven_and_converted_by_name():
    seven, three = load_synthetic(faces=60, seed=2), load_synthetic(faces=60, seed=2, label_set="lfwfer")
    kept = np.flatnonzero(seven.labels != FER2013.index("surprise"))
    assert list(three.ids) == list(seven.ids[kept]) and len(kept) < 60
    names = [POLARITY[FER2013.classes[i]] for i in seven.labels[kept]]
    assert [three.label_set.classes[i] for i in three.labels] == names
    np.testing.assert_array_equal(three.images, seven.images[kept])

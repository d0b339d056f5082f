from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.facetable import FaceTable
from fer_tf.input_pipeline import BatchSource
from fer_tf.labels import FER2013, one_hot

AUGMENT = ("study", "randaugment()", "mixup()")


def table(count=23, side=12, channels=1, **columns):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(count)  # tells faces apart
    given = {"targets": one_hot(np.arange(count) % 7, 7), "images": images, **columns}
    ids = np.array([f"face{i}" for i in range(count)])
    return FaceTable(label_set=FER2013, split=np.full(count, "train"), ids=ids, **given)


def seen(source, epoch):
    """Numbers of the faces of an epoch, in order."""
    return [int(v) for step in range(source.steps) for v in source.batch(epoch, step)[0][:, 0, 0, 0]]


def stream(source, epochs):
    return [source.batch(epoch, step) for epoch in epochs for step in range(source.steps)]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_training_shows_each_face_once_an_epoch_in_a_new_order():
    source = BatchSource(table(24), 4)
    assert source.steps == 6
    orders = [seen(source, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(24)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_training_leaves_out_the_rest_and_evaluation_keeps_it():
    assert BatchSource(table(), 5).steps == 4
    assert BatchSource(table(), 5, drop_remainder=False).steps == 5
    evaluation = BatchSource(table(), 5, shuffle=False)
    assert evaluation.steps == 5
    assert seen(evaluation, 0) == seen(evaluation, 7) == list(range(23))
    assert BatchSource(table(), 5, shuffle=False, drop_remainder=True).steps == 4
    small = BatchSource(table(3), 64)
    assert small.steps == 1 and sorted(seen(small, 0)) == [0, 1, 2]


def test_images_and_targets_stay_together():
    source = BatchSource(table(), 5)
    images, targets = source.batch(2, 1)
    assert images.dtype == targets.dtype == np.float32
    assert (targets.argmax(axis=1) == images[:, 0, 0, 0] % 7).all()
    np.testing.assert_array_equal(images, source.table.images[source.indices(2, 1)])


def test_a_batch_does_not_depend_on_what_was_read_before():
    forward = stream(BatchSource(table(), 5, AUGMENT, crop=8), range(4))
    late = stream(BatchSource(table(), 5, AUGMENT, crop=8), range(2, 4))
    assert_same(late, forward[8:])


def test_threads_see_the_same_bytes():
    source, one = BatchSource(table(), 5, AUGMENT, crop=8), BatchSource(table(), 5, AUGMENT, crop=8)
    places = [(epoch, step) for epoch in range(20) for step in range(source.steps)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda place: source.batch(*place), places))
    assert_same(together, [one.batch(*place) for place in places])


def test_seed_epoch_and_step_each_change_the_augmentation():
    same = table(24, images=np.tile(np.arange(144, dtype=np.uint8).reshape(1, 12, 12, 1), (24, 1, 1, 1)))
    source, other = (BatchSource(same, 12, ["affine(rotation=30)"], seed=seed) for seed in (0, 1))
    drawn = [source.batch(0, 0), source.batch(0, 1), source.batch(1, 0), other.batch(0, 0)]
    assert len({images.tobytes() for images, _ in drawn}) == 4


def test_the_order_and_the_first_batch_do_not_share_a_stream():
    source = BatchSource(table(24), 24)
    order = source.indices(3, 0)
    first_draws = source._rng(3, 1).permutation(24)
    assert not np.array_equal(order, first_draws)


def test_crop_is_random_in_training_and_central_in_evaluation():
    training, evaluation = (BatchSource(table(), 5, crop=8, shuffle=shuffle) for shuffle in (True, False))
    assert training.image_shape == evaluation.image_shape == (8, 8, 1)
    np.testing.assert_array_equal(evaluation.batch(0, 0)[0], table().images[:5, 2:10, 2:10])
    rows, (images, _) = training.indices(0, 0), training.batch(0, 0)
    places = set()
    for row, image in zip(rows, images, strict=True):
        face = training.table.images[row]
        places |= {(y, x) for y in range(5) for x in range(5) if np.array_equal(face[y : y + 8, x : x + 8], image)}
    assert len(places) > 1


def test_training_draws_targets_anew_and_evaluation_keeps_distributions():
    rows = np.tile(np.array([0.6, 0, 0.4, 0, 0, 0, 0], np.float32), (500, 1))
    drawn = BatchSource(table(500, targets=rows, draw_targets=True), 500)
    one, other = drawn.batch(0, 0)[1], drawn.batch(1, 0)[1]
    assert not np.array_equal(one, other)
    mean = np.mean([drawn.batch(epoch, 0)[1].mean(axis=0) for epoch in range(10)], axis=0)
    np.testing.assert_allclose(mean, rows[0], atol=0.03)
    kept = BatchSource(table(500, targets=rows, draw_targets=True), 500, shuffle=False)
    np.testing.assert_array_equal(kept.batch(0, 0)[1], rows)


def test_drawn_targets_are_mixed_after_the_draw():
    rows = np.tile(np.full(7, 1 / 7, np.float32), (50, 1))
    source = BatchSource(table(50, targets=rows, draw_targets=True), 50, ["mixup()"])
    assert ((source.batch(0, 0)[1] > 0).sum(axis=1) <= 2).all()


def test_gray_becomes_three_channels_and_color_one():
    gray = BatchSource(table(), 5, image_shape=(12, 12, 3), shuffle=False)
    assert gray.image_shape == (12, 12, 3)
    np.testing.assert_array_equal(gray.batch(0, 0)[0], np.repeat(table().images[:5], 3, axis=-1))
    color = table(channels=3)
    luma = BatchSource(color, 5, image_shape=(12, 12, 1), shuffle=False).batch(0, 0)[0][..., 0]
    np.testing.assert_allclose(luma, color.images[:5] @ [0.299, 0.587, 0.114], rtol=1e-5)


@pytest.mark.parametrize("side", [6, 20])
def test_faces_in_memory_are_resized_as_pillow_does(side):
    source = BatchSource(table(), 5, image_size=side, shuffle=False)
    assert source.image_shape == (side, side, 1)
    face = Image.fromarray(table().images[0, ..., 0])
    wanted = np.asarray(face.resize((side, side), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(source.batch(0, 0)[0][0, ..., 0], wanted, atol=1.01)  # Pillow rounds twice


def face_columns():
    marks = np.random.default_rng(1).uniform(2, 10, (23, 5, 2)).astype(np.float32)
    marks[3] = np.nan
    return {"landmarks": marks, "valence_arousal": np.linspace(-1, 1, 46).reshape(23, 2)}


def test_a_batch_brings_the_columns_of_its_faces():
    columns = ("index", "valence_arousal")
    source = BatchSource(table(**face_columns()), 5, columns=columns)
    images, labels = source.batch(2, 1)
    assert list(labels) == ["targets", *columns]
    rows = source.indices(2, 1)
    np.testing.assert_array_equal(labels["index"], rows)
    np.testing.assert_array_equal(labels["valence_arousal"], face_columns()["valence_arousal"][rows].astype(np.float32))
    np.testing.assert_array_equal(labels["targets"], source.table.targets[rows])
    plain = BatchSource(table(), 5)
    np.testing.assert_array_equal(images, plain.batch(2, 1)[0])
    assert {n: (v.shape[1:], str(v.dtype)) for n, v in labels.items()} == source.label_shapes


def test_landmarks_move_with_the_pixels():
    source = BatchSource(table(**face_columns()), 5, ["flip(p=1.0)"], crop=8, columns=("landmarks",), shuffle=False)
    _, labels = source.batch(0, 0)
    # Mirrored in 12 pixels, then the central 8: x → 12 − x − 2, y → y − 2, and the eyes change places.
    wanted = face_columns()["landmarks"][:5, [1, 0, 2, 4, 3]]
    np.testing.assert_allclose(labels["landmarks"], wanted * (-1, 1) + (10, -2), atol=1e-5)
    assert np.isnan(labels["landmarks"][3]).all()


@pytest.mark.parametrize("side", [6, 24])
def test_landmarks_are_scaled_with_the_faces(side):
    source = BatchSource(table(**face_columns()), 5, image_size=side, columns=("landmarks",), shuffle=False)
    wanted = face_columns()["landmarks"][:5] * (side / 12)
    np.testing.assert_allclose(source.batch(0, 0)[1]["landmarks"], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("columns", "calls", "message"),
    [
        (("landmarks",), (), "The dataset has no landmarks"),
        (("pose",), (), "Unknown column 'pose'. Available: index, landmarks, valence_arousal"),
        (("index",), ("mixup()",), "mixes faces"),
    ],
)
def test_columns_that_cannot_be_had(columns, calls, message):
    with pytest.raises(UserError, match=message):
        BatchSource(table(), 5, calls, columns=columns)


def picture_table(folder, count=4):
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (10, 10), dtype=np.uint8)).save(path)
    return table(count, images=None, paths=np.array([str(p) for p in paths]))


def test_pictures_on_disk_are_read_when_their_batch_is(tmp_path):
    faces = picture_table(tmp_path)
    source = BatchSource(faces, 3, shuffle=False, image_shape=(10, 10, 1))
    images, _ = source.batch(0, 1)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[0, ..., 0], np.asarray(Image.open(faces.paths[3])))
    (tmp_path / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.png: "):
        source.batch(0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0. Expected a whole number ≥ 1"),
        ({"repeats": 1.5}, "repeats=1.5"),
        ({"seed": -1}, "seed=-1. Expected a whole number ≥ 0"),
        ({"crop": 13}, "13×13 does not fit in 12×12"),
        ({"augment": ["flop()"]}, "Unknown augmentation 'flop'"),
        ({"augment": "study"}, "list of call strings"),
        ({"image_shape": (12, 12)}, "Expected .height, width, channels"),
        ({"image_shape": (12, 12, 2)}, "Expected 1 .gray. or 3"),
        ({"image_shape": (12, 12, 1), "image_size": 10}, "image_size=10 contradicts"),
        ({"image_size": "big"}, "image_size='big'"),
    ],
)
def test_mistakes_are_found_before_the_first_batch(arguments, message):
    with pytest.raises(UserError, match=message):
        BatchSource(table(), **{"batch_size": 5, **arguments})


def test_paths_need_a_square_shape(tmp_path):
    faces = picture_table(tmp_path)
    with pytest.raises(UserError, match="give the reader an image_shape"):
        BatchSource(faces, 2)
    with pytest.raises(UserError, match="equal height and width"):
        BatchSource(faces, 2, image_shape=(10, 12, 1))


def test_an_empty_table_and_a_step_too_far():
    with pytest.raises(UserError, match="no faces"):
        BatchSource(table().take(np.arange(0)), 2)
    with pytest.raises(IndexError, match="Step 4 of an epoch of 4"):
        BatchSource(table(), 5).batch(0, 4)

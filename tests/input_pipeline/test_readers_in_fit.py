"""Both readers hand ``fit`` exactly the batches of their source, epoch by epoch."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from fer_tf.facetable import FaceTable
from fer_tf.input_pipeline import BatchSource, open_reader
from fer_tf.input_pipeline.feeding import ArrayReader
from fer_tf.labels import FER2013, one_hot


def on_tensorflow(*args, **keywords):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tf.data reader is for the TensorFlow backend")
    from fer_tf.input_pipeline.feeding import as_dataset

    return as_dataset(*args, **keywords)


READERS = [pytest.param(ArrayReader, id="arrays"), pytest.param(on_tensorflow, id="tfdata")]


def source(shuffle=True, repeats=1, count=23, augment=("study", "mixup()")):
    rng = np.random.default_rng(0)
    faces = FaceTable(
        targets=one_hot(rng.integers(0, 7, count), 7), label_set=FER2013, split=np.full(count, "train"),
        ids=np.arange(count).astype(str), images=rng.integers(0, 256, (count, 12, 12, 1), dtype=np.uint8),
    )  # fmt: skip
    return BatchSource(faces, 5, augment if shuffle else (), crop=8, shuffle=shuffle, repeats=repeats)


class Recorder(keras.Model):
    """Keeps the bytes of every batch that ``fit`` trains on."""

    def __init__(self):
        super().__init__()
        self.dense, self.flatten, self.seen = keras.layers.Dense(7), keras.layers.Flatten(), []

    def call(self, x):
        return self.dense(self.flatten(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training:
            self.seen.append((np.array(x), np.array(y)))
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def fit(reader, batches, epochs, initial_epoch=0, validation=None):
    """Return one list of batches an epoch."""
    model = Recorder()
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=True)
    ends = []
    marks = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: model.seen.clear(), on_epoch_end=lambda epoch, logs: ends.append(len(model.seen))
    )
    model.fit(
        reader, epochs=epochs, initial_epoch=initial_epoch, steps_per_epoch=batches.steps_per_epoch, verbose=0,
        shuffle=False, validation_data=validation, callbacks=[marks],
    )  # fmt: skip
    return [model.seen[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def wanted(batches, epoch):
    return [batches.batch(epoch, step) for step in range(batches.steps) for _ in range(batches.repeats)]


def assert_same(got, expected):
    assert len(got) == len(expected) > 0
    for (x, y), (images, targets) in zip(got, expected, strict=True):
        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("repeats", [1, 2])
def test_fit_sees_each_epochs_own_batches(reader, repeats):
    batches, fresh = source(repeats=repeats), source(repeats=repeats)
    epochs = fit(reader(batches, 0, 3), batches, epochs=3)
    assert len(epochs) == 3
    for epoch, got in enumerate(epochs):
        assert_same(got, wanted(fresh, epoch))


@pytest.mark.parametrize("reader", READERS)
def test_a_resumed_fit_goes_on_with_the_epochs_it_missed(reader):
    batches = source()
    validation = reader(source(shuffle=False), 0, 1)
    later = fit(reader(batches, 2, 2), batches, epochs=4, initial_epoch=2, validation=validation)
    assert len(later) == 2
    for epoch, got in zip((2, 3), later, strict=True):
        assert_same(got, wanted(source(), epoch))


@pytest.mark.parametrize("reader", READERS)
def test_evaluation_ends_after_the_last_incomplete_batch(reader):
    batches = source(shuffle=False)
    assert batches.steps == 5
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, kernel_initializer="ones")])
    sums = model.predict(reader(batches, 0, 1), verbose=0)
    images = np.concatenate([batches.batch(0, step)[0] for step in range(5)])
    assert sums.shape == (23, 2)
    np.testing.assert_allclose(sums[:, 0], images.sum(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("workers", [1, 7])
def test_both_readers_yield_the_same_bytes_with_any_number_of_threads(workers):
    batches = source(repeats=2)
    expected = wanted(batches, 1) + wanted(batches, 2)
    array = ArrayReader(source(repeats=2), 1, 2, workers)
    assert_same([array[i] for i in range(len(expected))], expected)
    array.close()
    assert_same([(x.numpy(), y.numpy()) for x, y in on_tensorflow(source(repeats=2), 1, 2, workers)], expected)


def test_both_readers_yield_columns():
    marks = np.random.default_rng(1).uniform(0, 12, (23, 5, 2)).astype(np.float32)
    faces = replace(source().table, landmarks=marks)
    batches = BatchSource(faces, 5, ["flip()"], crop=8, columns=("index", "landmarks"))
    images, labels = batches.batch(1, 2)
    streams = (ArrayReader(batches, 1, 1)[2], list(on_tensorflow(batches, 1, 1).as_numpy_iterator())[2])
    for got_images, got in streams:
        np.testing.assert_array_equal(got_images, images)
        assert list(got) == list(labels) == ["targets", "index", "landmarks"]
        for name, values in labels.items():
            assert got[name].dtype == values.dtype
            np.testing.assert_array_equal(got[name], values)


def test_array_reader_answers_in_any_order_and_beyond_its_end():
    batches = source()
    reader = ArrayReader(batches, 0, 2, workers=2)
    assert reader.num_batches is None
    for index in (7, 0, 3, 3, 8):
        assert_same([reader[index]], [batches.batch(*divmod(index, 4))])
    assert ArrayReader(source(shuffle=False), 0, 2).num_batches == 10


def test_dataset_is_static_and_knows_its_length():
    dataset = on_tensorflow(source(repeats=2), 0, 3)
    assert dataset.cardinality().numpy() == 3 * 4 * 2
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(5, 8, 8, 1), (5, 7)]
    loose = on_tensorflow(source(shuffle=False))
    assert [tuple(spec.shape) for spec in loose.element_spec] == [(None, 8, 8, 1), (None, 7)]


def test_open_reader_suits_the_backend():
    reader = open_reader(source(), 0, 1)
    assert isinstance(reader, ArrayReader) == (keras.backend.backend() != "tensorflow")


def test_an_error_in_a_batch_reaches_the_caller():
    batches = source()
    batches.batch = lambda epoch, step: (_ for _ in ()).throw(ValueError("broken face"))
    with pytest.raises(ValueError, match="broken face"):
        ArrayReader(batches)[0]
    with pytest.raises(Exception, match="broken face"):
        next(iter(on_tensorflow(batches)))


DETERMINISTIC = "import tensorflow as tf; tf.config.experimental.enable_op_determinism(); tf.random.set_seed(0); "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "before"), [("jax", ""), ("tensorflow", DETERMINISTIC)], ids=["jax", "deterministic"]
)
def test_the_same_on_jax_and_under_op_determinism(backend, before):
    pytest.importorskip(backend)
    arguments = [__file__, "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not slow"]
    program = f"{before}import pytest; raise SystemExit(pytest.main({arguments!r}))"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout

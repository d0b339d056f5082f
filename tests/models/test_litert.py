"""LiteRT files run by several threads, at free sizes, without talk."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from fer_tf.models import complexity


def doubling(shape):
    layer = keras.layers.Dense(3, kernel_initializer="ones", name="d")
    layer.build(shape)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="x")], autograph=False)
    def function(x):
        return {"sums": layer(x)}

    return complexity.convert_to_litert(complexity.litert_converter(function, layer.variables))


def test_free_sizes_in_four_threads(capfd):
    run = complexity.LiteRTRunner(doubling((None, 5)))
    inputs = [np.full((1 + i % 7, 5), i, np.float32) for i in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: run({"x": x}), inputs))
    for x, outputs in zip(inputs, found, strict=True):
        np.testing.assert_array_equal(outputs["sums"], np.repeat(x.sum(axis=1, keepdims=True), 3, axis=1))
    assert "delegate" not in capfd.readouterr().err


def test_what_needed_much_memory_is_not_kept(monkeypatch):
    made = []
    create = complexity._interpreter
    monkeypatch.setattr(complexity, "_interpreter", lambda *given: made.append(0) or create(*given))
    run = complexity.LiteRTRunner(doubling((None, 5)))
    large = 64_000_000 // (5 * 4) + 1  # rows of five numbers of four bytes
    for rows, expected in ((2, 1), (2, 1), (large, 1), (2, 2), (2, 2)):
        run({"x": np.ones((rows, 5), np.float32)}, alone=False)
        assert len(made) == expected


def test_an_operation_that_litert_lacks():
    @tf.function(input_signature=[tf.TensorSpec((2, 2), tf.float32, name="x")], autograph=False)
    def function(x):
        return {"root": tf.linalg.cholesky(x)}

    with pytest.raises(ValueError, match="LiteRT does not take this network"):
        complexity.convert_to_litert(complexity.litert_converter(function, []))

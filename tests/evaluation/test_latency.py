"""Time for one face."""

import time

import keras
import pytest

from fer_tf import models
from fer_tf.evaluation import measure_latency


def test_a_larger_network_takes_longer():
    small, large = (models.get(f"vgg(width={w})", num_classes=7, input_shape=(48, 48, 1)) for w in (0.03, 1))
    assert 0 < measure_latency(small, repeats=5) < measure_latency(large, repeats=5)


def test_the_network_is_compiled_not_called_anew():
    calls = []

    @keras.saving.register_keras_serializable("test")
    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(time.perf_counter())
            return x

    images = keras.Input((4, 4, 1))
    network = keras.Model(images, Counted()(images))
    calls.clear()
    assert measure_latency(network, repeats=20) > 0
    if keras.backend.backend() == "torch":
        pytest.skip("nothing is compiled on torch")
    assert len(calls) == 1

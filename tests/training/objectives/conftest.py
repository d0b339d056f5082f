"""What the tests of objectives share."""

import keras
import numpy as np
import pytest


@pytest.fixture
def gradient():
    """Give a function (scalar function, place) → its gradient, on the backend that runs."""

    def of(function, at):
        if keras.backend.backend() == "jax":
            import jax

            return np.asarray(jax.grad(function)(at))
        import tensorflow as tf

        x = tf.constant(at)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = function(x)
        return tape.gradient(loss, x).numpy()

    return of

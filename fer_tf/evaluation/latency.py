"""Measure how long a network takes for one face."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def measure_latency(network: "keras.Model", repeats: int = 50, batch: int = 1) -> float:
    """Measure the median time of one compiled forward pass.

    It runs on as many threads as the backend was started with.

    Args:
        network: any model with a fixed input shape.
        repeats: number of timed calls, after three that are not timed.
        batch: number of faces in a call.

    Returns:
        Milliseconds.

    Example:
        >>> import keras
        >>> from fer_tf import evaluation
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> 0 < evaluation.measure_latency(network, repeats=3) < 1000
        True
    """
    call = _compiled(network)
    images = np.zeros((batch, *network.input_shape[1:]), np.float32)
    seconds = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        call(images)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[3:])


def _compiled(network: "keras.Model") -> Callable[[np.ndarray], Any]:
    """Return a function that waits for the result of the network."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: network(x, training=False), autograph=False)
    if backend == "jax":
        import jax

        # As functions of the image alone: the weights become constants, as in an exported network.
        compiled = jax.jit(lambda x: network(x, training=False))
        return lambda x: jax.block_until_ready(compiled(x))
    return lambda x: network(x, training=False)

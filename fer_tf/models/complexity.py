"""Measure the size of a network; convert it to LiteRT and run it.

On a processor LiteRT takes half of TensorFlow's time, or less, for a few pictures.
"""

import contextlib
import functools
import math
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fer_tf import models, registry

if TYPE_CHECKING:
    import keras
    import pandas as pd
    import tensorflow as tf


@dataclass(frozen=True)
class Complexity:
    """The size of a network, see ``measure_complexity``.

    Attributes:
        parameters: number of trainable weights.
        non_trainable: number of other weights, such as the statistics of batch-norm.
        macs: multiply-accumulates of convolutions and dense layers for one image.
        megabytes: size of all weights as float32, in 10⁶ bytes; a ``.keras`` file is 0.1 to 0.4 MB larger.

    Example:
        >>> import fer_tf
        >>> fer_tf.models.Complexity(parameters=10, non_trainable=0, macs=90, megabytes=4e-5).macs
        90
    """

    parameters: int
    non_trainable: int
    macs: int
    megabytes: float


def measure_complexity(network: "keras.Model") -> Complexity:
    """Measure the size of a network; runs it on one black image.

    Example:
        >>> import fer_tf
        >>> fer_tf.models.measure_complexity(fer_tf.load_model("ferplus")).parameters
        1228392
    """
    trainable, fixed = (
        sum(math.prod(w.shape) for w in weights)
        for weights in (network.trainable_weights, network.non_trainable_weights)
    )
    return Complexity(trainable, fixed, count_macs(network), 4 * (trainable + fixed) / 1e6)


def count_macs(network: "keras.Model") -> int:
    """Count the multiply-accumulates of convolutions and dense layers for one image.

    Every call counts: a layer that is used for five regions counts five times. Layers inside custom layers and inside
    nested models count too. Batch-norm, pooling, activations and the products of attention do not.

    Args:
        network: a model with one image input of known size.

    Example:
        >>> import keras, fer_tf
        >>> images = keras.Input((10, 10, 1))
        >>> fer_tf.models.count_macs(keras.Model(images, keras.layers.Conv2D(4, 3)(images)))
        2304
    """
    import keras

    counted = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    counts: list[int] = []
    with ExitStack() as stack:
        for layer in network._flatten_layers():
            if isinstance(layer, counted):
                stack.enter_context(_counting(layer, counts))
        network(np.zeros((1, *network.input_shape[1:]), "float32"), training=False)
    return sum(counts)


def size_savings(
    studied: Sequence[str], baselines: Sequence[str], input_shape: tuple[int, int, int], num_classes: int
) -> "pd.DataFrame":
    """Compare the sizes of networks at one input shape.

    Args:
        studied: call strings. Each has a column with the share of a row's MACs that it saves, in percent; NaN where it
            computes more.
        baselines: call strings of further networks.
        input_shape: (H, W, channels).
        num_classes: C.

    Returns:
        A row for each network: ``network``, ``parameters``, ``macs``, and ``MACs that <name> saves, %``.
    """
    import pandas as pd

    texts = list(dict.fromkeys([*studied, *baselines]))
    sizes = {text: measure_complexity(models.get(text, num_classes, input_shape)) for text in texts}
    table = pd.DataFrame({"network": texts, "parameters": [size.parameters for size in sizes.values()]})
    table["macs"] = [size.macs for size in sizes.values()]
    for text in studied:
        saved = 100 * (1 - sizes[text].macs / table["macs"])
        table[f"MACs that {registry.parse(text)[0]} saves, %"] = saved.where(saved > 0)
    return table


@contextmanager
def _counting(layer: "keras.layers.Layer", counts: list[int]):
    """Append the count of each call: every number of the kernel is used at every position of the output."""
    call = layer.call

    def counting_call(*args, **keywords):
        output = call(*args, **keywords)
        counts.append(math.prod(output.shape[:-1]) * math.prod(layer.kernel.shape))
        return output

    # Not by setattr: Keras tracks the attributes of a layer.
    vars(layer)["call"] = counting_call
    try:
        yield
    finally:
        del vars(layer)["call"]


SIGNATURE = "serving_default"
MOST_THREADS = 8
# An interpreter keeps the memory of its largest call; after a call with more input bytes than this, it is freed.
LARGE = 64_000_000
_CREATING = threading.Lock()
Item, Result = TypeVar("Item"), TypeVar("Result")


def litert_converter(
    function: "tf.types.experimental.GenericFunction", variables: list, eight_bit: bool = False
) -> "tf.lite.TFLiteConverter":
    """Prepare the conversion of a graph function.

    Args:
        function: function from named tensors to a dict of tensors, with a signature; leading sizes may be unknown.
        variables: the network's Keras variables. Without them the converter finds no weights, raises no error, and the
            file computes NaN.
        eight_bit: store weights in 8 bits; activations are quantized while the file runs, unless the converter gets
            representative examples.
    """
    import tensorflow as tf

    owner = tf.Module()
    owner.weights = [v.value for v in variables]
    made = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], owner)
    made.optimizations = [tf.lite.Optimize.DEFAULT] * eight_bit
    return made


def convert_to_litert(prepared: "tf.lite.TFLiteConverter") -> bytes:
    """Convert and return the content of the file.

    Raises:
        ValueError: an operation that LiteRT does not have.
    """
    with _quiet():
        try:
            return prepared.convert()
        except Exception as error:  # The converter's own class is not public.
            raise ValueError(f"LiteRT does not take this network: {str(error).splitlines()[0]}") from error


class LiteRTRunner:
    """Run a LiteRT file; several threads may call it at the same time."""

    def __init__(self, content: bytes):
        """Keep the file; interpreters are created when calls need them.

        Args:
            content: a LiteRT file with one signature.
        """
        self._content = content
        self._idle: dict[int, queue.SimpleQueue] = {threads: queue.SimpleQueue() for threads in (1, cores())}

    def __call__(self, inputs: Mapping[str, np.ndarray], alone: bool = True) -> dict[str, np.ndarray]:
        """Run the network.

        Args:
            inputs: arrays by the names and of the types of the signature; unknown sizes may differ between calls.
            alone: use all cores; false for calls from ``in_parallel``.

        Returns:
            Arrays by the names of the signature's outputs.
        """
        threads = cores() if alone else 1
        try:
            run = self._idle[threads].get_nowait()
        except queue.Empty:
            run = _interpreter(self._content, threads)
        found = run(**inputs)
        if sum(array.nbytes for array in inputs.values()) <= LARGE:
            self._idle[threads].put(run)
        return found


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results of ``work`` for each item, computed by as many threads as there are cores."""
    return list(_pool().map(work, items))


def cores() -> int:
    """Return the number of threads that TensorFlow is set to use, or of cores."""
    import tensorflow as tf

    return min(tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1, MOST_THREADS)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), "litert")


def _interpreter(content: bytes, threads: int) -> Callable[..., dict[str, np.ndarray]]:
    import tensorflow as tf

    with _quiet():
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner(SIGNATURE)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the messages of converter and interpreter, which no setting turns off."""
    with _CREATING, warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)

"""Convert networks to LiteRT (TFLite) files and run them.

On a processor LiteRT takes half of TensorFlow's time, or less, for a few pictures.
"""

import contextlib
import functools
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

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

"""Run a SavedModel's signatures in a version-1 session: the way of TensorFlow Serving, and stricter than Python's."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

Outputs = dict[str, np.ndarray]


@contextlib.contextmanager
def served(folder: Path | str) -> Iterator[Callable[[str, Mapping[str, np.ndarray]], Outputs]]:
    """Load a version into a session and yield ``run(signature, inputs)``.

    ``tf.saved_model.load`` would not do: it gives variables their values where a session, which restores by name only,
    finds none.

    Args:
        folder: of the version.

    Raises:
        KeyError: in ``run``, of a signature, or of an input that the signature lacks or was not given.
    """
    graph = tf.Graph()
    # Neither becomes the default one, so that eager work goes on beside it.
    session = tf.compat.v1.Session(graph=graph)
    try:
        with graph.as_default(), _no_word_of_deprecation():
            loaded = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        signatures = loaded.signature_def

        def run(name: str, inputs: Mapping[str, np.ndarray]) -> Outputs:
            signature = signatures[name]
            if set(inputs) != set(signature.inputs):
                raise KeyError(f"{name} takes {sorted(signature.inputs)}, got {sorted(inputs)}")
            feed = {signature.inputs[key].name: value for key, value in inputs.items()}
            return session.run({key: info.name for key, info in signature.outputs.items()}, feed)

        yield run
    finally:
        session.close()


@contextlib.contextmanager
def _no_word_of_deprecation() -> Iterator[None]:
    """Hush TensorFlow's advice to use the loader that does not notice."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

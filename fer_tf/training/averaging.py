"""Evaluate averaged weights: EMA and SWA.

The averages live in ``optimizer.variables``, and ``fit`` never overwrites the trained weights with them:
``averaged_weights`` lends them to the network while it is scored or saved.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError

# From the 1-based step, a tensor, to the share of the newest weights in the average.
Share = Callable[[Any], Any]


def ema(total_steps: int | None = None, *, decay: float = 0.999, warmup: bool = True) -> Share:
    """Return the shares of an exponential moving average: 1 − ``decay``, after a warm-up.

    In the warm-up the share of step t is 10/(t + 9), so that the average starts as the weights themselves and forgets
    them quickly; without it, only the first step is a copy.

    Args:
        total_steps: not needed.
        decay: share that stays of the average in each step, in [0, 1).
        warmup: begin with larger shares.

    Raises:
        UserError: a decay out of range.
    """
    if not 0 <= decay < 1:
        raise UserError(f"Averaging 'ema': decay must be at least 0 and below 1, got {decay!r}.")
    early = (lambda step: 10.0 / (step + 9.0)) if warmup else (lambda step: ops.cast(step <= 1, "float32"))
    return lambda step: ops.maximum(1.0 - decay, early(step))


def swa(total_steps: int | None = None, *, start: float = 0.75) -> Share:
    """Return the shares of an equal-weight average of all iterates after the share ``start`` of the run.

    Until then the average is the weights themselves.

    Args:
        total_steps: optimizer steps of the whole run.
        start: share of the run that is left out, in [0, 1).

    Raises:
        UserError: a start out of range, or an unknown length of the run.
    """
    if not 0 <= start < 1:
        raise UserError(f"Averaging 'swa': start must be at least 0 and below 1, got {start!r}.")
    if total_steps is None:
        raise UserError("Averaging 'swa' starts at a share of the run: give the run's total_steps.")
    first = math.floor(start * total_steps)
    return lambda step: 1.0 / ops.maximum(step - first, 1.0)


def evaluation_values(optimizer: keras.optimizers.Optimizer) -> dict[int, np.ndarray]:
    """Return the weights to evaluate, keyed by the ``id`` of their variable; empty if these are the trained ones."""
    own = getattr(unscaled(optimizer), "evaluation_values", None)
    return own() if own else {}


def evaluates_elsewhere(optimizer: keras.optimizers.Optimizer) -> bool:
    """Tell whether evaluation reads other weights than training writes.

    Such weights were never used in training, so batch-norm statistics must be re-estimated for them.
    """
    return bool(getattr(unscaled(optimizer), "averages", False))


def unscaled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer inside the loss scaling that Keras puts around it for float16."""
    return optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer


@contextmanager
def averaged_weights(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Give ``network`` the weights to evaluate, and afterwards its trained weights back, bit by bit.

    Does nothing for an optimizer that evaluates the weights it trains. Inside a Keras callback take the model from
    ``self.model``: on JAX that brings its variables up to date.
    """
    values = evaluation_values(optimizer)
    swapped = [v for v in network.variables if id(v) in values]
    trained = _copies(swapped)
    try:
        for variable in swapped:
            variable.assign(values[id(variable)])
        yield
    finally:
        _assign(swapped, trained)


@contextmanager
def recalibrated_batch_norm(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, batches: Iterable[Any]
) -> Iterator[None]:
    """Lend ``network`` batch-norm statistics of the weights it has now, if ``optimizer`` evaluates on averages.

    Use it inside ``averaged_weights``. Each layer's mean and variance are averaged over the batches, weighted by their
    number of images; afterwards every non-trainable variable (statistics, dropout seeds) is as before.

    Args:
        network: built model of images.
        optimizer: tells whether there is anything to do.
        batches: images (N, H, W, C) of the training set, as training shows them; read only if needed.
    """
    layers = _batch_norms(network) if evaluates_elsewhere(optimizer) else []
    if not layers:
        yield
        return
    variables = list(network.non_trainable_variables)
    before = _copies(variables)
    try:
        estimate_batch_norm(network, batches)
        yield
    finally:
        _assign(variables, before)


def estimate_batch_norm(network: keras.Model, batches: Iterable[Any]) -> None:
    """Give ``network`` the batch-norm statistics of its weights on these images; see ``recalibrated_batch_norm``."""
    layers = _batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    seen = 0
    try:
        for images in batches:
            seen += len(images)
            # A momentum of 1 − n/seen turns the moving average into the mean over all images so far.
            for layer in layers:
                layer.momentum = 1.0 - len(images) / seen
            network(images, training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _batch_norms(network: keras.Model) -> list[keras.layers.Layer]:
    return [x for x in network._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]


def _copies(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

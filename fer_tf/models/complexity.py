"""Measure the size of a network and count its multiply-accumulates."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import callstring, models

if TYPE_CHECKING:
    import keras
    import pandas as pd


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
        table[f"MACs that {callstring.parse(text)[0]} saves, %"] = saved.where(saved > 0)
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

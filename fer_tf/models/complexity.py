"""How large a network is and how much it computes."""

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
    """The size of a network.

    Attributes:
        parameters: numbers that training changes.
        non_trainable: other numbers, such as the statistics of batch-norm.
        macs: multiplications with addition for one image, of convolutions and dense layers.
        megabytes: size of all numbers as float32, in 10⁶ bytes; a ``.keras`` file is some 0.1–0.4 MB larger.
    """

    parameters: int
    non_trainable: int
    macs: int
    megabytes: float


def measure(network: "keras.Model") -> Complexity:
    """Return the size of a network, which it runs once on one black image."""
    trainable, fixed = (
        sum(math.prod(w.shape) for w in weights)
        for weights in (network.trainable_weights, network.non_trainable_weights)
    )
    return Complexity(trainable, fixed, macs(network), 4 * (trainable + fixed) / 1e6)


def macs(network: "keras.Model") -> int:
    """Count the multiplications with addition of convolutions and dense layers for one image.

    Every call counts, so that a layer used for five regions counts five times; layers inside custom layers and inside
    nested models count too. Batch-norm, pooling, activations and the products of attention do not.

    Args:
        network: a model of one image input of known size.
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
    studied: Sequence[str], baselines: Sequence[str], image_shape: tuple[int, int, int], num_classes: int
) -> "pd.DataFrame":
    """Return what networks cost at one size of image, and how much some of them save.

    Args:
        studied: call strings. Each has a column with the share of a row's MACs that it saves, in percent; NaN where it
            computes more.
        baselines: call strings of further networks.
        image_shape: (H, W, channels).
        num_classes: C.

    Returns:
        A row for each network: ``network``, ``parameters``, ``macs``, and ``MACs that <name> saves, %``.
    """
    import pandas as pd

    texts = list(dict.fromkeys([*studied, *baselines]))
    sizes = {text: measure(models.get(text, num_classes, image_shape)) for text in texts}
    table = pd.DataFrame({"network": texts, "parameters": [size.parameters for size in sizes.values()]})
    table["macs"] = [size.macs for size in sizes.values()]
    for text in studied:
        saved = 100 * (1 - sizes[text].macs / table["macs"])
        table[f"MACs that {callstring.parse(text)[0]} saves, %"] = saved.where(saved > 0)
    return table


@contextmanager
def _counting(layer: "keras.layers.Layer", counts: list[int]):
    """Append to ``counts`` at each call: every number of the kernel is used at every place of the output."""
    call = layer.call

    def counting_call(*args, **keywords):
        output = call(*args, **keywords)
        counts.append(math.prod(output.shape[:-1]) * math.prod(layer.kernel.shape))
        return output

    # Past Keras' own __setattr__, which keeps books of what a layer holds.
    vars(layer)["call"] = counting_call
    try:
        yield
    finally:
        del vars(layer)["call"]

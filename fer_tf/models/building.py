"""What the functions that build networks share: arguments, weights, last layer."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from fer_tf import callstring
from fer_tf.errors import UserError
from fer_tf.models.backbone import initialize_from, load_backbone
from fer_tf.models.saving import load_model, shipped_names, weights_path

# torch's defaults, under which the published figures were made: momentum 0.1 there is 0.9 here.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}

Weights = keras.Model | Path | str | None


def architecture(
    gradcam_layer: str = "features", small: dict[str, Any] | None = None, bfloat16: bool = True
) -> Callable[[Callable[..., keras.Model]], Callable[..., keras.Model]]:
    """Decorate a function that builds a network.

    The defaults of the function's signature are the published ones. With ``weights``, ``num_classes`` and
    ``input_shape`` default to those of the file instead; the function then receives the loaded network in place of the
    file's name and passes it on to ``with_weights``.

    Args:
        gradcam_layer: name of the layer that heat maps read, stored on the function and on the networks it builds.
        small: arguments that suit faces of 48×48 pixels, the size of FER2013; stored on the function.
        bfloat16: whether the network trains faster in bfloat16 on processors that compute in it; with depthwise
            convolutions it does not. Stored on the function.
    """

    def decorate(build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
        signature = inspect.signature(build)

        @functools.wraps(build)
        def builder(*args: Any, **keywords: Any) -> keras.Model:
            given = signature.bind(*args, **keywords).arguments
            source = _loaded(given.get("weights"))
            if isinstance(source, keras.Model):
                outputs = source.output["logits"] if isinstance(source.output, dict) else source.output
                of_file = {"num_classes": outputs.shape[-1], "input_shape": source.input_shape[1:]}
                given = {**of_file, **given, "weights": source}
            network = build(**given)
            network.gradcam_layer = gradcam_layer
            return network

        builder.gradcam_layer, builder.small, builder.bfloat16 = gradcam_layer, small or {}, bfloat16
        return builder

    return decorate


def with_weights(network: keras.Model, weights: Weights) -> keras.Model:
    """Give a new network the weights that its ``weights`` argument names, and return it.

    Args:
        network: the new network.
        weights: ``None`` for the random initial ones; a loaded network, or the path of an ``.h5`` file, of which every
            layer is taken that has the same name and shapes.

    Raises:
        UserError: no such file, or it belongs to a network that is built differently.
    """
    if weights is None:
        return network
    if not isinstance(weights, keras.Model):
        load_backbone(network, weights_path(weights))
        return network
    taken = initialize_from(network, weights)
    # Without the head, the classes are no longer those of the file.
    if "logits" in taken:
        network.metadata = getattr(weights, "metadata", None)
    return network


def _loaded(weights: Weights) -> Weights:
    """Load the weights of a ``.keras`` file or a shipped network; return anything else as it is."""
    is_model = str(weights) in shipped_names() or str(weights).endswith(".keras")
    return load_model(weights) if is_model else weights


def scaled(units: Sequence[int], width: float) -> tuple[int, ...]:
    """Multiply layer sizes by ``width``; each stays at least 1."""
    if not width > 0:
        raise UserError(f"width must be above 0, got {width!r}.")
    return tuple(max(1, round(u * width)) for u in units)


def per_block(depth: int | Sequence[int], blocks: int) -> tuple[int, ...]:
    """Return the depth of each block, given one number for all blocks or one for each."""
    depths = (depth,) * blocks if isinstance(depth, int) else tuple(depth)
    if len(depths) != blocks or min(depths, default=0) < 1:
        raise UserError(f"depth must be a number above 0 or {blocks} of them, one for each block; got {depth!r}.")
    return depths


def check_rate(name: str, rate: float) -> float:
    """Return a dropout rate; raise a ``UserError`` unless it is in [0, 1)."""
    if not 0 <= rate < 1:
        raise UserError(f"{name} must be at least 0 and below 1, got {rate!r}.")
    return rate


def check_input_shape(input_shape: Sequence[int], halvings: int) -> tuple[int, int, int]:
    """Return (H, W, channels); raise a ``UserError`` where ``halvings`` poolings leave nothing of H or W."""
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise UserError(f"input_shape must be (height, width, channels), got {input_shape!r}.")
    if min(shape[:2]) < 2**halvings:
        raise UserError(f"input_shape {shape} is too small: {halvings} halvings need at least {2**halvings} pixels.")
    return shape


def regularizer(identifier: Any) -> keras.regularizers.Regularizer | None:
    """Return a Keras regularizer, given itself, its name, its config, or a call string ``"l2(l2=0.0001)"``."""
    config = identifier
    if isinstance(identifier, str):
        name, keywords = callstring.parse(identifier)
        config = {"class_name": name, "config": keywords}
    try:
        return keras.regularizers.get(config)
    except (ValueError, TypeError):
        raise UserError(f"Unknown kernel_regularizer {identifier!r}. Expected such as 'l2(l2=0.0001)'.") from None


def torch_default() -> keras.initializers.Initializer:
    """Return a new initializer U(±1/√fan_in), torch's default.

    Each layer needs its own: Keras draws the same numbers again from a shared one.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def logits_layer(units: int, penalty: Any, name: str = "logits") -> keras.layers.Dense:
    """Make the dense layer at the end of a classifier, in float32 under every dtype policy."""
    return keras.layers.Dense(
        units, kernel_initializer=torch_default(), kernel_regularizer=penalty, dtype="float32", name=name
    )


def split_outputs(dense: keras.KerasTensor, num_classes: int) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Split the last dense layer into logits and, where it has two more units, valence and arousal."""
    if dense.shape[-1] == num_classes:
        return dense
    return {"logits": dense[:, :num_classes], "valence_arousal": dense[:, num_classes:]}

"""Find the layer that a heat map explains, and make a network that returns it."""

from collections.abc import Iterator
from typing import Any

import keras

from fer_tf.errors import UserError

# Number of names in an error: a network may have hundreds of layers, and the last ones matter.
_LISTED = 40


def choose(network: keras.Model, name: str | None) -> keras.layers.Layer:
    """Return the layer of that name, at any depth; ``None`` means the one that the network names.

    Raises:
        UserError: no such layer, its output is not a map, or the network has no graph of layers.
    """
    if not getattr(network, "inputs", None):
        raise UserError(f"Network {network.name!r} is not a graph of layers, so no heat map can be drawn.")
    layers = list(walk(network))
    maps = {layer.name: layer for layer in layers if gives_maps(layer)}
    last = ", ".join(["…"] * (len(maps) > _LISTED) + list(maps)[-_LISTED:])
    names = f"Layers whose output is (N, h, w, channels): {last or 'none'}."
    wanted = name or _named_by(network)
    if wanted is None:
        raise UserError(f"Network {network.name!r} does not say which layer its heat maps read. {names}")
    if wanted not in maps:
        known = any(layer.name == wanted for layer in layers)
        problem = f"Layer {wanted!r} gives no maps" if known else f"No layer {wanted!r}"
        raise UserError(f"{problem} in network {network.name!r}. {names}")
    return maps[wanted]


def _named_by(network: keras.Model) -> str | None:
    """Return the layer named in the metadata, or by the function of ``fer_tf.models`` that built the network."""
    known = getattr(network, "metadata", None) or network
    return getattr(known, "gradcam_layer", None)


def walk(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a network, each inner network followed by its own layers."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from walk(layer)


def gives_maps(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer computes one tensor (N, h, w, channels)."""
    if isinstance(layer, keras.layers.InputLayer):
        return False
    try:
        return len(layer.output.shape) == 4
    except (AttributeError, ValueError):  # Never called, or with several outputs.
        return False


def with_activations(network: keras.Model, layer: keras.layers.Layer) -> keras.Model:
    """Return a network of the same layers with the outputs ``[output of the layer, output of the network]``.

    Where the layer is inside an inner network, the outer one is rebuilt around it, on the same weights.
    """
    if any(member is layer for member in network.layers):
        return keras.Model(network.inputs, [layer.output, output_of(network)])
    inner = next(m for m in network.layers if isinstance(m, keras.Model) and any(x is layer for x in walk(m)))
    twin, found = with_activations(inner, layer), []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation is not inner:
            return operation(*args, **kwargs)
        activations, output = twin(*args, **kwargs)
        found.append(activations)
        return output

    graph = keras.Model(network.inputs, output_of(network))
    copy = keras.models.clone_model(graph, clone_function=lambda member: member, call_function=call)
    return keras.Model(copy.inputs, [found[-1], copy.output])


def output_of(network: keras.Model) -> Any:
    """Return a network's symbolic output; ``output`` fails on a Sequential that was never called."""
    return network.outputs[0] if isinstance(network, keras.Sequential) else network.output

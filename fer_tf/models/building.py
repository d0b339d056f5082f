"""Share what networks are built from; load and freeze backbones."""

import functools
import inspect
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fer_tf import registry
from fer_tf.errors import DataError, UserError
from fer_tf.labels import LabelSet
from fer_tf.models.saving import load_model, open_archive, shipped_names, weights_path

if TYPE_CHECKING:
    import h5py
    import keras

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
        name, keywords = registry.parse(identifier)
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


HEAD = ("logits",)


def load_backbone(network: "keras.Model", path: Path | str, head: Sequence[str] = HEAD) -> list[str]:
    """Copy the weights of all layers that a file has with the same name and shapes, the head excepted.

    Args:
        network: the model to change.
        path: a ``.keras`` or ``.weights.h5`` file, or the older ``.h5`` that ``keras.applications`` downloads.
        head: names of the layers that keep their own weights.

    Returns:
        The names of the copied layers, in the network's order.

    Raises:
        UserError: no such file, or it has no layer of this network.
        DataError: the file holds no weights.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, input_shape=(44, 44, 1), width=0.5)
        >>> load_backbone(network, fer_tf.models.weights_path("ferplus"))[0]
        'stem_conv'
    """
    import h5py

    if not Path(path).is_file():
        raise UserError(f"No weights at {Path(path).absolute()}.")
    try:
        with h5py.File(_weights_in(Path(path)), "r") as file:
            foreign = _foreign(file)
            is_old = not foreign and "layer_names" in file.get("model_weights", file).attrs
            take = take_layers if is_old else _take_groups
            taken = [] if foreign else take(network, _old_layers(file) if is_old else _groups(file), head)
    # h5py's, of damaged files
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SystemError):
        raise DataError(f"{path} holds no weights. Expected a .keras, .weights.h5 or .h5 file of Keras.") from None
    if foreign:
        raise DataError(f"{path}: {foreign[0]} in it is read from another file. Expected weights of its own.")
    if not taken:
        raise UserError(f"{path} has no layer of {network.name!r}: names or shapes differ.")
    return taken


def initialize_from(
    network: "keras.Model", source: "keras.Model | Path | str", label_set: LabelSet | None = None
) -> list[str]:
    """Copy the weights of a trained network: the backbone, and the head where the classes are the same.

    Unlike ``load_backbone``, this raises an error where a layer of the same name has another shape, so that a narrower
    network does not start half trained.

    Args:
        network: the model to change.
        source: the trained network, a shipped name or the path of a ``.keras`` file.
        label_set: classes of ``network``; the head is copied only from a source with metadata that names the same
            classes. ``None`` copies it where its shape is the same.

    Returns:
        The names of the copied layers.

    Raises:
        UserError: no such file, or it is not of a network that is built like this one.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=3, input_shape=(44, 44, 1), width=0.5)
        >>> "stem_conv" in initialize_from(network, "ferplus")
        True
    """
    name = f"Network {source.name!r}" if hasattr(source, "layers") else str(source)
    source = source if hasattr(source, "layers") else load_model(source)
    metadata = getattr(source, "metadata", None)
    same = label_set is None or (metadata is not None and metadata.label_set.classes == label_set.classes)
    weights = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    taken = take_layers(network, weights, head=() if same else HEAD)
    kept = [x.name for x in network.layers if x.weights and x.name in weights and x.name not in (*taken, *HEAD)]
    if kept or not taken:
        what = f"its layer {kept[0]!r} has another shape" if kept else "it has none of the layers"
        like = f" {metadata.model!r}" if metadata and metadata.model else " it"
        raise UserError(f"{name} cannot start {network.name!r}: {what}. Expected a network built like{like}.")
    return taken


def take_layers(
    network: "keras.Model", source: Mapping[str, Sequence[np.ndarray]], head: Sequence[str] = HEAD
) -> list[str]:
    """Set the weights of layers that ``source`` has by name, in the same shapes; return their names."""
    taken = []
    for layer in network.layers:
        arrays = source.get(layer.name, ())
        shapes = [tuple(w.shape) for w in layer.weights]
        if layer.name not in head and shapes and shapes == [a.shape for a in arrays]:
            layer.set_weights([np.asarray(a) for a in arrays])
            taken.append(layer.name)
    return taken


def _take_groups(network: "keras.Model", source: Mapping[str, "h5py.Group"], head: Sequence[str]) -> list[str]:
    """Do the same as ``take_layers`` from the groups of a weights file; parts of a layer have groups of their own."""
    import h5py

    taken = []
    # Only Keras knows the place of a variable in a file: let it write one, change that, and read it back.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.weights.h5"
        network.save_weights(path)
        with h5py.File(path, "r+") as file:
            own = _groups(file)
            for layer in network.layers:
                if not layer.weights or layer.name in head or layer.name not in source:
                    continue
                ours, theirs = _arrays(own[layer.name]), _arrays(source[layer.name])
                if {k: a.shape for k, a in ours.items()} == {k: a.shape for k, a in theirs.items()}:
                    for place, array in ours.items():
                        array[...] = theirs[place][...]
                    taken.append(layer.name)
        network.load_weights(path)
    return taken


def _weights_in(path: Path) -> Path | io.BytesIO:
    """Return what h5py can open: the file itself, or the weights inside a ``.keras`` archive."""
    if path.suffix != ".keras":
        return path
    with open_archive(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _foreign(file: "h5py.File") -> list[str]:
    """Name the links and data by which a weights file would read other files of the machine."""
    import h5py

    found = []

    def note(place: str, item: "h5py.HLObject | h5py.HardLink") -> None:
        is_data = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        if is_data or isinstance(item, h5py.ExternalLink):
            found.append(place)

    file.visititems_links(note)
    file.visititems(note)
    return found


def _groups(file: "h5py.File") -> dict[str, "h5py.Group"]:
    """Map layer names to their groups, which Keras names by class and number."""
    return {str(group["vars"].attrs["name"]): group for group in file["layers"].values() if "vars" in group}


def _arrays(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Map paths inside a group to the arrays there."""
    found = {}
    group.visititems(lambda place, item: found.update({place: item} if hasattr(item, "shape") else {}))
    return found


def _old_layers(file: "h5py.File") -> dict[str, list["h5py.Dataset"]]:
    """Map layer names to arrays in a file that Keras 2 wrote; none of them is read yet."""
    root = file.get("model_weights", file)
    return {
        name: [root[name][weight] for weight in root[name].attrs["weight_names"]]
        for name in (n.decode() if isinstance(n, bytes) else n for n in root.attrs["layer_names"])
    }


def freeze_backbone(network: "keras.Model", head: Sequence[str] = HEAD) -> None:
    """Let only the head learn; batch-norm layers of the backbone use their statistics and keep them.

    ``unfreeze`` undoes it. Compile the network after either.

    Args:
        network: the model to change.
        head: names of the layers that learn.

    Raises:
        UserError: the network has no layer of such a name.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(width=0.05)
        >>> freeze_backbone(network)
        >>> [w.path for w in network.trainable_weights]
        ['logits/kernel', 'logits/bias']
    """
    names = {layer.name for layer in network.layers}
    if unknown := set(head) - names:
        raise UserError(f"Model {network.name!r} has no layer {min(unknown)!r} to train.")
    for layer in network.layers:
        layer.trainable = layer.name in head


def unfreeze(network: "keras.Model") -> None:
    """Let every layer learn again.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(width=0.05)
        >>> freeze_backbone(network)
        >>> unfreeze(network)
        >>> len(network.trainable_weights)
        38
    """
    # Layer by layer: Keras passes network.trainable = True on to no layer when the network's own flag was True.
    for layer in network.layers:
        layer.trainable = True

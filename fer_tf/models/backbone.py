"""Load and freeze a network's backbone."""

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.labels import LabelSet
from fer_tf.models.saving import load_model

if TYPE_CHECKING:
    import h5py
    import keras

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
            is_old = "layer_names" in file.get("model_weights", file).attrs
            take = take_layers if is_old else _take_groups
            taken = take(network, _old_layers(file) if is_old else _groups(file), head)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise DataError(f"{path} holds no weights. Expected a .keras, .weights.h5 or .h5 file of Keras.") from None
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
            layer.set_weights(arrays)
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
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _groups(file: "h5py.File") -> dict[str, "h5py.Group"]:
    """Map layer names to their groups, which Keras names by class and number."""
    return {str(group["vars"].attrs["name"]): group for group in file["layers"].values() if "vars" in group}


def _arrays(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Map paths inside a group to the arrays there."""
    found = {}
    group.visititems(lambda place, item: found.update({place: item} if hasattr(item, "shape") else {}))
    return found


def _old_layers(file: "h5py.File") -> dict[str, list[np.ndarray]]:
    """Map layer names to arrays in a file that Keras 2 wrote."""
    root = file.get("model_weights", file)
    return {
        name: [np.asarray(root[name][weight]) for weight in root[name].attrs["weight_names"]]
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

"""Begin from another network's weights: take those of the trunk, hold them still while the head learns."""

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.labels import LabelSet

if TYPE_CHECKING:
    import h5py
    import keras

HEAD = ("logits",)


def load_trunk(network: "keras.Model", path: Path | str, head: Sequence[str] = HEAD) -> list[str]:
    """Take weights from a file where a layer's name and the shapes of all its weights agree.

    Args:
        network: the model that takes them.
        path: a ``.keras`` or ``.weights.h5`` file, or the older ``.h5`` that ``keras.applications`` downloads.
        head: names of the layers that keep their own weights.

    Returns:
        The names of the layers that were taken, in the network's order.

    Raises:
        UserError: no such file, a file of another kind, or one without any layer of this network.
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


def begin_from(network: "keras.Model", path: Path | str, label_set: LabelSet) -> list[str]:
    """Take the weights of a trained network: the trunk, and the head where its logits mean the same classes.

    Unlike ``load_trunk`` it takes a layer or complains: a layer that both have must have the same shapes in both, so
    that a narrower network does not begin half trained.

    Args:
        network: the model that takes them.
        path: a ``.keras`` file; only one with facts gives its head.
        label_set: meaning of the network's logits.

    Returns:
        The names of the layers that were taken.

    Raises:
        UserError: no such file, none of its layers here, or one of another shape.
    """
    from fer_tf.models import load

    source = load(path)
    same = source.facts is not None and source.facts.label_set.classes == label_set.classes
    weights = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    taken = take_layers(network, weights, head=() if same else HEAD)
    kept = [x.name for x in network.layers if x.weights and x.name in weights and x.name not in (*taken, *HEAD)]
    if kept or not taken:
        what = f"its layer {kept[0]!r} has another shape" if kept else "it has none of the layers"
        raise UserError(f"{path} cannot start {network.name!r}: {what}. Expected a network built alike.")
    return taken


def take_layers(
    network: "keras.Model", source: Mapping[str, Sequence[np.ndarray]], head: Sequence[str] = HEAD
) -> list[str]:
    """Set the weights of those layers that ``source`` has by name and in the same shapes; return their names."""
    taken = []
    for layer in network.layers:
        arrays = source.get(layer.name, ())
        shapes = [tuple(w.shape) for w in layer.weights]
        if layer.name not in head and shapes and shapes == [a.shape for a in arrays]:
            layer.set_weights(arrays)
            taken.append(layer.name)
    return taken


def _take_groups(network: "keras.Model", source: Mapping[str, "h5py.Group"], head: Sequence[str]) -> list[str]:
    """Do as ``take_layers`` with the groups of a weights file, in which the parts of a layer have groups too."""
    import h5py

    taken = []
    # Keras alone knows which variable a place in the file belongs to; so it writes a file, and reads it back changed.
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
    """Return what h5py opens: the file, or the one inside a ``.keras`` archive."""
    if path.suffix != ".keras":
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _groups(file: "h5py.File") -> dict[str, "h5py.Group"]:
    """Map the names of a model's layers to their groups, which Keras names by class and number."""
    return {str(group["vars"].attrs["name"]): group for group in file["layers"].values() if "vars" in group}


def _arrays(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Map places inside a group to the arrays there."""
    found = {}
    group.visititems(lambda place, item: found.update({place: item} if hasattr(item, "shape") else {}))
    return found


def _old_layers(file: "h5py.File") -> dict[str, list[np.ndarray]]:
    """Map layer names to arrays, as Keras 2 wrote them."""
    root = file.get("model_weights", file)
    return {
        name: [np.asarray(root[name][weight]) for weight in root[name].attrs["weight_names"]]
        for name in (n.decode() if isinstance(n, bytes) else n for n in root.attrs["layer_names"])
    }


def freeze_trunk(network: "keras.Model", head: Sequence[str] = HEAD) -> None:
    """Let only the layers in ``head`` learn; batch-norms of the trunk keep their statistics and use them.

    ``unfreeze`` undoes it. Compile after either.

    Raises:
        UserError: the network has no layer of such a name.
    """
    names = {layer.name for layer in network.layers}
    if unknown := set(head) - names:
        raise UserError(f"Model {network.name!r} has no layer {min(unknown)!r} to train.")
    for layer in network.layers:
        layer.trainable = layer.name in head


def unfreeze(network: "keras.Model") -> None:
    """Let every layer learn."""
    # Layer by layer: Keras passes network.trainable = True on to no layer when the network's own flag was True.
    for layer in network.layers:
        layer.trainable = True

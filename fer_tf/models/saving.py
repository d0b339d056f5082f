"""Save and load networks with their metadata.

The metadata is a member ``fer_tf.json`` of the ``.keras`` file, which is a zip archive, and an entry of the build
configuration, which Keras' own ``save`` writes. Keras ignores both where it does not know them, so the file opens in
plain Keras as well.
"""

import contextlib
import dataclasses
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import layers
from fer_tf.errors import DataError, UserError
from fer_tf.io import atomic
from fer_tf.labels import LabelSet

if TYPE_CHECKING:
    import keras

_MEMBER, _CONFIG, _KEY = "fer_tf.json", "config.json", "fer_tf"
# What the metadata and the configuration may take, and what the entries of a file may take beside 20 times its size.
_TEXT_BYTES, _MORE_BYTES = {_MEMBER: 2**20, _CONFIG: 2**24}, 2**28
# A zip archive stores a date for each member; with a fixed one, equal metadata gives equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
SHIPPED = Path(__file__).parents[1] / "pretrained"
DEFAULT = "ferplus"


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """Describe what a trained network predicts and which faces it expects.

    Attributes:
        label_set: names and order of the classes.
        face_size: side of the square face in pixels. The network sees its central square of the input size.
        gradcam_layer: name of the layer that heat maps read, or ``None`` where the network has no such layer.
        model: call string that the network was built from, or ``""``.
        dataset: call string of the dataset that it was trained on, or ``""``.
        temperature: calibrated probabilities are softmax(logits / temperature).
        views: number of crops of the face that the network averages over; above 1, it takes the whole face.
        prior: share of each class in the training targets, in the order of the classes; ``None`` where unknown.

    Example:
        >>> from fer_tf.labels import FER2013
        >>> ModelMetadata(FER2013, face_size=48).temperature
        1.0
    """

    label_set: LabelSet
    face_size: int
    gradcam_layer: str | None = None
    model: str = ""
    dataset: str = ""
    temperature: float = 1.0
    views: int = 1
    prior: tuple[float, ...] | None = None

    def __post_init__(self):
        for name, kind, number in (
            ("face_size", Integral, self.face_size),
            ("temperature", Real, self.temperature),
            ("views", Integral, self.views),
        ):
            if isinstance(number, bool) or not isinstance(number, kind) or not 0 < number < math.inf:
                raise UserError(f"{name} must be a {'whole ' * (kind is Integral)}number above 0, got {number!r}.")
        if not isinstance(self.label_set, LabelSet) or len(self.label_set) < 2:
            raise UserError(f"label_set must be a LabelSet of at least two classes, got {self.label_set!r}.")
        if self.prior is not None:
            object.__setattr__(self, "prior", _shares(self.prior, len(self.label_set)))
        if not isinstance(self.gradcam_layer, str | None):
            raise UserError(f"gradcam_layer must be a name or None, got {self.gradcam_layer!r}.")

    def to_json(self) -> dict[str, Any]:
        """Return a dict for ``json.dumps``, which ``from_json`` reads."""
        labels = {"name": self.label_set.name, "classes": list(self.label_set.classes)}
        return {**dataclasses.asdict(self), "label_set": labels}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ModelMetadata":
        """Make metadata from the dict of ``to_json``; unknown keys, from later versions, are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        labels = values["label_set"]
        if not isinstance(labels["classes"], list) or not all(isinstance(name, str) for name in labels["classes"]):
            raise UserError(f"classes must be a list of names, got {labels['classes']!r}.")
        label_set = LabelSet(str(labels["name"]), tuple(labels["classes"]))
        return cls(**{**{k: v for k, v in values.items() if k in known}, "label_set": label_set})


def _shares(prior: Any, classes: int) -> tuple[float, ...]:
    """Return the shares of a prior as a tuple, which JSON gives as a list."""
    known = isinstance(prior, list | tuple) and all(isinstance(share, Real) and 0 <= share <= 1 for share in prior)
    if not known or len(prior) != classes or not math.isclose(sum(prior), 1, abs_tol=1e-3):
        raise UserError(f"prior must be {classes} shares that sum to 1, got {prior!r}.")
    return tuple(map(float, prior))


def metadata_of(network: "keras.Model") -> ModelMetadata:
    """Return the metadata of a network, its attribute ``metadata``.

    Raises:
        UserError: the network has none, or one that does not fit (see ``set_metadata``).

    Example:
        >>> import fer_tf
        >>> metadata_of(fer_tf.load_model("ferplus")).label_set.classes[:3]
        ('neutral', 'happiness', 'surprise')
    """
    metadata = getattr(network, "metadata", None)
    if metadata is None:
        raise UserError(
            f"Network {network.name!r} does not say which classes its logits are. Call fer_tf.models.set_metadata("
            "network, fer_tf.models.ModelMetadata(label_set, face_size)), or load a file that a run of this package "
            "wrote."
        )
    set_metadata(network, metadata)
    return metadata


def set_metadata(network: "keras.Model", metadata: ModelMetadata) -> None:
    """Say what a network predicts; Keras' own ``network.save("FILE.keras")`` keeps it from then on.

    Args:
        network: a Keras model from pixels 0 to 255 to logits.
        metadata: becomes the network's attribute ``metadata``.

    Raises:
        UserError: the network ends in softmax or sigmoid, has another number of outputs than the metadata has classes,
            or takes larger faces than the metadata says.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=2, input_shape=(44, 44, 1), width=0.05)
        >>> set_metadata(network, ModelMetadata(fer_tf.LabelSet("moods", ("good", "bad")), face_size=48))
        >>> network.metadata.label_set.classes
        ('good', 'bad')
    """
    if not isinstance(metadata, ModelMetadata):
        raise UserError(f"Metadata of a network is a fer_tf.models.ModelMetadata, got {metadata!r}.")
    _check_fits(network, metadata)
    network.metadata = metadata
    # Keras ignores entries of a build configuration that it does not know, in contrast to those of other ones.
    network.get_build_config = lambda: _build_config(network)


def _build_config(network: "keras.Model") -> dict[str, Any] | None:
    known = type(network).get_build_config(network)
    metadata = getattr(network, "metadata", None)
    return {**(known or {}), _KEY: metadata.to_json()} if metadata else known


def _check_fits(network: "keras.Model", metadata: ModelMetadata) -> None:
    shape = getattr(network, "input_shape", None)
    # A sequential model has no ``output`` before it is part of another model.
    output = getattr(network, "output", next(iter(getattr(network, "outputs", None) or ()), None))
    if output is None:
        # What a subclass of keras.Model returns is known when it is called; a plain one returns nothing.
        if type(network).__name__ != "Model":
            return
        raise UserError(f"Network {network.name!r} has no outputs. Expected a functional or sequential model.")
    output = output.get("logits") if isinstance(output, dict) else output
    if not hasattr(output, "shape"):
        raise UserError(f"Network {network.name!r} has several outputs. Expected one, or a dict with 'logits'.")
    classes = metadata.label_set.classes
    if output.shape[-1] not in (None, len(classes)):
        names = ", ".join(classes)
        raise UserError(
            f"Network {network.name!r} has {output.shape[-1]} outputs, but {len(classes)} classes are named: {names}."
        )
    if activation := _final_activation(output):
        raise UserError(
            f"Network {network.name!r} ends in {activation}: its outputs would be taken for logits, and softmax "
            "applied to them again. Expected a last layer without activation."
        )
    sides = shape[1:3] if isinstance(shape, tuple) and len(shape) == 4 else ()
    if any(side and side > metadata.face_size for side in sides):
        raise UserError(
            f"Network {network.name!r} takes faces of {sides[1]}×{sides[0]} pixels. Expected a face_size of at least "
            f"that, got {metadata.face_size}."
        )


_TO_PROBABILITIES = ("softmax", "sigmoid", "hardsigmoid")
# Layers and operations whose results are probabilities if what they are applied to is.
_KEEPING = (
    "Activation", "Average", "Cast", "Concatenate", "Dropout", "Flatten", "GetItem", "GlobalAveragePooling2D",
    "Identity", "Mean", "Permute", "Reshape", "Squeeze", "Stack",
)  # fmt: skip


def _final_activation(tensor: "keras.KerasTensor") -> str:
    """Return what makes probabilities of a network's logits, ``""`` where nothing does."""
    operation, node, index = tensor._keras_history
    activation = getattr(operation, "activation", None)
    for thing in (activation, operation):
        name = getattr(thing, "__name__", type(thing).__name__)
        if name.lower().replace("_", "") in _TO_PROBABILITIES:
            return name.lower()
    if hasattr(operation, "outputs"):  # a network within the network
        return _final_activation(operation.outputs[index])
    if type(operation).__name__ not in _KEEPING:
        return ""
    return next(filter(None, map(_final_activation, operation._inbound_nodes[node].input_tensors)), "")


def save_model(network: "keras.Model", path: Path | str, metadata: ModelMetadata) -> None:
    """Write a network and its metadata to a ``.keras`` file, completely or not at all.

    Args:
        network: any Keras model.
        path: the file; an existing one is replaced.
        metadata: what the network predicts.

    Raises:
        UserError: the metadata does not fit (see ``set_metadata``).

    Example:
        >>> import tempfile, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, width=0.05)
        >>> metadata = ModelMetadata(fer_tf.LabelSet("moods", tuple("abcdefg")), face_size=48)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(network, f"{folder}/moods.keras", metadata)
        ...     load_model(f"{folder}/moods.keras").metadata.label_set.name
        'moods'
    """
    before = getattr(network, "metadata", None)
    set_metadata(network, metadata)
    try:
        with atomic.atomic_write(Path(path)) as part:
            network.save(part)
            _write_metadata(part, metadata)
    finally:
        network.metadata = before


def load_model(name: Path | str = "default") -> "keras.Model":
    """Load a network that ships with the package, or one from a ``.keras`` file.

    Args:
        name: name of a shipped network (``"default"``, ``"ferplus"``, ``"fer2013"``, ...), or the path of a file.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), not compiled. Its attribute ``metadata``
        is the file's ``ModelMetadata``, or ``None`` where the file has none.

    Raises:
        UserError: no such name or file.
        DataError: the file is not a ``.keras`` file, it is damaged, or its metadata is of another network.

    Example:
        >>> network = load_model("ferplus")
        >>> network.output_shape
        (None, 8)
    """
    import keras

    layers.register()
    path = weights_path(name)
    metadata = read_metadata(path)
    check_file(path)
    try:
        network = keras.saving.load_model(path, compile=False)
        if not isinstance(network, keras.Model):
            raise DataError(f"it holds a {type(network).__name__} and no network.")
        if metadata is not None:
            set_metadata(network, metadata)
    except Exception as error:  # Keras builds whatever the file says: any of TensorFlow's errors may come of it.
        raise DataError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    network.metadata = metadata
    return network


def check_file(path: Path | str) -> None:
    """Check that a ``.keras`` file is whole, without loading it.

    Raises:
        DataError: an entry is missing or damaged, or takes far more memory than the file.

    Example:
        >>> check_file(weights_path("ferplus"))
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        if missing := [name for name in (_CONFIG, "model.weights.h5") if name not in names]:
            raise DataError(f"{path} is not a .keras file: {missing[0]} is missing in it.")
        # Keras goes on with weights whose checksum is wrong.
        if damaged := archive.testzip():
            raise DataError(f"{path} is damaged: {damaged} in it has a wrong checksum.")


@contextlib.contextmanager
def open_archive(path: Path | str, kind: str = ".keras") -> Iterator[zipfile.ZipFile]:
    """Open a ``.keras`` file, or an archive of another kind, whose entries do not take far more memory than the file.

    Raises:
        DataError: no zip archive, or a damaged one; also while it is read.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                most = 20 * Path(path).stat().st_size + _MORE_BYTES
                if sum(entry.file_size for entry in entries) > most:
                    raise DataError(f"{path}: its entries take more than {most / 2**20:,.0f} MiB: not read.")
                for entry in entries:
                    limit = _TEXT_BYTES.get(entry.filename, most)
                    if entry.file_size > limit:
                        raise DataError(f"{path}: {entry.filename} in it takes more than {limit / 2**20:,.0f} MiB.")
                yield archive
        except UserError:
            raise
        except zipfile.BadZipFile as error:
            damaged = f" ({error})" if str(error) != "File is not a zip file" else ""
            raise DataError(f"{path} is not a {kind} file{damaged}.") from None
        except (zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ValueError, ArithmeticError) as error:
            raise DataError(f"{path} is a damaged {kind} file ({error}).") from None


def weights_path(name: Path | str = "default") -> Path:
    """Return the file of a shipped network, or the given path itself.

    Raises:
        UserError: neither the name of a shipped network nor a file.

    Example:
        >>> weights_path("ferplus").name
        'ferplus.keras'
    """
    shipped = shipped_names()
    if str(name) in shipped:
        return shipped[str(name)]
    if not Path(name).is_file():
        names = ", ".join(shipped)
        raise UserError(
            f"No model {str(name)!r}. Expected one of {names}, or the path of a .keras file; "
            f"there is none at {Path(name).absolute()}."
        )
    return Path(name)


def shipped_names() -> dict[str, Path]:
    """List the networks that ship with the package, as a dict from name to file.

    Example:
        >>> "ferplus" in shipped_names()
        True
    """
    files = {path.stem: path for path in sorted(SHIPPED.glob("*.keras"))}
    return {"default": files[DEFAULT], **files}


def read_metadata(path: Path | str) -> ModelMetadata | None:
    """Read the metadata of a ``.keras`` file without loading the network; ``None`` where it has none.

    Raises:
        DataError: the file is not a ``.keras`` file, or its metadata cannot be read.

    Example:
        >>> read_metadata(weights_path("ferplus")).model
        'resnet10(width=0.5)'
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        if found := [name for name in (_MEMBER, _CONFIG) if name in names]:
            try:
                values = json.loads(archive.read(found[0]))
                if found[0] == _CONFIG:
                    values = (values.get("build_config") or {}).get(_KEY)
                return None if values is None else ModelMetadata.from_json(values)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise DataError(f"{path}: {found[0]} in it cannot be read ({error}).") from None
    return None


def _write_metadata(path: Path, metadata: ModelMetadata) -> None:
    text = json.dumps(metadata.to_json(), indent=1, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(_MEMBER, _DATE), text)

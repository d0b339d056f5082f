"""Save and load networks with their metadata.

The metadata is a member ``fer_tf.json`` of the ``.keras`` file, which is a zip archive. Keras ignores members that it
does not know, so the file opens in plain Keras as well.
"""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import layers
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.labels import LabelSet

if TYPE_CHECKING:
    import keras

_MEMBER = "fer_tf.json"
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

    def to_json(self) -> dict[str, Any]:
        """Return a dict for ``json.dumps``, which ``from_json`` reads."""
        labels = {"name": self.label_set.name, "classes": list(self.label_set.classes)}
        return {**dataclasses.asdict(self), "label_set": labels}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ModelMetadata":
        """Make metadata from the dict of ``to_json``; unknown keys, from later versions, are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        labels = values["label_set"]
        label_set = LabelSet(labels["name"], tuple(labels["classes"]))
        return cls(**{**{k: v for k, v in values.items() if k in known}, "label_set": label_set})


def metadata_of(network: "keras.Model") -> ModelMetadata:
    """Return the metadata of a network, its attribute ``metadata``.

    Raises:
        UserError: the network has none.

    Example:
        >>> import fer_tf
        >>> metadata_of(fer_tf.load_model("ferplus")).label_set.classes[:3]
        ('neutral', 'happiness', 'surprise')
    """
    metadata = getattr(network, "metadata", None)
    if metadata is None:
        raise UserError(
            f"Network {network.name!r} does not say which classes its logits are. Set network.metadata = "
            "fer_tf.models.ModelMetadata(label_set, face_size), or load a file that a run of this package wrote."
        )
    return metadata


def save_model(network: "keras.Model", path: Path | str, metadata: ModelMetadata) -> None:
    """Write a network and its metadata to a ``.keras`` file, completely or not at all.

    Args:
        network: any Keras model.
        path: the file; an existing one is replaced.
        metadata: what the network predicts.

    Example:
        >>> import tempfile, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, width=0.05)
        >>> metadata = ModelMetadata(fer_tf.LabelSet("moods", tuple("abcdefg")), face_size=48)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(network, f"{folder}/moods.keras", metadata)
        ...     load_model(f"{folder}/moods.keras").metadata.label_set.name
        'moods'
    """
    with atomic.atomic_write(Path(path)) as part:
        network.save(part)
        _write_metadata(part, metadata)


def load_model(name: Path | str = "default") -> "keras.Model":
    """Load a network that ships with the package, or one from a ``.keras`` file.

    Args:
        name: name of a shipped network (``"default"``, ``"ferplus"``, ``"fer2013"``, ...), or the path of a file.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), not compiled. Its attribute ``metadata``
        is the file's ``ModelMetadata``, or ``None`` where the file has none.

    Raises:
        UserError: no such name or file, or the file is not a ``.keras`` file.

    Example:
        >>> network = load_model("ferplus")
        >>> network.output_shape
        (None, 8)
    """
    import keras

    layers.register()
    path = weights_path(name)
    metadata = read_metadata(path)
    network = keras.saving.load_model(path, compile=False)
    network.metadata = metadata
    return network


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
        UserError: the file is not a ``.keras`` file, or its metadata cannot be read.

    Example:
        >>> read_metadata(weights_path("ferplus")).model
        'resnet10(width=0.5)'
    """
    try:
        with zipfile.ZipFile(path) as archive:
            known = _MEMBER in archive.namelist()
            return ModelMetadata.from_json(json.loads(archive.read(_MEMBER))) if known else None
    except zipfile.BadZipFile:
        raise UserError(f"{path} is not a .keras file.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: {_MEMBER} in it cannot be read ({error}).") from None


def _write_metadata(path: Path, metadata: ModelMetadata) -> None:
    text = json.dumps(metadata.to_json(), indent=1, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(_MEMBER, _DATE), text)

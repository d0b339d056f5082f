"""What a ``.keras`` file of this package says beside the network: whose classes the logits are, and what the input is.

The facts are a member ``fer_tf.json`` of the file, which is a zip archive; Keras leaves members alone that it does not
know, so the file opens in plain Keras as well.
"""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.labels import LabelSet

if TYPE_CHECKING:
    import keras

MEMBER = "fer_tf.json"
# Zip archives date their members; one date keeps equal facts equal bytes.
DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What must be known of a trained network to use it.

    Attributes:
        label_set: meaning and order of the logits.
        face_size: side in pixels of the whole face, of which the network sees the central square of its input size.
        gradcam_layer: name of the layer whose output a heat map reads; ``None`` where the network has no such layer.
        model: call string it was built from, or ``""``.
        dataset: call string of what it was trained on, or ``""``.
        temperature: what logits are divided by before the softmax, so that probabilities are calibrated.
        views: crops of the face whose mean the network says; it takes the whole face where they are more than one.
    """

    label_set: LabelSet
    face_size: int
    gradcam_layer: str | None = None
    model: str = ""
    dataset: str = ""
    temperature: float = 1.0
    views: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        labels = {"name": self.label_set.name, "classes": list(self.label_set.classes)}
        return {**dataclasses.asdict(self), "label_set": labels}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Facts":
        """Make facts from ``to_json``'s dict; keys of later versions are left out."""
        known = {f.name for f in dataclasses.fields(cls)}
        labels = values["label_set"]
        label_set = LabelSet(labels["name"], tuple(labels["classes"]))
        return cls(**{**{k: v for k, v in values.items() if k in known}, "label_set": label_set})


def write_facts(path: Path | str, facts: Facts) -> None:
    """Add the facts to a ``.keras`` file that has none, in place.

    Raises:
        ValueError: the file has facts already.
    """
    text = json.dumps(facts.to_json(), indent=1, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        if MEMBER in archive.namelist():
            raise ValueError(f"{path} has facts already.")
        archive.writestr(zipfile.ZipInfo(MEMBER, DATE), text)


def read_facts(path: Path | str) -> Facts | None:
    """Return the facts of a ``.keras`` file; ``None`` where it has none.

    Raises:
        UserError: the file is no ``.keras`` file, or its facts cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Facts.from_json(json.loads(archive.read(MEMBER))) if MEMBER in archive.namelist() else None
    except zipfile.BadZipFile:
        raise UserError(f"{path} is no .keras file.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: {MEMBER} in it cannot be read ({error}).") from None


def facts_of(network: "keras.Model") -> Facts:
    """Return the facts that came with a loaded network.

    Raises:
        UserError: it came without.
    """
    facts = getattr(network, "facts", None)
    if facts is None:
        raise UserError(
            f"Network {network.name!r} does not say which classes its logits are. Set network.facts = "
            "fer_tf.models.Facts(label_set, face_size), or load a file that a study of this package wrote."
        )
    return facts

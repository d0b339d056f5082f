"""What a network's corruption errors are divided by: those of a reference, stored or asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError
from fer_tf.robustness import CORRUPTIONS, SEVERITIES

# The network that plays the part of ImageNet-C's AlexNet: it stays when a better one becomes the default.
NETWORK = "fer2013"
# Its errors on FER2013's test faces: robustness.json of ``python -m fer_tf.robustness fer2013 --dataset fer2013``.
STORED = Path(__file__).parent / "reference.json"


@dataclass(frozen=True)
class Errors:
    """A network's errors on some faces.

    Attributes:
        name: of the network.
        clean: by corruption, share of wrong names on the faces that it is applied to, as they are.
        corrupted: by corruption, shares at severities 1 to 5.
    """

    name: str
    clean: Mapping[str, float]
    corrupted: Mapping[str, Sequence[float]]


def described(corruptions: Sequence[str], landmarks: str | None) -> dict[str, dict[str, Any]]:
    """Return what must be equal for errors of a corruption to be compared: severities, and digest of landmarks."""
    rows = {text: CORRUPTIONS.resolve(text)[0].facts for text in corruptions}
    return {
        text: {"amounts": list(facts["amounts"]), "landmarks": landmarks if facts["landmarks"] else None}
        for text, facts in rows.items()
    }


def to_json(errors: Errors, settings: Mapping[str, Any], landmarks: str | None) -> dict[str, Any]:
    """Return what ``read`` reads; ``settings`` is what must be equal for any errors to be compared."""
    rows = {
        text: {**known, "clean_error": errors.clean[text], "errors": list(errors.corrupted[text])}
        for text, known in described(list(errors.corrupted), landmarks).items()
    }
    return {"network": errors.name, "settings": dict(settings), "corruptions": rows}


def read(path: Path | str, settings: Mapping[str, Any], corruptions: Sequence[str], landmarks: str | None) -> Errors:
    """Read the errors of an earlier run.

    Args:
        path: its ``robustness.json``.
        settings: of this run, see ``to_json``.
        corruptions: those of this run.
        landmarks: digest of those that this run has.

    Raises:
        UserError: no such file, or its errors are of other faces, another seed, or other corruptions.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        rows, theirs, name = stored["corruptions"], stored["settings"], stored["network"]
        for key, value in settings.items():
            if theirs.get(key) != value:
                raise UserError(f"{path} was measured with {key} {theirs.get(key)!r}, this run has {value!r}.")
        for text, known in described(corruptions, landmarks).items():
            row = rows.get(text)
            if row is None or {key: row[key] for key in known} != known or len(row["errors"]) != len(SEVERITIES):
                raise UserError(f"{path} has no errors of {text!r} at the same severities and landmarks.")
        return Errors(
            name,
            {text: rows[text]["clean_error"] for text in corruptions},
            {text: tuple(rows[text]["errors"]) for text in corruptions},
        )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no robustness.json of an earlier run ({error}).") from None

"""Divide errors on corrupted faces by those of a reference network.

References:
    Hendrycks and Dietterich, arXiv 1903.12261, section 4.2.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError
from fer_tf.robustness.corruptions import CORRUPTIONS, SEVERITIES

# The network that plays the part of ImageNet-C's AlexNet: it stays when a better one becomes the default.
NETWORK = "fer2013"
# Its errors on FER2013's test faces: robustness.json of ``fer-tf robustness fer2013 --dataset fer2013``.
STORED = Path(__file__).parent / "reference.json"


def corruption_error(errors: Sequence[float], reference: Sequence[float]) -> float:
    """Divide the sum of a network's errors over all severities by that of a reference (CE).

    Args:
        errors: Shares in [0, 1] of misclassified faces, one a severity.
        reference: Those of the reference network on the same faces.

    Returns:
        1 for a network like the reference, less for a better one; NaN where the reference makes no errors.

    Example:
        >>> corruption_error([0.1, 0.2, 0.3], reference=[0.2, 0.4, 0.6])
        0.5
    """
    return _ratio(math.fsum(errors), math.fsum(reference))


def relative_corruption_error(
    errors: Sequence[float], clean: float, reference: Sequence[float], reference_clean: float
) -> float:
    """Divide the sum of what corruption adds to the error by that of a reference (relative CE).

    Args:
        errors: Shares in [0, 1] of misclassified faces, one a severity.
        clean: The error on the same faces without corruption.
        reference: Errors of the reference network.
        reference_clean: Its error without corruption.

    Returns:
        1 for a network that loses as much as the reference; NaN where the reference loses nothing.

    Example:
        >>> round(relative_corruption_error([0.2, 0.3], 0.1, reference=[0.3, 0.5], reference_clean=0.1), 3)
        0.5
    """
    return _ratio(math.fsum(e - clean for e in errors), math.fsum(r - reference_clean for r in reference))


def mean_of_known(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


@dataclass(frozen=True)
class NetworkErrors:
    """Errors of a network on some faces.

    Attributes:
        name: The network.
        clean: By corruption, share of misclassified faces among those that it is applied to, without corruption.
        corrupted: By corruption, shares at severities 1 to 5.
    """

    name: str
    clean: Mapping[str, float]
    corrupted: Mapping[str, Sequence[float]]

    def to_json(self, settings: Mapping[str, Any], landmarks: str | None) -> dict[str, Any]:
        """Return what ``read_errors`` reads.

        Args:
            settings: What must be equal for any errors to be compared.
            landmarks: Digest of the faces' landmarks.
        """
        rows = {
            text: {**known, "clean_error": self.clean[text], "errors": list(self.corrupted[text])}
            for text, known in _described(list(self.corrupted), landmarks).items()
        }
        return {"network": self.name, "settings": dict(settings), "corruptions": rows}


def read_errors(
    path: Path | str, settings: Mapping[str, Any], corruptions: Sequence[str], landmarks: str | None
) -> NetworkErrors:
    """Read the errors of an earlier run.

    Args:
        path: Its ``robustness.json``.
        settings: Settings of this run, see ``NetworkErrors.to_json``.
        corruptions: Corruptions of this run.
        landmarks: Digest of the landmarks of this run.

    Raises:
        UserError: There is no such file, or its errors are of other faces, another seed, or other corruptions.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        rows, theirs, name = stored["corruptions"], stored["settings"], stored["network"]
        for key, value in settings.items():
            if theirs.get(key) != value:
                raise UserError(f"{path} was measured with {key} {theirs.get(key)!r}, this run has {value!r}.")
        for text, known in _described(corruptions, landmarks).items():
            row = rows.get(text)
            if row is None or {key: row[key] for key in known} != known or len(row["errors"]) != len(SEVERITIES):
                raise UserError(f"{path} has no errors of {text!r} at the same severities and landmarks.")
        return NetworkErrors(
            name,
            {text: rows[text]["clean_error"] for text in corruptions},
            {text: tuple(rows[text]["errors"]) for text in corruptions},
        )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no robustness.json of an earlier run ({error}).") from None


def _described(corruptions: Sequence[str], landmarks: str | None) -> dict[str, dict[str, Any]]:
    """Return what must be equal for errors of a corruption to be compared: severities, and digest of landmarks."""
    rows = {text: CORRUPTIONS.resolve(text)[0].facts for text in corruptions}
    return {
        text: {"amounts": list(facts["amounts"]), "landmarks": landmarks if facts["landmarks"] else None}
        for text, facts in rows.items()
    }

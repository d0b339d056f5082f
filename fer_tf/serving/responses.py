"""Convert server responses to dicts."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

# The outputs that a row of each signature must have; the responses of other exports lack some.
_FACE_KEYS = {"probabilities", "label", "classes", "valid"}
_PHOTOGRAPH_KEYS = {"count", "boxes", "scores", "landmarks", "probabilities", "labels", "size", "classes", "valid"}


def convert_face(row: Row) -> dict[str, Any]:
    """Convert a row of ``serving_default`` or ``predict_faces``.

    Args:
        row: the outputs of one image, by name, in plain lists.

    Returns:
        ``valid``: whether the server could read the image; ``faces``: a list of one dict with ``label`` and
        ``distribution`` (a probability for each class), empty if the image is not valid.

    Raises:
        ValueError: the row is of another signature.

    Example:
        >>> from fer_tf import serving
        >>> row = {"probabilities": [0.75, 0.25], "label": "happy", "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_face(row)["faces"]
        [{'label': 'happy', 'distribution': {'happy': 0.75, 'sad': 0.25}}]
    """
    _check(row, _FACE_KEYS)
    return {"valid": row["valid"], "faces": [_face(row["label"], row)] if row["valid"] else []}


def convert_photograph(row: Row) -> dict[str, Any]:
    """Convert a row of ``analyze``.

    Args:
        row: the outputs of one photograph, by name, in plain lists.

    Returns:
        ``valid``: whether the server could read the image; ``size``: height and width in pixels; ``faces``: a list, the
        highest detection score first, of dicts with ``box`` (x0, y0, x1, y1 in pixels), ``score``, ``landmarks`` (five
        x, y in pixels), ``label`` and ``distribution``.

    Raises:
        ValueError: the row is of another signature.

    Example:
        >>> from fer_tf import serving
        >>> row = {"count": 0, "boxes": [], "scores": [], "landmarks": [], "probabilities": [], "labels": [],
        ...        "size": [48, 64], "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_photograph(row)
        {'valid': True, 'size': [48, 64], 'faces': []}
    """
    _check(row, _PHOTOGRAPH_KEYS)
    columns = [row[key][: row["count"]] for key in ("boxes", "scores", "landmarks", "labels", "probabilities")]
    faces = [
        {"box": box, "score": score, "landmarks": points, **_face(label, {**row, "probabilities": probabilities})}
        for box, score, points, label, probabilities in zip(*columns, strict=True)
    ]
    return {"valid": row["valid"], "size": row["size"], "faces": faces}


def _face(label: str, row: Row) -> dict[str, Any]:
    return {"label": label, "distribution": dict(zip(row["classes"], row["probabilities"], strict=True))}


def _check(row: Row, wanted: set[str]) -> None:
    missing = sorted(wanted - set(row)) if isinstance(row, Mapping) else sorted(wanted)
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")

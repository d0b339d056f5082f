"""What a server says of pictures, as plain dicts, the same from REST and gRPC; the standard library is enough."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

# What a row of each signature must have; another export's answer is told from ours by it.
FACE_KEYS = {"probabilities", "label", "classes", "valid"}
PHOTOGRAPH_KEYS = {"count", "boxes", "scores", "landmarks", "probabilities", "labels", "size", "classes", "valid"}


def of_face(row: Row) -> dict[str, Any]:
    """Turn a row of ``serving_default`` or ``predict_faces`` into a picture with one face.

    Returns:
        ``valid``: whether the bytes were a picture; ``faces``: one dict with ``label`` and ``distribution``, a
        probability a class; empty where the picture is not valid.

    Raises:
        ValueError: the row is of another signature.
    """
    _check(row, FACE_KEYS)
    return {"valid": row["valid"], "faces": [_face(row["label"], row)] if row["valid"] else []}


def of_photograph(row: Row) -> dict[str, Any]:
    """Turn a row of ``analyze`` into a picture with its faces.

    Returns:
        ``valid``; ``size``: height and width in pixels; ``faces``, the best-detected first, each a dict with ``box``
        (x0, y0, x1, y1 in pixels), ``score``, ``landmarks`` (five x, y), ``label`` and ``distribution``.

    Raises:
        ValueError: the row is of another signature.
    """
    _check(row, PHOTOGRAPH_KEYS)
    columns = [row[key][: row["count"]] for key in ("boxes", "scores", "landmarks", "labels", "probabilities")]
    faces = [
        {"box": box, "score": score, "landmarks": points, **_face(label, {**row, "probabilities": probabilities})}
        for box, score, points, label, probabilities in zip(*columns, strict=True)
    ]
    return {"valid": row["valid"], "size": row["size"], "faces": faces}


def _face(label: str, row: Row) -> dict[str, Any]:
    return {"label": label, "distribution": dict(zip(row["classes"], row["probabilities"], strict=True))}


def _check(row: Row, wanted: set[str]) -> None:
    missing: Sequence[str] = sorted(wanted - set(row)) if isinstance(row, Mapping) else sorted(wanted)
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")

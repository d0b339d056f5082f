"""Load LFW-FER and its masked versions (Yang, Wu and Hattori 2020)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_tf.datasets.listed import Face, ReadOptions, assemble, carve_validation, list_tree
from fer_tf.datasets.splits import check_shares, hashed_split
from fer_tf.errors import DataError, RowErrors, UserError, unknown_name
from fer_tf.facetable import FaceTable, converted, joined
from fer_tf.labels import LFWFER

PARTS: Mapping[str, str] = {"plain": "LFW-FER", "masked": "M-LFW-FER", "cut": "M-LFW-FER-face-cut"}
BOTH, TOGETHER = "both", ("plain", "masked")
PROTOCOLS = ("identity", "official")
FOLDERS = {"train": "train", "eval": "test"}
_NAME = re.compile(r"(.+)_\d{4}(_\w+)?\.\w+")


def load_lfwfer(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    part: str = "plain",
    evaluation: str | None = None,
    protocol: str = "identity",
    size: int = 112,
    channels: int = 3,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    in_memory: bool = True,
    label_set: str | None = None,
) -> FaceTable:
    """Load one of the three parts of LFW-FER, or plain and masked faces together.

    The published ``train`` and ``eval`` share people. By default both are pooled and each person is assigned to one
    split by name and seed. The assignment is the same in all three parts, so that a network trained on plain faces can
    be tested on masked ones, but scores are not comparable with published ones. The release does not contain the head
    orientations that the authors labeled.

    Args:
        data: The folder of the part, with ``train/<class>`` and ``eval/<class>``, or one above it.
        skip_bad: Leave out bad images and list them in ``skipped``, instead of stopping at the first.
        part: ``plain`` (LFW-FER), ``masked`` (M-LFW-FER), ``cut`` (M-LFW-FER-face-cut), or ``both`` for plain and
            masked, with ids that begin with ``plain/`` or ``masked/``.
        evaluation: Part that validation and test take; ``None`` means the part of training.
        protocol: ``identity``, or ``official``, where ``eval`` is the test split and validation is taken from ``train``
            by person (people in test are then also in train).
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        split: Shares (train, validation, test) of people for ``identity``; ``official`` uses the second one only.
        seed: Seed of the split.
        in_memory: Read all images now; ``False`` checks their headers and keeps paths.
        label_set: ``lfwfer`` or ``None``, since three classes cannot be converted to more.

    Raises:
        UserError: ``part`` or ``protocol`` is unknown.
        DataError: ``data`` holds no such dataset, or an image is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_lfwfer("data/lfwfer")
        >>> faces.label_set.classes
        ('positive', 'neutral', 'negative')
    """
    evaluation = part if evaluation is None else evaluation
    for name in (part, evaluation):
        if name not in (*PARTS, BOTH):
            raise unknown_name("part of LFW-FER", name, (*PARTS, BOTH))
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol of LFW-FER", protocol, PROTOCOLS)
    shares, row_errors, options = check_shares(split), RowErrors(skip_bad), ReadOptions(size, channels, in_memory)
    if protocol == "official" and shares[1] >= 1:
        raise UserError(f"split={split!r} leaves no face for training.")

    def read(name: str) -> FaceTable:
        root = _find(Path(data), name)
        faces = [face for folder in FOLDERS for face in _list(root, folder, row_errors)]
        table = assemble(root, faces, LFWFER, row_errors, options)
        if protocol == "official":
            return carve_validation(table, shares[1], seed, by_subject=True)
        return replace(table, split=hashed_split(table.subject.tolist(), shares, seed))

    needed = [name for name in PARTS if name in (part, evaluation) or (name in TOGETHER and BOTH in (part, evaluation))]
    tables = {name: read(name) for name in needed}
    table = next(iter(tables.values())) if len(tables) == 1 else _chosen(tables, part, evaluation)
    return converted(table, label_set)


def _chosen(tables: Mapping[str, FaceTable], part: str, evaluation: str) -> FaceTable:
    """Combine the training faces of one or two parts with the validation and test faces of another."""
    rows = {}
    for name, table in tables.items():
        trains, judges = (wanted == name or (wanted == BOTH and name in TOGETHER) for wanted in (part, evaluation))
        keep = np.where(table.split == "train", trains, judges)
        rows[name] = table.take(keep)
    return joined(rows)


def _find(data: Path, part: str) -> Path:
    name = PARTS[part]
    above = [data / name / name, data / name, data / "data" / name / name, data / "data" / name]
    # The folder itself counts unless its name says that it is another part.
    wanted = above if data.name in set(PARTS.values()) - {name} else [*above, data]
    for place in wanted:
        if (place / "train").is_dir():
            return place
    raise DataError(f"{data}: no {name} there. Looked for {name}/train/positive and train/positive.")


def _list(root: Path, folder: str, row_errors: RowErrors) -> list[Face]:
    faces = []
    for face in list_tree(root / folder, f"{folder}/", FOLDERS[folder], LFWFER, row_errors):
        person = _NAME.fullmatch(Path(face.path).name)
        if person:
            faces.append(replace(face, subject=person[1]))
        else:
            row_errors.add(face.path, "expected a name of person and number, such as Aaron_Guiel_0001.jpg.")
    return faces

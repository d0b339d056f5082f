"""LFW-FER, M-LFW-FER and M-LFW-FER-face-cut (Yang, Wu and Hattori 2020): LFW in three classes, plain or masked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fer_tf.datasets.faults import Faults
from fer_tf.datasets.listed import Face, Reading, assemble, carve_validation, list_tree
from fer_tf.datasets.splits import check_shares, hashed_split
from fer_tf.errors import DataError, UserError, unknown_name
from fer_tf.facetable import FaceTable, converted
from fer_tf.labels import LFWFER

PARTS: Mapping[str, str] = {"plain": "LFW-FER", "masked": "M-LFW-FER", "cut": "M-LFW-FER-face-cut"}
PROTOCOLS = ("identity", "official")
FOLDERS = {"train": "train", "eval": "test"}
_NAME = re.compile(r"(.+)_\d{4}(_\w+)?\.\w+")


def load(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    part: str = "plain",
    protocol: str = "identity",
    size: int = 112,
    channels: int = 3,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    in_memory: bool = True,
    label_set: str | None = None,
) -> FaceTable:
    """Read one of the three parts.

    The published ``train`` and ``eval`` share people. By default both are pooled, and each person is put into one
    split by name and seed, the same in all three parts, so that a network trained on plain faces can be tested on
    masked ones; scores do not compare with published ones. The head orientations that the authors labelled are not in
    the release.

    Args:
        data: the folder of the part, with ``train/<class>`` and ``eval/<class>``, or one above it.
        skip_bad: leave bad pictures out instead of stopping at the first.
        part: ``plain`` (LFW-FER), ``masked`` (M-LFW-FER) or ``cut`` (M-LFW-FER-face-cut).
        protocol: ``identity``, or ``official``: ``eval`` is test, and validation is taken from ``train`` by person
            (people of test are then in train too).
        size: height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        split: shares (train, validation, test), of people for ``identity``; ``official`` takes the second one only.
        seed: of the split.
        in_memory: read all pictures now; ``False`` checks their headers and keeps paths.
        label_set: must be ``lfwfer`` or ``None``: three classes cannot become more.

    Raises:
        UserError: unknown part or protocol.
        DataError: nothing readable at ``data``, or a bad picture.
    """
    if part not in PARTS:
        raise unknown_name("part of LFW-FER", part, PARTS)
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol of LFW-FER", protocol, PROTOCOLS)
    shares, faults, reading = check_shares(split), Faults(skip_bad), Reading(size, channels, in_memory)
    if protocol == "official" and shares[1] >= 1:
        raise UserError(f"split={split!r} leaves no face for training.")
    root = _find(Path(data), part)
    faces = [face for folder in FOLDERS for face in _list(root, folder, faults)]
    table = assemble(root, faces, LFWFER, faults, reading)
    if protocol == "official":
        table = carve_validation(table, shares[1], seed, by_subject=True)
    else:
        table = replace(table, split=hashed_split(table.subject.tolist(), shares, seed))
    return converted(table, label_set)


def _find(data: Path, part: str) -> Path:
    name = PARTS[part]
    above = [data / name / name, data / name, data / "data" / name / name, data / "data" / name]
    # The folder itself counts unless its name says that it is another part.
    wanted = above if data.name in set(PARTS.values()) - {name} else [*above, data]
    for place in wanted:
        if (place / "train").is_dir():
            return place
    raise DataError(f"{data}: no {name} there. Looked for {name}/train/positive and train/positive.")


def _list(root: Path, folder: str, faults: Faults) -> list[Face]:
    faces = []
    for face in list_tree(root / folder, f"{folder}/", FOLDERS[folder], LFWFER, faults):
        person = _NAME.fullmatch(Path(face.path).name)
        if person:
            faces.append(replace(face, subject=person[1]))
        else:
            faults.add(face.path, "expected a name of person and number, such as Aaron_Guiel_0001.jpg.")
    return faces

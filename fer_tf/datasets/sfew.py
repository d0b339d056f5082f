"""Load SFEW 2.0 (Dhall et al. 2011 and 2015): film stills or aligned faces."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fer_tf.datasets.listed import Face, ReadOptions, assemble, carve_validation, list_tree
from fer_tf.datasets.splits import check_share
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import FaceTable, converted
from fer_tf.labels import SFEW

# <film>_<time>_<frame>; a film's name may itself have underscores and numbers.
_NAME = re.compile(r"(.+?)_\d+_\d+\.\w+")
_SPLITS = {"Train": "train", "Val": "test"}


def load_sfew(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int = 112,
    channels: int = 3,
    aligned: bool | None = None,
    validation: float = 0.1,
    seed: int = 0,
    in_memory: bool = True,
    label_set: str | None = None,
) -> FaceTable:
    """Load SFEW 2.0; its Val set becomes the test split, as in most papers.

    The labels of its Test set are not public. The validation split is a share of whole films of Train, so that no
    actor is in both. ``subject`` holds the film: the file name without time and frame.

    Args:
        data: The folder with ``Train/<class>`` and ``Val/<class>``, or with ``Train_Aligned_Faces`` and
            ``Val_Aligned_Faces`` (also inside ``Train`` and ``Val``).
        skip_bad: Leave out bad images and list them in ``skipped``, instead of stopping at the first.
        size: Height and width in pixels. Aligned faces (143×181) and stills (720×576) are stretched to a square.
        channels: 1 (gray) or 3 (RGB).
        aligned: ``True`` for aligned faces, ``False`` for whole stills, ``None`` for aligned faces if there are any.
        validation: Share of the training faces, at least 0 and below 1.
        seed: Seed of that split.
        in_memory: Read all images now; ``False`` checks their headers and keeps paths.
        label_set: Name of the label set to convert to, by class name; ``None`` means SFEW's own.

    Raises:
        DataError: ``data`` holds no such dataset, or an image is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_sfew("data/sfew")
        >>> faces.label_set.name
        'sfew'
    """
    root, row_errors = Path(data), RowErrors(skip_bad)
    options, share = ReadOptions(size, channels, in_memory), check_share(validation)
    faces = [face for part in _SPLITS for face in _list(root, part, aligned, row_errors)]
    table = assemble(root, faces, SFEW, row_errors, options)
    return converted(carve_validation(table, share, seed, by_subject=True), label_set)


def _list(root: Path, part: str, aligned: bool | None, row_errors: RowErrors) -> Iterator[Face]:
    place = _find(root, part, aligned)
    for face in list_tree(place, f"{place.relative_to(root).as_posix()}/", _SPLITS[part], SFEW, row_errors):
        film = _NAME.fullmatch(Path(face.path).name)
        if film:
            yield replace(face, subject=film[1])
        else:
            row_errors.add(
                face.path, "expected a name of film, time and frame, such as Airheads_000519240_00000005.png."
            )


def _find(root: Path, part: str, aligned: bool | None) -> Path:
    faces = [f"{part}_Aligned_Faces", f"{part}_Aligned_Faces_new"]
    places = {
        True: [root / name for name in faces] + [root / part / name for name in faces],
        False: [root / part],
    }
    wanted: Sequence[Path] = places[True] + places[False] if aligned is None else places[bool(aligned)]
    found = next((place for place in wanted if place.is_dir()), None)
    if found is None:
        looked = ", ".join(place.relative_to(root).as_posix() for place in wanted)
        raise DataError(f"{root}: no SFEW there. Looked for {looked}, with Angry and six more in it.")
    return found

"""The photographs and videos that paths name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_tf.errors import UserError
from fer_tf.faces import photographs
from fer_tf.faces.photographs import Note


@dataclass(frozen=True)
class Found:
    """A file to analyse.

    Attributes:
        path: where it is.
        source: how records call it: the path as it was given, with what is below a folder.
        relative: its name below the folder that was given; a single file's own name.
    """

    path: Path
    source: str
    relative: str


def find(paths: Sequence[Path | str], note: Note) -> list[Found]:
    """List the photographs and videos that paths name; the first mention of a file counts.

    Args:
        paths: photographs, videos, folder trees of both.
        note: called with the name and the reason of each path and folder that is left out.

    Raises:
        UserError: there is nothing to read; says why of the first path.
    """
    suffixes = (*photographs.SUFFIXES, *photographs.VIDEO_SUFFIXES)
    found: dict[str, Found] = {}
    first = None
    for path in paths:
        given = os.fspath(path)
        try:
            for file, relative in photographs.find(given, note, suffixes):
                found.setdefault(os.path.realpath(file), Found(file, os.fspath(file), relative))
        except UserError as error:
            first = first or error
            note(given, str(error).removeprefix(f"{given}: "))
    if first and not found:
        raise first
    return _readable(list(found.values()), note)


def _readable(found: list[Found], note: Note) -> list[Found]:
    """Leave videos out, and note why, where the extra for them is missing; raise where nothing is left."""
    try:
        if any(photographs.is_video(f.source) for f in found):
            photographs.import_av()
    except UserError as error:
        left = [f for f in found if not photographs.is_video(f.source)]
        if not left:
            raise
        for f in found:
            if photographs.is_video(f.source):
                note(f.source, str(error))
        return left
    return found

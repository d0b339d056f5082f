"""Read CSV files, plain or gzipped, with any usual separator."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fer_tf.errors import DataError

__all__ = ["cell", "read_lines", "read_table", "separator_of"]

# FER2013's lines have 9,300 bytes, its gzipped file a third of its bytes; what is far beyond is no table of faces.
LONGEST_LINE = 2**20
_FREE, _RATIO = 2**26, 100
_SEPARATORS = ",;\t"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read_lines(path: Path | str) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked if its name ends with ``.gz``, with their ends.

    Memory and time are bounded: a line has at most ``LONGEST_LINE`` bytes, and a gzipped file may grow to 100 times
    its size (a small one to 64 MiB).

    Raises:
        DataError: The file goes beyond a bound; without the path in it.
        EOFError, OSError, zlib.error: It cannot be read, or is damaged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "faces.csv").write_bytes(b"path,label")
        ...     list(read_lines(f"{folder}/faces.csv"))
        [b'path,label']
    """
    path = Path(path)
    if path.suffix.lower() != ".gz":
        with path.open("rb", buffering=1 << 20) as file:
            yield from _bounded(file, None)
        return
    with gzip.open(path) as file:
        yield from _bounded(file, max(_FREE, _RATIO * path.stat().st_size))


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV in UTF-8, each with its line number from 1; blank lines are left out.

    Args:
        path: The file. Its fields are separated by commas; by semicolons or tabs where its first line has no comma.

    Raises:
        DataError: The file is no such CSV, or damaged.
        OSError: It is not there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "faces.csv").write_text("path;label")
        ...     list(read_table(Path(folder, "faces.csv")))
        [(1, ['path', 'label'])]
    """
    try:
        lines = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(read_lines(path)))
        first = next(lines, "")
        reader = csv.reader(_chained(first, lines), delimiter=separator_of(first))
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}).") from None


def cell(value: object) -> object:
    """Return a value as it is written to a CSV: spreadsheets would run a path that begins with ``=`` as a formula.

    A path gets ``./`` before it, and names the same file; numbers and other texts stay as they are.

    Example:
        >>> cell("=1+1.jpg"), cell("a.jpg"), cell(-0.5)
        ('./=1+1.jpg', 'a.jpg', -0.5)
    """
    return f"./{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def separator_of(header: str) -> str:
    r"""Return the character that separates the fields of a header: comma, else semicolon, else tab.

    Example:
        >>> separator_of("path;angry;happy")
        ';'
    """
    return next((s for s in _SEPARATORS if s in header), ",")


def _chained(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


def _bounded(file: BinaryIO, most: int | None) -> Iterator[bytes]:
    total = 0
    while line := file.readline(LONGEST_LINE + 1):
        total += len(line)
        if len(line) > LONGEST_LINE:
            raise DataError(f"a line of more than {LONGEST_LINE:,} bytes, which is no row of faces.")
        if most is not None and total > most:
            raise DataError(f"unpacks to more than {most:,} bytes, {_RATIO} times its size. Unpack it yourself first.")
        yield line

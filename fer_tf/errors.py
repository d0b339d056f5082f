"""Define the errors that users can correct, and collect errors of single rows."""

import os
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


class UserError(ValueError):
    """Report a mistake of the user: a wrong name, path, row or option.

    Commands print its message in one line and exit with code 2; callers may catch it as a ``ValueError``.
    """


class DataError(UserError):
    """Report a file or row that cannot be read; the message names the file, the row and what was expected."""


def unknown_name(kind: str, name: str, available: Iterable[str]) -> UserError:
    """Create the error for an unknown name: ``Unknown model 'vgg17'. Available: vgg13, vgg16.``"""
    return UserError(f"Unknown {kind} {name!r}. Available: {', '.join(sorted(available))}.")


def exit_on_user_error(main: Callable[..., int | None], *args) -> None:
    """Run ``main`` and end the process with an exit code.

    The code is what ``main`` returns (0 for ``None``), 2 after a ``UserError``, 1 after an ``OSError`` such as a full
    disk (both with one line on stderr and no traceback), 130 after Ctrl-C, and 141 without a line if nobody reads
    stdout any more, as in ``fer-tf predict . | head``.
    """
    try:
        code = main(*args) or 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        code = 2
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            # Python writes at its end what is left for stdout, and would complain then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 141
        else:
            print(f"error: {printable(error)}", file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        print("interrupted; start the same command again to continue", file=sys.stderr)
        code = 130
    sys.exit(code)


def given_path(path: Path | str) -> Path:
    """Return a path that a user gave as a ``Path``, to which an empty one would be the working directory.

    Raises:
        UserError: It is empty.

    Example:
        >>> given_path("")
        Traceback (most recent call last):
        fer_tf.errors.UserError: An empty path names nothing. Expected a file or a folder; . is the working directory.
    """
    if not os.fspath(path):
        raise UserError("An empty path names nothing. Expected a file or a folder; . is the working directory.")
    return Path(path)


def printable(text: object) -> str:
    r"""Return a text for a terminal: characters that would move its cursor or change its colors are escaped.

    Example:
        >>> printable("a\x1b[31m.jpg")
        'a\\x1b[31m.jpg'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _nobody_reads() -> bool:
    """Return whether stdout is a pipe whose reader is gone; a broken pipe may be another one."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):
        return False


class RowErrors:
    """Collect the bad rows of a dataset, or stop at the first one.

    Attributes:
        lines: A text ``place: reason`` for each row that was left out; becomes ``FaceTable.skipped``.
    """

    def __init__(self, skip_bad: bool):
        self.skip_bad = skip_bad
        self.lines: list[str] = []

    def add(self, place: object, reason: object) -> None:
        """Add a bad row.

        Args:
            place: The file, or ``file:line`` with line numbers from 1.
            reason: What is wrong, and what was expected.

        Raises:
            DataError: Bad rows are not to be skipped.
        """
        if not self.skip_bad:
            raise DataError(f"{place}: {reason}")
        self.lines.append(f"{place}: {reason}")

    def count(self, place: object, counts: Mapping[str, int]) -> None:
        """Add how many faces the dataset itself marks as unusable, one line for each reason."""
        self.lines += [f"{place}: left out {n:,} faces: {reason}." for reason, n in counts.items() if n]

    def check_any_left(self, count: int, place: object) -> None:
        """Raise a ``DataError`` if no valid row is left in ``place``."""
        if not count:
            first = f" First of {len(self.lines)} bad rows: {self.lines[0]}" if self.lines else ""
            raise DataError(f"{place}: holds no readable face.{first}")

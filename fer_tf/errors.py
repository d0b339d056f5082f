"""The errors that users can mend, told apart from bugs."""

import sys
from collections.abc import Callable, Iterable


class UserError(ValueError):
    """A mistake in what the user gave: a name, a path, a row, an option.

    Command lines print its one line and exit with code 2; libraries may catch it as a ``ValueError``.
    """


class DataError(UserError):
    """A file or row that cannot be read. The message names the file, the row, and what would have been right."""


def unknown_name(kind: str, name: str, available: Iterable[str]) -> UserError:
    """Make the error for a name that is in no table: ``Unknown model 'vgg17'. Available: vgg13, vgg16``."""
    return UserError(f"Unknown {kind} {name!r}. Available: {', '.join(sorted(available))}.")


def exit_on_user_error(main: Callable[..., int | None], *args) -> None:
    """Run a command line's ``main`` and end the process as a shell expects.

    Exit codes: what ``main`` returns (0 for ``None``), 2 for a ``UserError`` and 1 for what the system refuses, such as
    a write on a full disk (one line on stderr, no traceback), 130 after Ctrl-C.
    """
    try:
        code = main(*args) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("interrupted; start the same command again to continue", file=sys.stderr)
        code = 130
    sys.exit(code)

"""Progress bars, one look for all of them."""

import sys

from tqdm import tqdm


def bar(
    total: int | None = None, description: str = "", unit: str = "it", initial: int = 0, leave: bool = False
) -> tqdm:
    """Make a progress bar on stderr; in a log file it writes a line every half minute, not ten a second."""
    interval = 0.2 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=total, desc=description, unit=unit, initial=initial, leave=leave,
        mininterval=interval, dynamic_ncols=True, file=sys.stderr,
    )  # fmt: skip

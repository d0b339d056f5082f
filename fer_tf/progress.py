"""Progress bars, one look for all of them."""

import sys
from collections.abc import Iterator

from tqdm import tqdm

_LONG = 3000


def bar(
    total: int | None = None, description: str = "", unit: str = "it", initial: int = 0, leave: bool = False
) -> tqdm:
    """Make a progress bar on stderr; in a log file it writes a line every half minute, not ten a second."""
    interval, delay = (0.2, 0.0) if sys.stderr.isatty() else (30.0, 30.0)
    return tqdm(
        total=total, desc=description, unit=unit, initial=initial, leave=leave,
        mininterval=interval, delay=delay, dynamic_ncols=True, file=sys.stderr,
    )  # fmt: skip


def counted(numbers: range, description: str = "Reading pictures", unit: str = "picture") -> Iterator[int]:
    """Count along with a progress bar where that takes more than a second."""
    if len(numbers) < _LONG:
        yield from numbers
        return
    with bar(total=len(numbers), description=description, unit=unit) as progress:
        for number in numbers:
            yield number
            progress.update()

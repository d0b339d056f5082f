"""Bad rows: the first one ends the reading, or each is written down and left out."""

from collections.abc import Mapping

from fer_tf.errors import DataError


class RowErrors:
    """What an adapter found wrong with single rows or pictures.

    Attributes:
        lines: one ``place: reason`` a row or count left out; becomes ``FaceTable.skipped``.
    """

    def __init__(self, skip_bad: bool):
        self.skip_bad = skip_bad
        self.lines: list[str] = []

    def add(self, place: object, reason: object) -> None:
        """Note a bad row.

        Args:
            place: the file, or ``file:line`` with lines counted from 1.
            reason: what is wrong, and what would have been right.

        Raises:
            DataError: at once, unless bad rows are to be skipped.
        """
        if not self.skip_bad:
            raise DataError(f"{place}: {reason}")
        self.lines.append(f"{place}: {reason}")

    def count(self, place: object, counts: Mapping[str, int]) -> None:
        """Note how many faces the dataset itself marks as unusable, one line a reason; never raises."""
        self.lines += [f"{place}: left out {n:,} faces: {reason}." for reason, n in counts.items() if n]

    def check_any_left(self, count: int, place: object) -> None:
        """Raise a ``DataError`` when no good row is left in ``place``."""
        if not count:
            first = f" First of {len(self.lines)} bad rows: {self.lines[0]}" if self.lines else ""
            raise DataError(f"{place}: holds no readable face.{first}")

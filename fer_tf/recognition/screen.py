"""Results as lines of text: a table of the first faces, and a summary of all."""

from collections import Counter
from collections.abc import Iterator, Sequence

from fer_tf.recognition.records import Analysed, Face

# Lines of faces, and of what was skipped, after which they are only counted.
LINES = 40
LONGEST_NAME = 32


class Table:
    """Turns results into lines and counts them; keeps none."""

    def __init__(self, names: Sequence[str], moving: bool, lines: int = LINES):
        """Set the columns' widths.

        Args:
            names: sources that are to come; longer ones are cut in their middle.
            moving: whether there are videos, which have frames and times.
            lines: how many faces are shown.
        """
        self._width = min(LONGEST_NAME, max([len("source"), *(len(_printable(n)) for n in names)]))
        self._moving, self._most = moving, lines
        self.labels: Counter[str] = Counter()
        self.faces = self.pictures = self.empty = self.skipped = 0
        self.first_reason = ""

    def header(self) -> str:
        """Return the line above the first face."""
        frame = f"{'frame':>7} {'time':>8} {'who':>4} " if self._moving else f"{'face':>5} "
        return f"{'source':{self._width}} {frame}{'x,y w×h':>20} {'score':>5}  expression"

    def add(self, result: Analysed) -> Iterator[str]:
        """Count one picture's result and yield its lines."""
        if result.reason:
            self.skipped += 1
            self.first_reason = self.first_reason or f"{result.source}: {result.reason}"
            if self.skipped <= LINES:
                yield f"{self._name(result.source)} skipped: {_printable(result.reason)}"
            return
        self.pictures += 1
        if not result.faces:
            self.empty += 1
            # Of a video they are many, and counted only.
            if result.frame is None and self.empty <= LINES:
                yield f"{self._name(result.source)} no face found"
        for face in result.faces:
            self.faces += 1
            self.labels[face.label] += 1
            if self.faces == 1 and self._most:
                yield self.header()
            if self.faces <= self._most:
                yield self._line(face)

    def summary(self) -> Iterator[str]:
        """Yield what there was in all."""
        hidden = self.faces - self._most
        if hidden > 0 and self._most:
            yield f"… and {counted(hidden, 'more face')} (--lines shows more, --csv and --json write all)"
        noun = "frame" if self._moving else "picture"
        text = f"{counted(self.faces, 'face')} in {counted(self.pictures, noun)}"
        if self.labels:
            text += ": " + ", ".join(f"{name} {count:,}" for name, count in self.labels.most_common())
        text += f"; no face in {self.empty:,}" if self.empty else ""
        yield text + (f"; {self.skipped:,} skipped" if self.skipped else "")

    def _line(self, face: Face) -> str:
        x0, y0, x1, y1 = face.box
        where = f"{x0:.0f},{y0:.0f} {x1 - x0:.0f}×{y1 - y0:.0f}"
        if self._moving:
            frame = "" if face.frame is None else f"{face.frame:,}"
            time = "" if face.time is None else f"{face.time:.2f} s"
            who = face.index if face.track is None else face.track + 1
            place = f"{frame:>7} {time:>8} {who:>4} "
        else:
            place = f"{face.index + 1:>5} "
        score = "" if face.score is None else f"{face.score:.2f}"
        best = sorted(face.distribution.items(), key=lambda pair: -pair[1])[:3]
        shares = "  ".join(f"{name} {100 * p:.0f} %" for name, p in best)
        return f"{self._name(face.source)} {place}{where:>20} {score:>5}  {shares}"

    def _name(self, source: str) -> str:
        text = _printable(source)
        if len(text) > self._width:
            # The end of a path says more than its beginning.
            text = text[: self._width // 4] + "…" + text[len(text) - (self._width - self._width // 4 - 1) :]
        return f"{text:{self._width}}"


def counted(number: int, noun: str) -> str:
    """Return ``"1 face"``, ``"1,234 faces"``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _printable(text: str) -> str:
    """Escape what would move a terminal's cursor or cannot be encoded."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

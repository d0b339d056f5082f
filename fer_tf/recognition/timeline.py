"""How the expressions of a video go: distributions over time, in bins whose number is bounded."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from fer_tf.labels import LabelSet
from fer_tf.recognition.drawing import colours
from fer_tf.recognition.records import Face

BINS = 1024
PEOPLE = 4
# People of whom a crowd's timeline keeps count; those seen least are forgotten first.
KEPT = 64
FIRST_WIDTH = 0.02
INK = "#24292f"


class Timeline:
    """Mean distributions by person and time. A bin's width doubles whenever the video outgrows ``BINS`` of them."""

    def __init__(self, label_set: LabelSet):
        self.label_set, self.width, self._end = label_set, FIRST_WIDTH, 0.0
        # By person: bin → sum of distributions and, last, how many they are.
        self._bins: dict[int, dict[int, np.ndarray]] = {}

    def add(self, faces: Iterable[Face]) -> None:
        """Count the faces of a frame; those of photographs have no time and are left out."""
        for face in faces:
            if face.time is not None:
                self._end = max(self._end, face.time)
                while self._end >= BINS * self.width:
                    self._halve()
                bins = self._bins.setdefault(face.track or 0, {})
                row = np.append(list(face.distribution.values()), 1.0)
                place = max(0, int(face.time / self.width))
                bins[place] = bins[place] + row if place in bins else row
        if len(self._bins) > 2 * KEPT:
            self._bins = {track: self._bins[track] for track in self._most_seen(KEPT)}

    def people(self, most: int = PEOPLE) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Return who was seen most, in the order of their numbers.

        Returns:
            For each the number, the times (T,) of its bins' middles in seconds, and mean distributions (T, C).
        """
        return [(track, *self._series(track)) for track in sorted(self._most_seen(most))]

    def __len__(self) -> int:
        return len(self._bins)

    def _most_seen(self, most: int) -> list[int]:
        seen = {track: sum(row[-1] for row in bins.values()) for track, bins in self._bins.items()}
        return sorted(seen, key=lambda track: (-seen[track], track))[:most]

    def _series(self, track: int) -> tuple[np.ndarray, np.ndarray]:
        bins = self._bins[track]
        places = sorted(bins)
        rows = np.array([bins[p] for p in places])
        return (np.array(places) + 0.5) * self.width, rows[:, :-1] / rows[:, -1:]

    def _halve(self) -> None:
        self.width *= 2
        for track, bins in self._bins.items():
            merged: dict[int, np.ndarray] = {}
            for place, row in bins.items():
                merged[place // 2] = merged[place // 2] + row if place // 2 in merged else row
            self._bins[track] = merged


def draw(timeline: Timeline, title: str = "", gap: float = 1.0) -> Figure:
    """Draw stacked distributions over time, a row a person.

    Args:
        timeline: what was seen.
        title: what of.
        gap: seconds without a face that are left white.

    Returns:
        A figure that belongs to no window.
    """
    people = timeline.people()
    rows = max(1, len(people))
    figure = Figure(figsize=(10, 1.2 + 1.9 * rows), layout="constrained")
    all_axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    colour = colours(timeline.label_set.classes)
    for axes, (track, times, shares) in zip(all_axes, people, strict=False):
        for start, end in _runs(times, max(gap, 2.5 * timeline.width)):
            x, y = _widened(times[start:end], shares[start:end], timeline.width)
            axes.stackplot(x, 100 * y.T, colors=list(colour.values()), lw=0)
        axes.set_ylabel(f"face {track + 1}\n%")
    for axes in all_axes:
        axes.set(ylim=(0, 100), yticks=(0, 50, 100))
        axes.spines[["top", "right"]].set_visible(False)
    if not people:
        all_axes[0].text(0.5, 0.5, "no face found", transform=all_axes[0].transAxes, ha="center", color=INK)
    all_axes[-1].set_xlabel("time (s)")
    hidden = len(timeline) - len(people)
    more = f" ({hidden} more {'face' if hidden == 1 else 'faces'} seen for less time)" if hidden > 0 else ""
    all_axes[0].set_title(title + more, fontsize=10, loc="left")
    _legend(figure, colour)
    return figure


def _legend(figure: Figure, colour: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=c, label=name) for name, c in colour.items()]
    figure.legend(handles=handles[::-1], loc="outside right upper", frameon=False, fontsize=9)


def _runs(times: np.ndarray, gap: float) -> list[tuple[int, int]]:
    """Return start and end of the stretches without a gap."""
    cuts = np.flatnonzero(np.diff(times) > gap) + 1
    ends = [*cuts.tolist(), len(times)]
    return list(zip([0, *cuts.tolist()], ends, strict=True))


def _widened(times: np.ndarray, shares: np.ndarray, width: float) -> tuple[Sequence[float], np.ndarray]:
    """Make a single moment as wide as its bin, so that it is seen."""
    if len(times) > 1:
        return times, shares
    return [times[0] - width / 2, times[0] + width / 2], np.repeat(shares, 2, axis=0)

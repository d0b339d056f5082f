"""Figures of a membership audit."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_tf.reports.figures import COLORS, INK

# Beyond six attacks colors come again, with another dash.
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


def roc_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], non_members: int) -> Figure:
    """Draw the share of members found over the share of false alarms, both axes logarithmic.

    Linear axes would hide what matters: an attack that is sure of a few faces (arXiv 2112.03570).

    Args:
        curves: attack → false-positive rates and true-positive rates, each float (K,), ascending from 0 to 1; three
            of each are drawn as the one point between the corners.
        non_members: how many there are; below one of them there is nothing to see.
    """
    figure = Figure(figsize=(6.6, 5.2), layout="constrained")
    axes = figure.subplots()
    lowest = min(0.5 / non_members, 0.005)
    axes.plot([lowest, 1], [lowest, 1], color=INK, lw=0.9, ls=(0, (4, 3)), label="chance")
    for i, (name, (fpr, tpr)) in enumerate(curves.items()):
        dash, color = DASHES[i // len(COLORS) % len(DASHES)], COLORS[i % len(COLORS)]
        if len(fpr) == 3:  # one threshold: a point, for between it and the corners there is nothing to choose
            axes.plot(fpr[1], tpr[1], "o", ms=6, color=color, label=name)
            continue
        # The curve starts at 0 false alarms, which a logarithmic axis shows at its left end.
        left, bottom = np.maximum(fpr, lowest), np.maximum(tpr, lowest)
        axes.step(left, bottom, where="post", lw=1.6, ls=dash, color=color, label=name)
    axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(lowest, 1.03))
    axes.set(xlabel="non-members called members (FPR)", ylabel="members called members (TPR)")
    for most in (0.01, 0.001):
        if most > lowest:
            axes.axvline(most, color="#e1b4a0", lw=0.8, zorder=0)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _quiet(axes)
    return figure


def two_sides(members: np.ndarray, others: np.ndarray, name: str, bins: int = 50) -> Figure:
    """Draw how a number is distributed over members and over non-members.

    Args:
        members, others: float (N,) and (M,).
        name: of the number.
        bins: of the histogram, which spans the middle 99 % of all; what lies outside is in the first and last bin.
    """
    low, high = np.percentile(np.concatenate([members, others]), [0.5, 99.5])
    high = high if high > low else low + 1
    figure = Figure(figsize=(6.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for values, label, color in ((members, "members (training)", COLORS[1]), (others, "non-members", COLORS[0])):
        weights = np.full(len(values), 100 / len(values))
        axes.hist(
            np.clip(values, low, high), np.linspace(low, high, bins + 1), weights=weights, label=label, color=color,
            alpha=0.5, histtype="stepfilled", lw=1.2, edgecolor=color,
        )  # fmt: skip
    axes.set(xlabel=name, ylabel="share of faces, %")
    axes.legend(frameon=False, fontsize=8)
    _quiet(axes)
    return figure


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#eef0f2", lw=0.7)
    axes.set_axisbelow(True)

"""Draw figures of corruption, membership, uncertainty and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from fer_tf.evaluation.uncertainty import SplitPredictions, confidences, reliability_lines
from fer_tf.metrics.conformal import risk_coverage
from fer_tf.reports import figures
from fer_tf.reports.figures import COLORS, INK, PALE, quiet

PANELS_ACROSS = 4
MEANS = "mean of all corruptions"


@dataclass(frozen=True, eq=False)
class Example:
    """A face at growing severity.

    Attributes:
        name: what is done to it.
        images: uint8 (severities, H, W, 1 or 3), the first as it is.
        words: what the network says of each.
        right: bool (severities,).
    """

    name: str
    images: np.ndarray
    words: Sequence[str]
    right: np.ndarray


def severity_curves(accuracy: Mapping[str, pd.DataFrame], clean: float, overall: pd.DataFrame) -> Figure:
    """Draw accuracy by severity, a panel a group of corruptions and first one of the means.

    Args:
        accuracy: by group, columns corruptions, index severities from 1; values in 0..1.
        clean: that of the faces as they are, severity 0.
        overall: columns networks, index severities from 0; the mean over all corruptions.
    """
    panels = {MEANS: overall, **accuracy}
    down = -(-len(panels) // PANELS_ACROSS)
    across = min(PANELS_ACROSS, len(panels))
    figure = Figure(figsize=(0.6 + 3.1 * across, 0.4 + 2.9 * down), layout="constrained")
    cells = figure.subplots(down, across, sharey=True, squeeze=False).reshape(-1)
    for axes, (group, table) in zip(cells, panels.items(), strict=False):
        whole = table if 0 in table.index else pd.concat([pd.DataFrame(clean, index=[0], columns=table.columns), table])
        for i, column in enumerate(whole):
            style = {
                "color": COLORS[i % len(COLORS)],
                "ls": "--" if group == MEANS and i else "-",
            }
            axes.plot(whole.index, 100 * whole[column], marker="o", ms=3.5, lw=1.6, label=str(column), **style)
        axes.set_title(group, fontsize=10, loc="left")
        axes.legend(frameon=False, fontsize=7.5, loc="lower left")
        axes.set_ylim(0, 100)
        axes.set_xticks(whole.index)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e8eaed", lw=0.7)
        axes.set_axisbelow(True)
    for axes in cells[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    return figure


def growing(examples: Sequence[Example], blocks: int = 2) -> Figure:
    """Draw faces at growing severity, a line each, in blocks side by side; wrong answers are orange."""
    blocks = min(blocks, len(examples))
    lines, steps = -(-len(examples) // blocks), len(examples[0].images)
    figure = Figure(figsize=(0.4 + 1.12 * steps * blocks, 0.3 + 1.42 * lines), layout="constrained")
    parts = figure.subfigures(1, blocks, squeeze=False)[0]
    for block, part in enumerate(parts):
        cells = part.subplots(lines, steps, squeeze=False)
        for line in range(lines):
            number = block * lines + line
            if number < len(examples):
                _line(cells[line], examples[number])
            else:
                for axes in cells[line]:
                    axes.set_axis_off()
    return figure


def _line(cells: np.ndarray, example: Example) -> None:
    for step, axes in enumerate(cells):
        image = example.images[step]
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(PALE)
        right = example.right[step]
        axes.set_xlabel(example.words[step], fontsize=7.5, labelpad=2, color=INK if right else COLORS[1],
                        fontweight="normal" if right else "bold")  # fmt: skip
        axes.set_title(example.name if not step else f"{step}", fontsize=8, loc="left", pad=2)


def shift_map(rates: Mapping[tuple[int, int], float], others: Mapping[str, float]) -> Figure:
    """Draw flip rates: a map of shifts, and bars of other perturbations.

    Args:
        rates: by shift (right, down) in pixels, share of faces that flip.
        others: by name, the same.
    """
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    reach = max(max(abs(x), abs(y)) for x, y in rates)
    grid = np.full((2 * reach + 1, 2 * reach + 1), np.nan)
    for (x, y), rate in rates.items():
        grid[y + reach, x + reach] = 100 * rate
    grid[reach, reach] = 0
    highest = max([*rates.values(), *others.values(), 1e-9]) * 100
    left.imshow(grid, cmap="Blues", vmin=0, vmax=highest)
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            left.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=9,
                      color="white" if value > 0.55 * highest else INK)  # fmt: skip
    names = range(-reach, reach + 1)
    left.set_xticks(range(len(names)), names)
    left.set_yticks(range(len(names)), names)
    left.set(xlabel="pixels to the right", ylabel="pixels down")
    left.set_title("faces that flip when shifted, %", fontsize=10, loc="left")
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    _bars(right, others, highest)
    return figure


def _bars(axes: Axes, rates: Mapping[str, float], highest: float) -> None:
    values = [100 * rate for rate in rates.values()]
    axes.barh(range(len(values)), values, color=COLORS[0], height=0.6)
    for i, value in enumerate(values):
        axes.text(value + 0.02 * highest, i, f"{value:.1f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(values)), rates)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * highest)
    axes.set_title("when saved again as JPEG, %", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


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


__all__ = ["readable", "uncertainty_figures"]

_POINTS = 40
_SHARES = ("accuracy", "confidence", "ece", "coverage", "single", "empty", "worst_class", "aurc", "excess")


def uncertainty_figures(
    sets: pd.DataFrame, before: SplitPredictions, after: SplitPredictions, alpha: float = 0.1
) -> list[tuple[str, Figure]]:
    """Return headings and figures of answers on test.

    Args:
        sets: the table ``sets`` of ``fer_tf.evaluation.uncertainty.uncertainty_tables``.
        before: the answers as they are.
        after: the answers at the fitted temperature.
        alpha: share of conformal sets that may miss the right class.

    Returns:
        Reliability, accuracy over the share of faces answered for, and, where annotators disagree on some faces more
        than on others, coverage and size of the sets by disagreement.
    """
    reliability = figures.lines(reliability_lines(before, after), "confidence, %", "accuracy on test, %")
    count = len(after.labels)
    rows = np.unique(np.ceil(np.linspace(0.05, 1, _POINTS) * count).astype(int)) - 1
    risks = {name: risk_coverage(values, after.right)[1] for name, values in confidences(after).items()}
    kept = pd.DataFrame({name: 100 * (1 - risk[rows]) for name, risk in risks.items()}, 100 * (rows + 1) / count)
    answering = figures.lines(kept, "faces answered for, %", "accuracy of them, %")
    return [("Reliability", reliability), ("Accuracy over answers", answering), *_by_group(sets, alpha)]


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its shares in percent, rounded.

    Example:
        >>> readable(pd.DataFrame({"score": ["lac"], "coverage": [0.9], "size": [1.25]}))
          score  coverage %  size
        0   lac        90.0  1.25
    """
    names = [c for c in frame if c in _SHARES or c.startswith("accuracy of")]
    return frame.assign(**{c: 100 * frame[c] for c in names}).rename(columns={c: f"{c} %" for c in names}).round(3)


def _by_group(sets: pd.DataFrame, alpha: float) -> list[tuple[str, Figure]]:
    alike = sets[sets["scope"] == "all"]
    columns = ("coverage", "size", "faces")
    grid = {c: alike.pivot_table(index="group", columns="score", values=c, sort=False) for c in columns}
    if len(grid["size"]) < 2:
        return []
    error = 100 * (grid["coverage"] * (1 - grid["coverage"]) / grid["faces"]) ** 0.5
    promised = dict.fromkeys(error.index, 100 * (1 - alpha))
    coverage = figures.dots(
        100 * grid["coverage"], error, "sets with the right class, %", marks=promised, mark_name="promised"
    )
    size = figures.dots(grid["size"], 0 * grid["size"], "classes in a set")
    return [("Coverage by disagreement", coverage), ("Size by disagreement", size)]


def pareto(
    names: Sequence[str], cost: Sequence[float], accuracy: Sequence[float], cost_name: str, accuracy_name: str
) -> Figure:
    """Draw accuracy over cost, cost on a log axis; those that nothing beats in both are joined by a line.

    Args:
        names: one a point.
        cost: above 0, lower is better.
        accuracy: values in 0..1.
        cost_name, accuracy_name: labels of the axes.
    """
    cost, points = np.asarray(cost, float), 100 * np.asarray(accuracy, float)
    order = np.lexsort((-points, cost))
    front, best = [], -np.inf
    for i in order:
        if points[i] > best:
            front.append(i)
            best = points[i]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    for axis_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_formatter("{x:g}")
    axes.step(cost[front], points[front], where="post", color=COLORS[0], lw=1.2)
    others = np.setdiff1d(np.arange(len(points)), front)
    axes.scatter(cost[others], points[others], color=PALE, edgecolor=INK, lw=0.5, s=36, zorder=3)
    axes.scatter(cost[front], points[front], color=COLORS[0], s=42, zorder=4)
    axes.set(xlabel=cost_name, ylabel=f"{accuracy_name}, %")
    axes.margins(x=0.12)
    quiet(axes)
    places = zip(names, cost, points, strict=True)
    _apart(figure, [axes.annotate(n, (x, y), (4, 5), textcoords="offset points", fontsize=7.5) for n, x, y in places])
    return figure


def _apart(figure: Figure, labels: Sequence[Annotation]) -> None:
    """Move labels to another side of their points where they would lie on those before them."""
    figure.draw_without_rendering()
    taken = []
    for label in labels:
        for x, y, side in ((4, 5, "left"), (4, -11, "left"), (-4, 5, "right"), (-4, -11, "right")):
            label.set(position=(x, y), ha=side)
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)

"""Accuracy over cost: which networks nothing beats in both."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from fer_tf.reports.figures import COLORS, INK, PALE, quiet


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

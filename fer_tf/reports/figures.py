"""Draw the figures of a study."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by color-blind readers, too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PALE = "#c8ccd0"
INK = "#24292f"
# How far lines of one panel stand beside each other, as a share of x.
APART = 0.012


def learning_curves(histories: Mapping[str, pd.DataFrame], marked: int = len(COLORS)) -> Figure:
    """Draw validation accuracy and training loss by epoch.

    Args:
        histories: run name → table with ``epoch``, ``val_accuracy`` and ``loss``, best run first.
        marked: how many of the first runs have a color and a name; the others are pale.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(histories)
    for i, name in reversed(list(enumerate(names))):
        history = histories[name]
        named = i < min(marked, len(COLORS))
        style = {"color": COLORS[i], "lw": 2, "label": name} if named else {"color": PALE, "lw": 1}
        marker = "o" if len(history) < 2 else None
        left.plot(history["epoch"], 100 * history["val_accuracy"], marker=marker, **style)
        right.plot(history["epoch"], history["loss"], marker=marker, **style)
    left.set(xlabel="epoch", ylabel="validation accuracy (%)")
    right.set(xlabel="epoch", ylabel="training loss")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="outside right upper")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        quiet(axes)
    return figure


def accuracy_grid(accuracy: pd.DataFrame, title: str = "") -> Figure:
    """Draw accuracies as a grid, optimizers down and schedules across; empty cells were not run.

    Args:
        accuracy: values in 0..1, NaN where there is no run.
        title: what the values are.
    """
    rows, columns = accuracy.shape
    figure = Figure(figsize=(1.6 + 1.15 * columns, 1.1 + 0.42 * rows), layout="constrained")
    axes = figure.subplots()
    values = 100 * accuracy.to_numpy(float)
    filled = values[np.isfinite(values)]
    low, high = (filled.min(), filled.max()) if filled.size else (0.0, 1.0)
    axes.imshow(values, cmap="Blues", vmin=low - 0.35 * (high - low + 1), vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = value > low + 0.55 * (high - low)
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=9, color="white" if dark else INK,
                      fontweight="bold" if value == high else "normal")  # fmt: skip
    axes.set_xticks(range(columns), accuracy.columns, rotation=25, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(rows), accuracy.index)
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def differences(points: pd.DataFrame, x_name: str, title: str = "") -> Figure:
    """Draw differences from a baseline as bars with intervals, the best on top.

    Args:
        points: a row a bar; columns ``difference`` and ``half``, half of the interval's length, NaN for none.
        x_name: label of the axis.
        title: what is shown.
    """
    points = points.sort_values("difference", kind="stable")
    values, halves = points["difference"].to_numpy(), points["half"].fillna(0).to_numpy()
    figure = Figure(figsize=(8, 1.0 + 0.3 * len(points)), layout="constrained")
    axes = figure.subplots()
    colors = [COLORS[0] if v >= 0 else COLORS[1] for v in values]
    axes.barh(range(len(values)), values, xerr=halves, color=colors, height=0.7,
              error_kw={"ecolor": INK, "lw": 0.9, "capsize": 2})  # fmt: skip
    reach = max(np.abs(values).max(initial=0.1), 0.1)
    for i, (v, half) in enumerate(zip(values, halves, strict=True)):
        place = v + half if v >= 0 else v - half
        axes.annotate(f"{v:+.1f}", (place, i), xytext=(3 if v >= 0 else -3, 0), textcoords="offset points",
                      va="center", ha="left" if v >= 0 else "right", fontsize=8, color=INK)  # fmt: skip
    axes.set_yticks(range(len(values)), points.index)
    low, high = (values - halves).min(initial=0), (values + halves).max(initial=0)
    axes.set_xlim(min(low, 0) - 0.2 * reach, max(high, 0) + 0.2 * reach)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_xlabel(x_name)
    axes.set_title(title, fontsize=10, loc="left")
    quiet(axes)
    return figure


def confusion(matrix: np.ndarray | Sequence[Sequence[int]], classes: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix: rows are true classes, cells are percent of the row, counts below.

    Args:
        matrix: counts (C, C), rows true, columns predicted.
        classes: C names.
        title: whose matrix it is.
    """
    counts = np.asarray(matrix)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(1.5 + 0.75 * len(classes), 1.2 + 0.62 * len(classes)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        axes.text(j, i, f"{value:.0f}\n({counts[i, j]})", ha="center", va="center", fontsize=7.5,
                  color="white" if value > 55 else INK)  # fmt: skip
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def lines(
    values: pd.DataFrame, x_name: str, y_name: str, errors: pd.DataFrame | None = None, title: str = ""
) -> Figure:
    """Draw one line a column over the index.

    Args:
        values: numbers in the unit of ``y_name``; the index is x.
        x_name, y_name: labels of the axes.
        errors: half lengths of the error bars, same shape.
        title: what is shown.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    _draw_lines(axes, values, errors)
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8)
    return figure


def line_panels(
    values: Mapping[str, pd.DataFrame],
    x_name: str,
    y_name: str,
    errors: Mapping[str, pd.DataFrame] | None = None,
    reference: float | None = None,
) -> Figure:
    """Draw ``lines`` side by side on one scale, a panel an entry.

    Args:
        values: title of a panel → its numbers, as ``lines`` takes them; the same columns in all.
        x_name, y_name: labels of the axes.
        errors: half lengths of the error bars, same keys and shapes.
        reference: where a dashed line goes through all panels, such as chance.
    """
    figure = Figure(figsize=(1.2 + 3.6 * len(values), 3.9), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axes, (title, frame) in zip(panels, values.items(), strict=True):
        if reference is not None:
            axes.axhline(reference, color=INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
        _draw_lines(axes, frame, None if errors is None else errors[title], apart=APART)
        axes.set_xlabel(x_name)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xticks(frame.index)
    panels[0].set_ylabel(y_name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=6, frameon=False, fontsize=8)
    return figure


def log_panels(
    values: Mapping[str, pd.DataFrame], y_name: str, notes: Mapping[str, Mapping[str, str]] | None = None
) -> Figure:
    """Draw costs over what they depend on, side by side on one scale, all axes logarithmic.

    Args:
        values: label of x → its numbers, all above 0; the index is x, a line a column, NaN where there is none. The
            same columns in all.
        y_name: label of the y axis.
        notes: label of x → column → what stands at the end of its line, such as a slope.
    """
    figure = Figure(figsize=(1.2 + 2.7 * len(values), 3.9), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axes, (x_name, frame) in zip(panels, values.items(), strict=True):
        for i, column in enumerate(frame):
            line, color = frame[column].dropna(), COLORS[i % len(COLORS)]
            axes.plot(line.index, line, marker="o", ms=4.5, lw=1.6, color=color, label=str(column))
            note = (notes or {}).get(x_name, {}).get(column)
            if note and len(line):
                axes.annotate(note, (line.index[-1], line.iloc[-1]), xytext=(6, -3), textcoords="offset points",
                              fontsize=8, color=color)  # fmt: skip
        axes.set(xlabel=x_name, xscale="log", yscale="log")
        axes.set_xticks(frame.index, [f"{x:g}" for x in frame.index], rotation=45)
        axes.minorticks_off()
        axes.margins(x=0.2)
        quiet(axes)
    panels[0].set_ylabel(y_name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=6, frameon=False, fontsize=8)
    return figure


def _draw_lines(axes, values: pd.DataFrame, errors: pd.DataFrame | None, apart: float = 0) -> None:
    """Draw a line a column, beside each other by ``apart`` of the range of x, so that their error bars can be told."""
    step = apart * (np.ptp(values.index.to_numpy(float)) or 1.0)
    for i, column in enumerate(values):
        bars = None if errors is None else errors[column]
        x = values.index + step * (i - (values.shape[1] - 1) / 2) if apart else values.index
        axes.errorbar(x, values[column], yerr=bars, marker="o", ms=4.5, lw=1.6, capsize=3,
                      color=COLORS[i % len(COLORS)], label=str(column))  # fmt: skip
    quiet(axes)


def dots(
    values: pd.DataFrame,
    errors: pd.DataFrame,
    x_name: str,
    baseline: str | None = None,
    marks: Mapping[str, float] | None = None,
    mark_name: str = "",
) -> Figure:
    """Draw a dot for each row and column, one line a row, with error bars.

    Args:
        values: numbers in the unit of ``x_name``; rows from top to bottom, a color a column.
        errors: half lengths of the error bars, same shape; NaN for none.
        x_name: label of the axis.
        baseline: row whose values are drawn as vertical lines through all rows.
        marks: hollow diamonds at rows, such as published values.
        mark_name: what they are.
    """
    rows = list(values.index)
    figure = Figure(figsize=(8.5, 1.5 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    marked = {row: value for row, value in (marks or {}).items() if row in rows}
    if marked:
        axes.scatter(list(marked.values()), [rows.index(row) for row in marked], marker="D", s=42, facecolor="white",
                     edgecolor=INK, lw=1.2, label=mark_name, zorder=3)  # fmt: skip
    if baseline in rows:
        for column, color in zip(values, COLORS, strict=False):
            axes.axvline(values.loc[baseline, column], color=color, lw=0.9, ls=(0, (4, 3)), alpha=0.7, zorder=1)
    _draw_dots(axes, values, errors, [f"{row} (dashed)" if row == baseline else row for row in rows])
    axes.set_xlabel(x_name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return figure


def dot_panels(
    values: Mapping[str, pd.DataFrame], errors: Mapping[str, pd.DataFrame], x_name: str, reference: float | None = None
) -> Figure:
    """Draw dots with error bars in panels that stand above each other on one scale.

    Args:
        values: title of a panel → numbers as ``dots`` takes them; a panel of several columns has a legend beside it.
        errors: half lengths of the error bars, same keys and shapes; NaN for none.
        x_name: label of the axis that the panels share.
        reference: where a dashed line goes through all panels, such as the winner.
    """
    heights = [len(frame) + 1 for frame in values.values()]
    figure = Figure(figsize=(8.5, 0.8 + 0.29 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, frame) in zip(panels, values.items(), strict=True):
        if reference is not None:
            axes.axvline(reference, color=INK, lw=0.9, ls=(0, (4, 3)), alpha=0.7, zorder=1)
        _draw_dots(axes, frame, errors[title], frame.index)
        axes.set_title(title, fontsize=10, loc="left")
        if frame.shape[1] > 1:
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel(x_name)
    return figure


def _draw_dots(axes, values: pd.DataFrame, errors: pd.DataFrame, labels: Sequence[str]) -> None:
    """Draw a row's dots below each other, a color a column, and name the rows."""
    for i, column in enumerate(values):
        shift, color = 0.22 * (i - (values.shape[1] - 1) / 2), COLORS[i % len(COLORS)]
        axes.errorbar(values[column], np.arange(len(values)) + shift, xerr=errors[column].fillna(0), fmt="o", ms=6.5,
                      capsize=3, lw=1.6, color=color, label=str(column), zorder=4)  # fmt: skip
    axes.set_yticks(range(len(values)), labels)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="both", color="#e8eaed", lw=0.7)
    axes.set_axisbelow(True)


def quiet(axes) -> None:
    """Leave two of a panel's four borders, and a pale grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e8eaed", lw=0.7)
    axes.set_axisbelow(True)

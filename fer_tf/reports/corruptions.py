"""Draw figures of the corruption benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_tf.reports.figures import COLORS, INK, PALE

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

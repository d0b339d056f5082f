"""Draw reliability, accuracy when answering less, and conformal sets."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf.evaluation.uncertainty import SplitPredictions, confidences, reliability_lines
from fer_tf.metrics.selective import risk_coverage
from fer_tf.reports import figures

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

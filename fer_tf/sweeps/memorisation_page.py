"""Tables and figures of the study of augmentation against wrong labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from fer_tf import callstring, models
from fer_tf.models.complexity import measure
from fer_tf.progress import bar
from fer_tf.reports import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X = "wrong training labels, %"


def sizes_table(
    studied: Sequence[str], baselines: Sequence[str], shape: tuple[int, int, int], num_classes: int
) -> pd.DataFrame:
    """Return what networks cost, and what the studied ones save, all at one size of face.

    Args:
        studied: call strings; each has a column with the share of a row's MACs that it saves, in percent; none
            where it computes more.
        baselines: call strings of further networks.
        shape: (H, W, channels) of a face.
        num_classes: C.
    """
    texts = list(dict.fromkeys([*studied, *baselines]))
    with bar(len(texts), "sizes", "network") as ticks:
        sizes = {}
        for text in texts:
            sizes[text] = measure(models.get(text, num_classes, shape))
            ticks.update()
    table = pd.DataFrame({"network": list(sizes)})
    table["parameters"] = [size.parameters for size in sizes.values()]
    table["macs"] = macs = pd.Series([size.macs for size in sizes.values()])
    for text in studied:
        saved = 100 * (1 - sizes[text].macs / macs)
        table[f"MACs that {callstring.parse(text)[0]} saves, %"] = saved.where(saved > 0)
    return table


def readable(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return ``memorisation_study.summary`` for people, in two tables with headings: percent, millions, short names."""
    condition = table[["network", "augmentation"]].copy()
    condition["wrong labels"] = [f"{rate:.0%}" for rate in table["wrong_labels"]]
    shares = {
        "accuracy": "test accuracy", "macro_f1": "macro-F1", "train_accuracy": "train accuracy", "gap": "gap",
        "memorised": "memorised", "memorised_by_chance": "by chance",
    }  # fmt: skip
    learned, given_away = condition.copy(), condition.copy()
    for column, name in shares.items():
        learned[name] = 100 * table[column]
    learned["parameters, M"], learned["MACs, M"] = table["parameters"] / 1e6, table["macs"] / 1e6
    areas = {"auc": "AUC", "auc_right_labels": "of right labels", "auc_wrong_labels": "of wrong labels"}
    for column, name in areas.items():
        given_away[name] = [None if pd.isna(value) else f"{value:.3f}" for value in table[column]]
    given_away["TPR at 1 % FPR"] = 100 * table["tpr_at_1_percent"]
    given_away["balanced accuracy"] = 100 * table["balanced_accuracy"]
    for column in ("members", "fp", "fn"):
        given_away[column.upper() if column != "members" else column] = table[column].round().astype(int)
    return [("What is learned", learned), ("What the loss attack finds", given_away)]


def charts(table: pd.DataFrame) -> "list[tuple[str, Figure]]":
    """Return the figures: over the share of wrong labels, a line an augmentation, a panel a network."""
    memorised = table.assign(excess=table["memorised"] - table["memorised_by_chance"])
    noisy = memorised[memorised["wrong_labels"] > 0]
    pictures = [
        ("Accuracy over wrong labels", _panels(table, "accuracy", "accuracy_sem", 100, "accuracy on test, %")),
        ("Train to test gap", _panels(table, "gap", "gap_sem", 100, "train − test accuracy, points", 0)),
        ("AUC of the loss attack", _panels(table, "auc", "auc_error", 1, "AUC of the loss attack", 0.5)),
    ]
    if len(noisy):
        excess = _panels(noisy, "excess", "memorised_sem", 100, "wrong labels repeated, points above chance", 0)
        pictures.insert(2, ("Memorised wrong labels", excess))
    return pictures


def _panels(
    table: pd.DataFrame, column: str, error: str, factor: float, name: str, reference: float | None = None
) -> "Figure":
    values, errors = {}, {}
    for network, rows in table.groupby("network", sort=False):
        wide = rows.assign(x=100 * rows["wrong_labels"]).pivot(index="x", columns="augmentation")
        # The order in which they are compared, not the alphabet's.
        order = list(dict.fromkeys(rows["augmentation"]))
        values[network], errors[network] = factor * wide[column][order], factor * wide[error][order]
    return figures.line_panels(values, X, name, errors, reference)

"""Define the optimizer study."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import registry
from fer_tf.errors import UserError
from fer_tf.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_tf.tuning.results import Result

# The study ran 300 epochs; its schedules' arguments were for that length.
STUDY_EPOCHS = 300


def schedules(epochs: int) -> list[str]:
    """Return the study's schedules and warm-up cosine as call strings, constant first.

    From 100 epochs on they have the study's own arguments. Shorter runs have them compressed, so that a schedule does
    in the run what its name says: the rate halves four times, periods end in a trough, plateau acts within the run.

    Args:
        epochs: length of the run.
    """
    if epochs >= 100:
        step, cosine, restarts, plateau = "step", "cosine", "warm_restarts", "plateau"
    else:
        third = max(1, math.ceil(epochs / 3))
        step = f"step(every={max(1, epochs // 5)})"
        cosine, restarts = f"cosine(t_max={third})", f"warm_restarts(t_0={third})"
        plateau = f"plateau(factor=0.5, patience={round(epochs / 20)})"
    warmup = f"warmup_cosine(warmup={min(5, epochs / 10):g})"
    return ["constant", step, plateau, cosine, restarts, "one_cycle", warmup]


def grid(kind: str, epochs: int) -> list[tuple[str, str]]:
    """Return the (optimizer, schedule) pairs to run.

    Args:
        kind: ``cross`` (every optimizer at a constant rate, every schedule with Nesterov momentum) or ``full``
            (and every optimizer but the schedule-free with plateau, as in the study's figure).
        epochs: length of a run, for the schedules' arguments.
    """
    constant, *others = schedules(epochs)
    pairs = [(optimizer, constant) for optimizer in OPTIMIZERS]
    pairs += [("nesterov", schedule) for schedule in others]
    if kind == "full":
        plateau = next(s for s in others if s.startswith("plateau"))
        # Schedule-free averages assume a rate that does not fall.
        pairs += [(o, plateau) for o in OPTIMIZERS if o not in ("nesterov", "schedule_free_adamw")]
    return pairs


def settings(optimizer: str, rate: str, decay: float) -> dict[str, Any]:
    """Return an optimizer's part of a configuration: its rate, and the decay that belongs to its name.

    Args:
        optimizer: name in ``OPTIMIZERS``.
        rate: ``own`` (the row's usual rate), ``study`` (the study's 0.01 where it had the optimizer, else the usual
            one) or a number.
        decay: strength; coupled or decoupled as the row says.

    Raises:
        UserError: ``rate`` is none of these.
    """
    facts = OPTIMIZERS[optimizer].facts
    if rate == "study":
        value = facts.get("study_learning_rate", facts["learning_rate"])
    else:
        try:
            value = facts["learning_rate"] if rate == "own" else float(rate)
        except ValueError:
            raise UserError(f"Unknown learning rate {rate!r}. Expected own, study or a number.") from None
    kind = {"coupled": "l2", "decoupled": "weight_decay"}[facts["decay"]]
    # Decoupled decay is scaled by the learning rate: the same pull per step as coupled decay at SGD's 0.01.
    strength = decay if kind == "l2" else decay * 0.01 / value
    return {"optimizer": optimizer, "learning_rate": value, kind: strength}


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write the study's page, figures and winner."""
    from fer_tf.tuning import study_page

    return study_page.write(results, out, "VGG optimizer study", charts)


def charts(results: "Sequence[Result]") -> "list[tuple[str, Figure]]":
    """Return the figure of test accuracies: optimizers at the schedules that several have, then each one's schedules.

    Only pairs that ran have a place: the grid of all optimizers and schedules would be mostly empty.

    Args:
        results: finished runs.
    """
    import pandas as pd

    from fer_tf.reports import figures
    from fer_tf.tuning import study_page

    ranking = study_page.Ranking.of(results)
    pairs = pd.DataFrame(
        [(s.runs[0].config.optimizer, registry.parse(s.runs[0].config.schedule)[0]) for s in ranking.settings],
        columns=["optimizer", "schedule"],
    )
    pairs["accuracy"] = [100 * s.table["test_accuracy"].mean() for s in ranking.settings]
    pairs["half"] = math.nan if ranking.compared is None else 100 * ranking.compared["half"].to_numpy()
    shared = [name for name, count in pairs["schedule"].value_counts(sort=False).items() if count > 1]
    panels = {}
    if shared:
        what = "at a constant rate" if shared == ["constant"] else "by schedule"
        panels[f"Optimizers {what}"] = pairs[pairs["schedule"].isin(shared)].pivot(
            index="optimizer", columns="schedule"
        )
    for optimizer, rows in pairs.groupby("optimizer", sort=False):
        if not rows["schedule"].isin(shared).all():
            panels[f"Schedules of {optimizer}"] = rows.pivot(index="schedule", columns="optimizer")
    if not panels:
        return []
    sort = {title: frame["accuracy"].max(axis=1).sort_values(ascending=False).index for title, frame in panels.items()}
    values, halves = ({t: f[column].loc[sort[t]] for t, f in panels.items()} for column in ("accuracy", "half"))
    faces = results[0].metrics["test"]["faces"]
    figure = figures.dot_panels(
        values, halves, f"test accuracy (%), {faces:,} faces, 95 % intervals; dashed: the winner on validation",
        pairs["accuracy"].iloc[0],
    )  # fmt: skip
    return [("Accuracy by optimizer and schedule", figure)]

"""The optimiser study: which pairs run, at which rates, and what its page shows (arXiv 2105.03588)."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import callstring
from fer_tf.errors import UserError
from fer_tf.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_tf.sweeps.runner import Result

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
        kind: ``cross`` (every optimiser at a constant rate, every schedule with Nesterov momentum) or ``full``
            (and every optimiser but the schedule-free with plateau, as in the study's figure).
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
    """Return an optimiser's part of a configuration: its rate, and the decay that belongs to its name.

    Args:
        optimizer: name in ``OPTIMIZERS``.
        rate: ``own`` (the row's usual rate), ``study`` (the study's 0.01 where it had the optimiser, else the usual
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
    from fer_tf.sweeps import study_page

    return study_page.write(results, out, "VGG optimisation study", _charts)


def _charts(results: "Sequence[Result]") -> "list[tuple[str, Figure]]":
    import pandas as pd

    from fer_tf.reports import figures

    rows = [
        (r.config.optimizer, callstring.parse(r.config.schedule)[0], r.metrics["val_accuracy"])
        for r in results
        if r.metrics
    ]
    table = pd.DataFrame(rows, columns=["optimizer", "schedule", "accuracy"])
    means = table.pivot_table("accuracy", "optimizer", "schedule", aggfunc="mean", sort=False)
    means = means.loc[means.max(axis=1).sort_values(ascending=False, kind="stable").index]
    figure = figures.accuracy_grid(means, "validation accuracy (%), mean over seeds")
    return [("Accuracy by optimiser and schedule", figure)]

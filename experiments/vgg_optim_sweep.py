"""Compare optimizers and learning-rate schedules for a VGG on FER2013.

  python experiments/vgg_optim_sweep.py                       built-in faces, 3.7 minutes on 2 cores
  python experiments/vgg_optim_sweep.py --only 'nesterov-*'   the schedules alone; --list shows the runs
  python experiments/vgg_optim_sweep.py --dataset fer2013 --data DIR --model vgg --width 1 --epochs 300 \\
      --batch-size 64 --grid full --learning-rate study --augment study --view ten_crop --jit       for a GPU

Every optimizer runs at a constant rate, and SGD with Nesterov momentum with every schedule. Runs choose their epoch on
validation and score test once; the five best on validation are then trained with a second seed. Stop it at any moment
and start it again: finished runs are kept, the interrupted one continues. On built-in faces the best runs name 88 % of
the test faces, the worst 78 %. Figures: experiments/results/vgg_optim_sweep.md.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from fer_tf import registry, reports, tuning
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.tuning import commandline, recipes

# How many of the leading runs have a second seed, which tells luck from quality.
FINALISTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("study").add_argument
    group("--grid", choices=("cross", "full"), default="cross", help="which pairs run (default cross)")
    group("--learning-rate", default="own", metavar="own|study|RATE",
          help="own: each optimizer's usual one; study: 0.01 for its seven (default own)")  # fmt: skip
    group("--decay", type=float, default=1e-4, help="weight decay of every run (default 1e-4)")
    group("--dropout", type=float, default=0.2, help="default 0.2")
    group("--augment", metavar="PRESET|OPS",
          help="preset, or call strings separated by ';' (default light; flip() for drawn faces)")  # fmt: skip
    group("--finalists", type=int, metavar="N",
          help=f"how many of the best get a second seed (default {FINALISTS}; --quick and --search: none)")  # fmt: skip


def grid(kind: str, epochs: int) -> list[tuple[str, str]]:
    """Return the (optimizer, schedule) pairs: each optimizer at a constant rate, each schedule with Nesterov momentum.

    ``full`` adds plateau for every optimizer but the schedule-free, as in the study's figure.
    """
    constant, *others = recipes.schedules(epochs)
    pairs = [(optimizer, constant) for optimizer in OPTIMIZERS] + [("nesterov", schedule) for schedule in others]
    if kind == "full":
        plateau = next(s for s in others if s.startswith("plateau"))
        # Schedule-free averages assume a rate that does not fall.
        pairs += [(o, plateau) for o in OPTIMIZERS if o not in ("nesterov", "schedule_free_adamw")]
    return pairs


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for each pair and, once all have ended, the leading ones with a second seed."""
    pairs = {
        f"{optimizer}-{schedule.partition('(')[0]}": {
            **recipes.optimizer_settings(optimizer, options.learning_rate, options.decay), "schedule": schedule
        }
        for optimizer, schedule in grid(options.grid, options.epochs)
    }  # fmt: skip
    first = recipes.runs(
        options, pairs, model=recipes.sized(options.model, options.width), dropout=options.dropout,
        augment=recipes.split_calls(options.augment or ("light" if options.data else "flip()")),
    )  # fmt: skip
    count = (0 if options.quick else FINALISTS) if options.finalists is None else options.finalists
    if not count or options.search or len(options.seeds) > 1:
        return first
    return first + tuning.runner.leading(first, options.out, count, options.seeds[0] + 1)


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Draw test accuracies: optimizers at the schedules that several have, then each one's schedules."""
    import pandas as pd

    ranking = tuning.study_page.Ranking.of(results)
    pairs = pd.DataFrame(
        [(s.runs[0].config.optimizer, registry.parse(s.runs[0].config.schedule)[0]) for s in ranking.settings],
        columns=["optimizer", "schedule"],
    )
    pairs["accuracy"] = [100 * s.table["test_accuracy"].mean() for s in ranking.settings]
    pairs["half"] = math.nan if ranking.compared is None else 100 * ranking.compared["half"].to_numpy()
    # Only pairs that ran have a place: the grid of all optimizers and schedules would be mostly empty.
    shared = [name for name, count in pairs["schedule"].value_counts(sort=False).items() if count > 1]
    panels, what = {}, "at a constant rate" if shared == ["constant"] else "by schedule"
    if shared:
        several = pairs[pairs["schedule"].isin(shared)]
        panels[f"Optimizers {what}"] = several.pivot(index="optimizer", columns="schedule")
    for optimizer, rows in pairs.groupby("optimizer", sort=False):
        if not rows["schedule"].isin(shared).all():
            panels[f"Schedules of {optimizer}"] = rows.pivot(index="schedule", columns="optimizer")
    sort = {title: frame["accuracy"].max(axis=1).sort_values(ascending=False).index for title, frame in panels.items()}
    values, halves = ({t: f[column].loc[sort[t]] for t, f in panels.items()} for column in ("accuracy", "half"))
    faces = results[0].metrics["test"]["faces"]
    title = f"test accuracy (%), {faces:,} faces, 95 % intervals; dashed: the winner on validation"
    figure = reports.figures.dot_panels(values, halves, title, pairs["accuracy"].iloc[0])
    return {"charts": [("Accuracy by optimizer and schedule", figure)]}


DEFAULTS = {**commandline.BUILT_IN, "space": "rate,decay,augment,dropout"}
STUDY = commandline.Study(
    "vgg_optim_sweep", "VGG optimizer study", __doc__, configs, report, add_arguments, DEFAULTS
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)

"""Which optimizer and which learning-rate schedule suit a VGG on FER2013? (arXiv 2105.03588, and what came since)

  python experiments/vgg_optim_sweep.py                       built-in faces, 3.7 minutes on 2 cores
  python experiments/vgg_optim_sweep.py --list                which runs there are
  python experiments/vgg_optim_sweep.py --only 'nesterov-*'   the schedules alone
  python experiments/vgg_optim_sweep.py --dataset fer2013 --data DIR --model vgg --width 1 --epochs 300 \\
      --batch-size 64 --grid full --learning-rate study --augment study --view ten_crop --jit
                                                              the study's own size (for a GPU)

Every optimizer runs at a constant rate, and SGD with Nesterov momentum with every schedule; --grid full adds the
plateau schedule for every optimizer, as in the study's figure. Runs choose their epoch on validation and score test
once; the five best on validation are then trained with a second seed. Stop it at any moment and start it again:
finished runs are kept, the interrupted one continues.

Writes results.csv, report.html (ranking with intervals, and which differences are real), results.md and winner.keras
into --out. On built-in faces the best runs name 88 % of the test faces, the worst 78 %.
Figures: experiments/results/vgg_optim_sweep.md.
"""

import argparse
from dataclasses import replace

from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, optimizer_study

# How many of the leading runs have a second seed, which tells luck from quality.
FINALISTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("study")
    group.add_argument("--grid", choices=("cross", "full"), default="cross", help="which pairs run (default cross)")
    group.add_argument("--learning-rate", default="own", metavar="own|study|RATE",
                       help="own: each optimizer's usual one; study: 0.01 for its seven (default own)")  # fmt: skip
    group.add_argument("--decay", type=float, default=1e-4, help="weight decay of every run (default 1e-4)")
    group.add_argument("--dropout", type=float, default=0.2, help="default 0.2")
    group.add_argument("--augment", metavar="PRESET|OPS",
                       help="none, light, study, strong, or call strings separated by ';' (default light; flip() for "
                       "drawn faces)")  # fmt: skip
    group.add_argument("--finalists", type=int, metavar="N",
                       help="after all runs of one seed, how many of the best on validation are trained with a second "
                       f"one (default {FINALISTS}; --quick and --search: none)")  # fmt: skip


def configs(options: argparse.Namespace) -> list[RunConfig]:
    base = RunConfig(
        name="base",
        model=commandline.sized(options.model, options.width),
        dropout=options.dropout,
        augment=commandline.augmentations(options.augment or ("light" if options.data else "flip()")),
        **commandline.shared_settings(options),
    )
    pairs = optimizer_study.grid(options.grid, options.epochs)
    runs = [
        replace(base, **optimizer_study.settings(optimizer, options.learning_rate, options.decay),
                schedule=schedule, name=f"{optimizer}-{schedule.partition('(')[0]}")
        for optimizer, schedule in pairs
    ]  # fmt: skip
    first = commandline.over_seeds(runs, options.seeds)
    return [*first, *_finalists(first, options)]


def _finalists(runs: list[RunConfig], options: argparse.Namespace) -> list[RunConfig]:
    """Return the leading runs with a second seed, once the first pass has ended."""
    count = options.finalists
    if count is None:
        count = 0 if options.quick else FINALISTS
    if not count or options.search or len(options.seeds) > 1:
        return []
    from fer_tf.tuning import results, runner

    folders = [runner.run_folder(config, options.out) for config in runs]
    return results.leading(runs, folders, count, options.seeds[0] + 1)


STUDY = commandline.Study(
    name="vgg_optim_sweep",
    description=__doc__,
    configs=configs,
    report=optimizer_study.report,
    add_arguments=add_arguments,
    defaults={**commandline.BUILT_IN, "space": "rate,decay,augment,dropout"},
)

if __name__ == "__main__":
    commandline.main(STUDY)

"""Does Self-Cure Network stand wrong labels better than plain training?

  python experiments/noisy_labels.py --quick                             built-in faces, two epochs
  python experiments/noisy_labels.py --dataset fer2013 --data DIR --seeds 0,1,2

A share of the training labels (0, 10, 20, 30 %) is replaced by another class, each with the same chance; validation and
test keep theirs. The same trunk is trained plain (cross-entropy), as SCN without relabelling, and as SCN with it
(arXiv 2002.10392). Relabel precision is the share of the relabelled faces whose new label is the one before the noise;
where the noise left a face alone, its own label counts as right.

Writes results.csv, noise.csv (mean and standard error over the seeds), report.html.
Figures: experiments/results/noisy_labels.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

    from fer_tf.sweeps.runner import Result

RATES = (0.0, 0.1, 0.2, 0.3)


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return every way at every rate of noise."""
    settings = commandline.shared_settings(options)
    start = max(2, round(options.epochs * options.relabel_from))
    scn = f"scn(margin=0.07, relabel_from={start}, scope={options.scope!r}"
    ways = {"plain": "classification", "rank only": f"scn(margin=0.07, relabel_from={options.epochs + 1})"}
    ways["scn"] = f"{scn})"
    runs = [
        RunConfig(
            name=f"{way} {rate:.0%}", model=commandline.sized(options.model, options.width), objective=objective,
            label_noise=rate, optimizer="adam", learning_rate=options.learning_rate, l2=1e-4, augment=("light",),
            schedule="exponential(factor=0.9)", **settings,
        )
        for rate in RATES
        for way, objective in ways.items()
    ]  # fmt: skip
    return commandline.over_seeds(runs, options.seeds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--learning-rate", type=float, default=0.001, help="of Adam (default %(default)s)")
    group("--relabel-from", type=float, default=0.5, metavar="SHARE",
          help="relabel after this share of the epochs; SCN: 10 of 70 (default %(default)s)")  # fmt: skip
    group("--scope", default="all", help="relabel faces of all weights, or of the low group only (default %(default)s)")


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write accuracy by rate of noise, the page and the winner."""
    from fer_tf.io import atomic
    from fer_tf.reports import figures
    from fer_tf.sweeps import study_page

    table = _table([r for r in results if r.metrics])
    with atomic.atomic_write(out / "noise.csv") as part:
        table.to_csv(part)
    mean, error = (100 * table[c].unstack("way") for c in ("test_accuracy", "standard_error"))
    mean.index = error.index = 100 * mean.index
    chart = figures.lines(mean, "wrong training labels, %", "accuracy on test, %", error)
    charts = [("Accuracy under label noise", chart)]
    return [*study_page.write(results, out, "Noisy labels", lambda _: charts), out / "noise.csv"]


def _table(results: "Sequence[Result]") -> "pd.DataFrame":
    """Return mean, standard error and relabel precision by rate and way."""
    import pandas as pd

    rows = [
        {
            "way": r.config.name.split("%")[0].rsplit(" ", 1)[0], "rate": r.config.label_noise,
            "test_accuracy": r.metrics["test"]["accuracy"], "val_accuracy": r.metrics["val_accuracy"],
            **_relabelling(r),
        }
        for r in results
    ]  # fmt: skip
    groups = pd.DataFrame(rows).groupby(["rate", "way"])
    table = groups.mean()
    table["standard_error"] = groups["test_accuracy"].sem()
    table["seeds"] = groups.size()
    return table


def _relabelling(result: "Result") -> dict[str, float]:
    """Return how many faces were relabelled, and how many of them rightly."""
    import pandas as pd

    from fer_tf.training.objectives.scn import RELABELLED
    from fer_tf.training.tables import load_tables

    path = result.folder / RELABELLED
    if not path.is_file():
        return {"relabelled": float("nan"), "relabel_precision": float("nan")}
    changed = pd.read_csv(path, dtype={"id": str})
    config = RunConfig.from_json({**result.config.to_json(), "label_noise": 0.0})
    clean = load_tables(config)["train"]
    label = dict(zip(clean.ids.tolist(), (clean.label_set.classes[i] for i in clean.labels), strict=True))
    right = [label[i] == new for i, new in zip(changed["id"], changed["new_class"], strict=True)]
    return {"relabelled": len(right), "relabel_precision": sum(right) / len(right) if right else float("nan")}


STUDY = commandline.Study(
    name="noisy_labels",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"model": "scn(depth=1, stem='strided')", "width": 0.25, "epochs": 10, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)

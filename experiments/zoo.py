"""Every network on the same faces with the same budget: accuracy, size, work and time.

  python experiments/zoo.py --quick                                      built-in faces, two epochs
  python experiments/zoo.py --dataset fer2013 --data DIR                 real faces

Each network is the small configuration of its row in fer_tf.models (48×48 gray faces) at --width of its channels,
trained from scratch for its own objective (SCN, DAN and RAN with their losses). Parameters, multiply-accumulates and
latency (batch 1, compiled, on the threads that TensorFlow was given) are of what was trained.

Writes results.csv, zoo.csv, report.html with accuracy over latency, and winner.keras into --out. Figures:
experiments/results/zoo.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import callstring
from fer_tf.models import MODELS, small_configuration
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_tf.sweeps.runner import Result

# Their objectives need no more than labels.
OWN = {"scn": "scn", "landmark_scn": "scn", "dan": "dan", "ran": "ran"}
# Two networks in one: experiments/fusion.py.
LEFT_OUT = ("fusion",)


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return one run a network."""
    settings = commandline.shared_settings(options)
    runs = [
        RunConfig(
            name=name,
            model=narrowed(small_configuration(name), options.width),
            objective=OWN.get(name, "classification"),
            optimizer="adamw",
            learning_rate=options.learning_rate,
            weight_decay=0.05,
            schedule=f"warmup_cosine(warmup={min(1, options.epochs / 10):g})",
            augment=("light",),
            **settings,
        )
        for name in MODELS
        if name not in LEFT_OUT
    ]
    return commandline.over_seeds(runs, options.seeds)


def narrowed(small: str, width: float) -> str:
    """Return a small configuration at ``width`` of its own channels."""
    name, keywords = callstring.parse(small)
    return callstring.render(name, {**keywords, "width": width * keywords.get("width", 1)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    parser.add_argument("--learning-rate", type=float, default=0.002, help="of AdamW (default %(default)s)")


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Measure the trained networks; write the table, the page and the winner."""
    import pandas as pd

    from fer_tf import models
    from fer_tf.evaluation import measure_latency
    from fer_tf.io import atomic
    from fer_tf.models.complexity import macs
    from fer_tf.sweeps import study_page
    from fer_tf.sweeps.results import ranked

    rows = []
    for result in ranked(results):
        network = models.load_model(result.folder / "model.keras")
        test = result.metrics["test"]
        rows.append(
            {
                "model": result.config.name, "call": result.config.model, "objective": result.config.objective,
                "val_accuracy": result.metrics["val_accuracy"], "test_accuracy": test["accuracy"],
                "test_macro_f1": test["macro_f1"], "parameters": result.metrics["parameters"],
                "macs": macs(network), "latency_ms": measure_latency(network), "seconds": result.metrics["seconds"],
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    with atomic.atomic_write(out / "zoo.csv") as part:
        table.to_csv(part, index=False)
    return [*study_page.write(results, out, "The zoo", lambda _: _charts(table)), out / "zoo.csv"]


def _charts(table) -> "list[tuple[str, Figure]]":
    from fer_tf.reports.pareto import pareto

    points = pareto(
        table["model"], table["latency_ms"], table["test_accuracy"], "milliseconds a face", "accuracy on test"
    )
    return [("Accuracy over latency", points)]


STUDY = commandline.Study(
    name="zoo",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"width": 0.25, "epochs": 6, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)

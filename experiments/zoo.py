"""Every network on the same faces with the same budget: accuracy, size, work and time.

  python experiments/zoo.py --quick                                      built-in faces, two epochs
  python experiments/zoo.py --dataset fer2013 --data DIR                 real faces

Each network is the small configuration of its row in fer_tf.models (48×48 gray faces) at --width of its channels,
trained from scratch for its own objective (SCN, DAN and RAN with their losses). Parameters, multiply-accumulates and
latency (batch 1, compiled, on the threads that TensorFlow was given) are of what was trained.

On FER2013 in 2 epochs (2 to 34 minutes a network on one core): from 51.7 % (vgg) to 24.4 % (the largest class).

Writes results.csv, zoo.csv, results.md, report.html with accuracy over latency, and winner.keras into --out.
Figures: experiments/results/zoo.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import registry
from fer_tf.models import MODELS, small_configuration
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline

if TYPE_CHECKING:
    from fer_tf.tuning.runner import Result

# Networks whose own objectives need no more than labels.
OWN = {"scn": "scn", "landmark_scn": "scn", "dan": "dan", "ran": "ran"}
# Two networks in one: experiments/fusion.py.
LEFT_OUT = ("fusion",)


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return one run a network."""
    networks = {
        name: {"model": narrowed(name, options.width), "objective": OWN.get(name, "classification")}
        for name in MODELS
        if name not in LEFT_OUT
    }
    return commandline.runs(options, networks, **commandline.adamw(options))


def narrowed(name: str, width: float) -> str:
    """Return a network's small configuration at ``width`` of its own channels."""
    name, keywords = registry.parse(small_configuration(name))
    return registry.render(name, {**keywords, "width": width * keywords.get("width", 1)})


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Measure the trained networks; write the table, the page and the winner."""
    import pandas as pd

    from fer_tf import models
    from fer_tf.evaluation import measure_latency
    from fer_tf.models.complexity import count_macs
    from fer_tf.reports.audits import pareto
    from fer_tf.tuning import study_page
    from fer_tf.tuning.results import ranked

    rows = []
    for result in (run for setting in ranked(results) for run in setting.runs):
        network, test = models.load_model(result.folder / "model.keras"), result.metrics["test"]
        rows.append(
            {
                "model": result.config.name, "call": result.config.model, "objective": result.config.objective,
                "val_accuracy": result.metrics["val_accuracy"], "test_accuracy": test["accuracy"],
                "test_macro_f1": test["macro_f1"], "parameters": result.metrics["parameters"],
                "macs": count_macs(network), "latency_ms": measure_latency(network),
                "seconds": result.metrics["seconds"],
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)

    def charts(_: "Sequence[Result]") -> list:
        points = table["model"], table["latency_ms"], table["test_accuracy"]
        return [("Accuracy over latency", pareto(*points, "milliseconds a face", "accuracy on test"))]

    sizes = [("Sizes", table[["model", "parameters", "macs", "latency_ms"]])] if rows else []
    return study_page.write(results, out, "All networks", charts, sizes, {"zoo.csv": table})


STUDY = commandline.Study(
    name="zoo",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=lambda parser: commandline.add_learning_rate(parser.add_argument, 0.002),
    defaults={"width": 0.25, "epochs": 6, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)

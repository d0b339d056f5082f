"""Train every network on the same faces: accuracy, size, work and time.

  python experiments/zoo.py --quick                                      built-in faces, two epochs
  python experiments/zoo.py --dataset fer2013 --data DIR                 real faces

Each network is its small configuration in fer_tf.models (48×48 gray faces) at --width of its channels, trained from
scratch for its own objective (SCN, DAN and RAN with their losses). Latency: batch 1, compiled. On FER2013 in 2 epochs
(2 to 34 minutes a network on one core): from 51.7 % (vgg) to 24.4 % (the largest class). Figures:
experiments/results/zoo.md.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from fer_tf import evaluation, models, registry, reports, tuning
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

# Networks whose own objectives need no more than labels.
OWN = {"scn": "scn", "landmark_scn": "scn", "dan": "dan", "ran": "ran"}
# Two networks in one: experiments/fusion.py.
LEFT_OUT = ("fusion",)


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return one run a network."""
    networks = {
        name: {"model": narrowed(name, options.width), "objective": OWN.get(name, "classification")}
        for name in models.MODELS
        if name not in LEFT_OUT
    }
    return recipes.runs(options, networks, **recipes.adamw(options))


def narrowed(name: str, width: float) -> str:
    """Return a network's small configuration at ``width`` of its own channels."""
    name, keywords = registry.parse(models.small_configuration(name))
    return registry.render(name, {**keywords, "width": width * keywords.get("width", 1)})


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Measure the trained networks, best on validation first."""
    import pandas as pd

    rows = []
    for result in (run for setting in tuning.runner.ranked(results) for run in setting.runs):
        network, metrics = models.load_model(result.folder / "model.keras"), result.metrics
        rows.append(
            {
                "model": result.config.name, "call": result.config.model, "objective": result.config.objective,
                "val_accuracy": metrics["val_accuracy"], "test_accuracy": metrics["test"]["accuracy"],
                "test_macro_f1": metrics["test"]["macro_f1"], "parameters": metrics["parameters"],
                "macs": models.count_macs(network), "latency_ms": evaluation.measure_latency(network),
                "seconds": metrics["seconds"],
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    points = table["model"], table["latency_ms"], table["test_accuracy"]
    figure = reports.audits.pareto(*points, "milliseconds a face", "accuracy on test")
    return {
        "charts": [("Accuracy over latency", figure)],
        "tables": [("Sizes", table[["model", "parameters", "macs", "latency_ms"]])], "files": {"zoo.csv": table},
    }  # fmt: skip


STUDY = commandline.Study(
    "zoo", "All networks", __doc__, configs, report,
    add_arguments=lambda parser: recipes.add_learning_rate(parser.add_argument, 0.002),
    defaults={"width": 0.25, "epochs": 6, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)

"""Compare heat maps by deletion and insertion of pixels.

  python experiments/explain.py --quick                            built-in faces, a minute
  python experiments/explain.py --dataset fer2013 --data DIR       400 test faces, 4 minutes on 2 cores
  python experiments/explain.py --dataset fer2013 --data DIR --model runs/zoo/winner.keras --layer stage3

The hottest pixels of a face are taken away (deletion), or put into a blurred copy of it (insertion), 1/16 at a time,
and the probability of the predicted class is followed (RISE, arXiv 1806.07421). "gain" is by how much a method is
better than random maps, in hundredths of probability, with its standard error; "hot" is how much of a face is hotter
than half of its hottest pixel. Expected on FER2013 (shipped network): gains of 10 to 20 on right predictions, 1 to 12
on wrong ones. Figures: experiments/results/explain.md.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import cli, datasets, explain, inference, reports
from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.facetable import converted
from fer_tf.io import atomic

if TYPE_CHECKING:
    import pandas as pd


def parser() -> argparse.ArgumentParser:
    """Create the argument parser."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dataset", default="synthetic", metavar="NAME", help="call string (default %(default)s)")
    p.add_argument("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    p.add_argument("--model", default="default", help="a shipped network or a .keras file (default: the shipped one)")
    p.add_argument("--layer", help="weigh this layer's output (default: the one the network's file names)")
    p.add_argument("--methods", default=",".join(explain.METHODS), metavar="NAME,…", help="default %(default)s")
    p.add_argument("--faces", type=int, default=400, metavar="N", help="of the test split (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="draws faces and random maps (default %(default)s)")
    p.add_argument("--quick", action="store_true", help="48 faces")
    p.add_argument("--out", type=Path, default=Path("runs") / "explain", metavar="DIR", help="default %(default)s")
    return p


def printed(table: "pd.DataFrame") -> str:
    """Write the table as text, right predictions first, gains with their standard errors."""
    shown = table[["predictions", "faces", "method"]].copy()
    for area in ("deletion", "insertion"):
        shown[area] = table[area].map("{:.3f}".format)
        gain, error = table[f"{area}_gain"].map("{:+.1f}".format), table[f"{area}_gain_se"].map("{:.1f}".format)
        shown[f"{area} gain"] = gain + " ± " + error
    shown["hot"] = table["hot"].map("{:.0%}".format)
    return shown.sort_values("predictions", kind="stable").to_string(index=False)


def main() -> None:
    """Explain faces by every method; write tables and the figure."""
    options = parser().parse_args()
    count = min(options.faces, 48) if options.quick else options.faces
    methods = [name.strip() for name in options.methods.split(",")]
    for name in methods:
        _ = explain.METHODS[name]
    if count < 2:
        raise UserError(f"--faces {count} gives no table. Expected at least 2.")
    from fer_tf.inference import sources

    classifier, seed, how = inference.ExpressionClassifier(options.model), options.seed, explain.faithfulness
    test = converted(datasets.get(options.dataset, options.data).select("test"), classifier.label_set)
    drawn = np.sort(np.random.default_rng(seed).choice(len(test), min(count, len(test)), replace=False))
    faces, curves = how.compare_methods(classifier, test.take(drawn), methods, options.layer, seed)
    table, right = how.gains_table(faces), faces.loc[faces["method"] == methods[0], "right"].to_numpy()
    for frame, name in ((faces, "faces.csv"), (table, "explain.csv")):
        with atomic.atomic_write(options.out / name) as part:
            frame.to_csv(part, index=False)
    figure = reports.explanations.faithfulness(curves, right, how.CONTROLS)
    sources.save_figure(figure, options.out / "explain.png")
    print(f"{int(right.sum())} faces predicted right, {int((~right).sum())} wrong\n{printed(table)}")
    print("\n".join(f"wrote {options.out / name}" for name in ("faces.csv", "explain.csv", "explain.png")))


if __name__ == "__main__":
    cli.prepare_environment()
    exit_on_user_error(main)

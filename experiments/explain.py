"""Compare heat maps by deletion and insertion of pixels.

  python experiments/explain.py --quick                            built-in faces, a minute
  python experiments/explain.py --dataset fer2013 --data DIR       400 test faces, 4 minutes on 2 cores
  python experiments/explain.py --dataset fer2013 --data DIR --model runs/zoo/winner.keras --layer stage3

Every face's predicted class is explained by every method. The hottest pixels are taken away (deletion), or put into a
blurred copy of the face (insertion), 1/16 of the face at a time, and the probability of the class is followed (RISE,
arXiv 1806.07421). Two controls are treated alike: random maps, and one that is hottest in the center. "gain" is by how
much a method is better than the random maps on the same faces, in hundredths of probability, with its standard error;
"hot" is how much of a face is hotter than half of its hottest pixel. Expected on FER2013 (shipped network): gains of 10
to 20 on right predictions, 1 to 12 on wrong ones.

Writes faces.csv (a row a face and method), explain.csv and explain.png. Figures: experiments/results/explain.md.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import cli
from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.explain import METHODS

if TYPE_CHECKING:
    import pandas as pd


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dataset", default="synthetic", metavar="NAME", help="call string (default %(default)s)")
    p.add_argument("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    p.add_argument("--model", default="default", help="a shipped network or a .keras file (default: the shipped one)")
    p.add_argument("--layer", help="weigh this layer's output (default: the one the network's file names)")
    p.add_argument("--methods", default=",".join(METHODS), metavar="NAME,…", help="default %(default)s")
    p.add_argument("--faces", type=int, default=400, metavar="N", help="of the test split (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="draws faces and random maps (default %(default)s)")
    p.add_argument("--quick", action="store_true", help="48 faces")
    p.add_argument("--out", type=Path, default=Path("runs") / "explain", metavar="DIR", help="default %(default)s")
    return p


def printed(table: "pd.DataFrame") -> str:
    """Write the table as text, right predictions first, gains with their standard errors."""
    shown = table[["predictions", "faces", "method"]].copy()
    for area in ("deletion", "insertion"):
        pairs = zip(table[f"{area}_gain"], table[f"{area}_gain_se"], strict=True)
        shown[area] = table[area].map("{:.3f}".format)
        shown[f"{area} gain"] = [f"{gain:+.1f} ± {error:.1f}" for gain, error in pairs]
    shown["hot"] = table["hot"].map("{:.0%}".format)
    return shown.sort_values("predictions", kind="stable").to_string(index=False)


def main() -> None:
    options = parser().parse_args()
    count = min(options.faces, 48) if options.quick else options.faces
    methods = [name.strip() for name in options.methods.split(",")]
    for name in methods:
        _ = METHODS[name]
    if count < 2:
        raise UserError(f"--faces {count} gives no table. Expected at least 2.")
    import numpy as np

    from fer_tf import datasets
    from fer_tf.explain import faithfulness
    from fer_tf.facetable import converted
    from fer_tf.inference import sources
    from fer_tf.inference.classifier import ExpressionClassifier
    from fer_tf.io import atomic
    from fer_tf.reports import explanations

    classifier = ExpressionClassifier(options.model)
    test = converted(datasets.get(options.dataset, options.data).select("test"), classifier.label_set)
    drawn = np.random.default_rng(options.seed).choice(len(test), min(count, len(test)), replace=False)
    faces, curves = faithfulness.compare_methods(
        classifier, test.take(np.sort(drawn)), methods, options.layer, options.seed
    )
    table, right = faithfulness.gains_table(faces), faces.loc[faces["method"] == methods[0], "right"].to_numpy()
    for frame, name in ((faces, "faces.csv"), (table, "explain.csv")):
        with atomic.atomic_write(options.out / name) as part:
            frame.to_csv(part, index=False)
    sources.save_figure(explanations.faithfulness(curves, right, faithfulness.CONTROLS), options.out / "explain.png")
    print(f"{int(right.sum())} faces predicted right, {int((~right).sum())} wrong\n{printed(table)}")
    for name in ("faces.csv", "explain.csv", "explain.png"):
        print(f"wrote {options.out / name}")


if __name__ == "__main__":
    cli.prepare_environment()
    exit_on_user_error(main)

"""Are heat maps true to the network, and do those of right and of wrong predictions differ? Deletion and insertion.

  python experiments/explain.py --quick                            built-in faces, a minute
  python experiments/explain.py --dataset fer2013 --data DIR       400 test faces, 4 minutes on 2 cores
  python experiments/explain.py --dataset fer2013 --data DIR --model runs/zoo/winner.keras --layer stage3

Every face's predicted class is explained by every method. Then the hottest pixels are taken away (deletion: they become
the face's mean level) or put into a blurred copy of the face (insertion), 1/16 of the face at a time, and the
probability of the class is followed (RISE, arXiv 1806.07421). The area under the deletion curve is small, and that
under the insertion curve large, where a map is true to the network. Two controls are treated alike: random maps of the
methods' resolution, and one that is hottest in the middle of every face. "gain" is by how much a method is better than
the random maps on the same faces, in hundredths of probability, with its standard error; "hot" is how much of a face is
hotter than half of its hottest pixel.

Writes faces.csv (a row a face and method), explain.csv (the table) and explain.png.
Figures: experiments/results/explain.md.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.explain import METHODS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fer_tf.explain.faithfulness import Curves
    from fer_tf.facetable import FaceTable
    from fer_tf.inference.classifier import ExpressionClassifier

CONTROLS = ("random", "center")


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


def draw_faces(options: argparse.Namespace, classifier: "ExpressionClassifier") -> "FaceTable":
    """Return test faces over the network's classes, drawn without repetition."""
    import numpy as np

    from fer_tf import datasets
    from fer_tf.facetable import converted

    if options.faces < 2:
        raise UserError(f"--faces {options.faces} gives no table. Expected at least 2.")
    test = converted(datasets.get(options.dataset, options.data).select("test"), classifier.label_set)
    count = min(options.faces, len(test))
    return test.take(np.sort(np.random.default_rng(options.seed).choice(len(test), count, replace=False)))


def measure(options: argparse.Namespace) -> tuple["pd.DataFrame", dict[str, "Curves"], "np.ndarray"]:
    """Return a row a face and method, each method's curves, and which faces are predicted right."""
    import numpy as np
    import pandas as pd

    from fer_tf import explain
    from fer_tf.explain.faithfulness import Faithfulness, center_maps, random_maps
    from fer_tf.inference.classifier import ExpressionClassifier
    from fer_tf.progress import bar

    classifier = ExpressionClassifier(options.model)
    methods = [name.strip() for name in options.methods.split(",")]
    explainers = {name: explain.get(name, classifier.network, options.layer) for name in methods}
    table = draw_faces(options, classifier)
    faces, truth = classifier.prepare(table.images).numpy(), table.targets.argmax(axis=1)
    judge, rng = Faithfulness(classifier), np.random.default_rng(options.seed)
    curves, rows = {}, []
    with bar(len(methods) + len(CONTROLS), "Explaining", "method") as ticks:
        for name in (*methods, *CONTROLS):
            if name in explainers:
                found = explainers[name].explain(faces)
                heat, raw_shape, classes = found.heat, found.raw.shape, found.classes
            else:
                size = faces.shape[1:3]
                heat = random_maps(raw_shape, size, rng) if name == "random" else center_maps(len(faces), size)
            curves[name] = judge.measure(faces, heat, classes, rng)
            rows.append(_rows(name, table, classes, heat, curves[name]))
            ticks.update()
    return pd.concat(rows), curves, classes == truth


def _rows(name: str, table: "FaceTable", classes: "np.ndarray", heat: "np.ndarray", curves: "Curves") -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    names, truth = np.array(table.label_set.classes), table.targets.argmax(axis=1)
    deletion, insertion = curves.areas()
    return pd.DataFrame({
        "method": name, "face": table.ids, "true": names[truth], "predicted": names[classes],
        "right": classes == truth, "deletion": deletion, "insertion": insertion,
        "hot": (heat > 0.5 * heat.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)),
    })  # fmt: skip


def summary(faces: "pd.DataFrame") -> "pd.DataFrame":
    """Return two rows a method, of right and of wrong predictions: areas, gains over the random maps, hot share."""
    import numpy as np
    import pandas as pd

    random = faces.loc[faces["method"] == "random", ["deletion", "insertion"]].to_numpy()
    rows = []
    for name, own in faces.groupby("method", sort=False):
        # Of deletion the smaller area is the better one.
        gains = 100 * (own[["deletion", "insertion"]] - random) * np.array([-1, 1])
        for which, chosen in (("right", own["right"]), ("wrong", ~own["right"])):
            row = {"method": name, "predictions": which, "faces": int(chosen.sum())}
            for area in ("deletion", "insertion"):
                row[area] = own.loc[chosen, area].mean()
                row[f"{area}_gain"] = gains.loc[chosen, area].mean()
                row[f"{area}_gain_se"] = gains.loc[chosen, area].sem()
            rows.append({**row, "hot": own.loc[chosen, "hot"].mean()})
    return pd.DataFrame(rows)


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
    from fer_tf.explain import files
    from fer_tf.io import atomic
    from fer_tf.reports import explanations

    options = parser().parse_args()
    if options.quick:
        options.faces = min(options.faces, 48)
    for name in options.methods.split(","):
        _ = METHODS[name.strip()]
    faces, curves, right = measure(options)
    table = summary(faces)
    for frame, name in ((faces, "faces.csv"), (table, "explain.csv")):
        with atomic.atomic_write(options.out / name) as part:
            frame.to_csv(part, index=False)
    files.save(explanations.faithfulness(curves, right, CONTROLS), options.out / "explain.png")
    print(f"{int(right.sum())} faces predicted right, {int((~right).sum())} wrong")
    print(printed(table))
    for name in ("faces.csv", "explain.csv", "explain.png"):
        print(f"wrote {options.out / name}")


if __name__ == "__main__":
    exit_on_user_error(main)

"""Compare heat map methods by deletion and insertion, with two controls."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_tf import explain
from fer_tf.explain.faithfulness import Curves, Faithfulness, center_maps, random_maps
from fer_tf.facetable import FaceTable
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.progress import bar

__all__ = ["CONTROLS", "compare_methods", "gains_table"]

# Random maps of the methods' resolution, and a map that is hottest in the middle of every face.
CONTROLS = ("random", "center")


def compare_methods(
    classifier: ExpressionClassifier, table: FaceTable, methods: Sequence[str], layer: str | None = None, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, Curves]]:
    """Explain each face's predicted class by each method, and follow its probability as pixels go and come.

    Args:
        classifier: the network.
        table: faces over its classes.
        methods: names of ``fer_tf.explain.METHODS``.
        layer: whose output is weighed; ``None`` for the one that the network's file names.
        seed: of the random maps, and of the order of equally hot pixels.

    Returns:
        A row for each face and method or control: ``method``, ``face``, ``true``, ``predicted``, ``right``,
        ``deletion`` and ``insertion`` (areas under the curves), ``hot`` (share of the face that is hotter than half of
        its hottest pixel); and the curves by method and control.
    """
    explainers = {name: explain.get(name, classifier.network, layer) for name in methods}
    faces, names = classifier.prepare(table.images).numpy(), np.array(table.label_set.classes)
    truth, size = table.targets.argmax(axis=1), faces.shape[1:3]
    judge, rng = Faithfulness(classifier), np.random.default_rng(seed)
    curves, rows = {}, []
    with bar(len(methods) + len(CONTROLS), "Explaining", "method") as ticks:
        for name in (*methods, *CONTROLS):
            if name in explainers:
                found = explainers[name].explain(faces)
                heat, raw_shape, classes = found.heat, found.raw.shape, found.classes
            else:
                heat = random_maps(raw_shape, size, rng) if name == "random" else center_maps(len(faces), size)
            curves[name] = judge.measure(faces, heat, classes, rng)
            deletion, insertion = curves[name].areas()
            rows.append(pd.DataFrame({
                "method": name, "face": table.ids, "true": names[truth], "predicted": names[classes],
                "right": classes == truth, "deletion": deletion, "insertion": insertion,
                "hot": (heat > 0.5 * heat.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)),
            }))  # fmt: skip
            ticks.update()
    return pd.concat(rows), curves


def gains_table(faces: pd.DataFrame) -> pd.DataFrame:
    """Return two rows a method, of right and of wrong predictions: areas, gains over the random maps, hot share.

    Args:
        faces: what ``compare_methods`` returns.

    Returns:
        Columns ``method``, ``predictions``, ``faces``, ``hot``, and for ``deletion`` and ``insertion`` the mean area,
        ``<area>_gain`` (by how much it is better than that of the random map of the same face, in hundredths of
        probability) and its standard error ``<area>_gain_se``.

    Example:
        >>> areas = {"gradcam": [0.2, 0.3], "random": [0.3, 0.3]}
        >>> faces = pd.concat(
        ...     pd.DataFrame({"method": m, "right": True, "deletion": a, "insertion": a, "hot": 0.1})
        ...     for m, a in areas.items()
        ... )
        >>> float(gains_table(faces)["deletion_gain"][0].round(6))
        5.0
    """
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

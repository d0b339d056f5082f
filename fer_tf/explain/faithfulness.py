"""Measure and compare heat maps by deleting and inserting pixels."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf

from fer_tf import explain
from fer_tf.errors import UserError
from fer_tf.explain.explainer import normalize
from fer_tf.facetable import FaceTable
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.progress import bar

# A blurred face is the mean of 5×5 squares, interpolated.
_SQUARES = 5


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the explained class over the share of changed pixels, 0 to 1 in even steps.

    Attributes:
        deletion: float32 (N, steps + 1): pixels are set to the face's mean level, the hottest first.
        insertion: float32 (N, steps + 1): pixels of the face are put into its blurred copy, the hottest first.
    """

    deletion: np.ndarray
    insertion: np.ndarray

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the areas (N,) under both curves: a faithful map has a small first and a large second one."""
        return tuple(np.trapezoid(c, dx=1 / (c.shape[1] - 1), axis=1) for c in (self.deletion, self.insertion))


class Faithfulness:
    """Deletion and insertion curves of one network.

    Args:
        classifier: the network.
        steps: number of steps in which all pixels are replaced.
        batch_size: largest number of faces in one pass.

    Raises:
        UserError: no steps.

    Example:
        >>> import numpy as np, fer_tf
        >>> from fer_tf.inference.classifier import ExpressionClassifier
        >>> judge = fer_tf.explain.Faithfulness(ExpressionClassifier("ferplus"), steps=2)
        >>> rng = np.random.default_rng(0)
        >>> faces, heat = np.zeros((1, 44, 44, 1), "float32"), rng.random((1, 44, 44))
        >>> judge.measure(faces, heat, np.array([0], "int32"), rng).deletion.shape
        (1, 3)

    References:
        RISE, arXiv 1806.07421; deleted pixels become the face's mean and not black, which is a level like others in a
        face
    """

    def __init__(self, classifier: ExpressionClassifier, steps: int = 16, batch_size: int = 128):
        if steps < 1:
            raise UserError(f"steps={steps}. Expected at least 1.")
        self.classifier, self.steps, self.batch_size = classifier, steps, batch_size

    def measure(self, prepared: np.ndarray, heat: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> Curves:
        """Return the curves of faces.

        Args:
            prepared: float32 (N, H, W, channels), faces that ``ExpressionClassifier.prepare`` returned.
            heat: float (N, H, W); pixels of equal heat are taken in random order.
            classes: int (N,), the explained classes.
            rng: generator of that order.
        """
        order = np.lexsort((rng.random((len(heat), heat[0].size)), -heat.reshape(len(heat), -1)), axis=1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        rank = rank.reshape(heat.shape).astype(np.int32)
        step = self.batch_size
        found = [
            [part.numpy() for part in self._compiled(*(x[i : i + step] for x in (prepared, rank, classes)))]
            for i in range(0, len(heat), step)
        ]
        return Curves(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    @functools.cached_property
    def _compiled(self) -> tf.types.experimental.GenericFunction:
        height, width, channels = self.classifier.input_shape
        signature = [tf.TensorSpec((None, height, width, channels)), tf.TensorSpec((None, height, width), tf.int32),
                     tf.TensorSpec((None,), tf.int32)]  # fmt: skip
        return tf.function(self._curves, input_signature=signature, autograph=False)

    def _curves(self, faces: tf.Tensor, rank: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean = tf.zeros_like(faces) + tf.reduce_mean(faces, axis=(1, 2), keepdims=True)
        blurred = tf.image.resize(tf.image.resize(faces, (_SQUARES, _SQUARES), "area"), tf.shape(faces)[1:3])
        size = tf.cast(tf.size(rank[0]), tf.float32)
        counts = tf.cast(tf.round(tf.range(self.steps + 1, dtype=tf.float32) / self.steps * size), tf.int32)

        def probability(images: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.nn.softmax(self.classifier.logits(images)), classes, batch_dims=1)

        def both(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            first = (rank < count)[..., None]
            return probability(tf.where(first, mean, faces)), probability(tf.where(first, faces, blurred))

        one = tf.TensorSpec((None,), tf.float32)
        deletion, insertion = tf.map_fn(both, counts, parallel_iterations=1, fn_output_signature=(one, one))
        return tf.transpose(deletion), tf.transpose(insertion)


def random_maps(raw_shape: tuple[int, int, int], size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw random heat maps, a control: noise in the resolution of the raw maps, resized like them.

    Noise for each pixel would destroy a face sooner than any smooth map, and make all methods look bad.

    Args:
        raw_shape: (N, h, w) of the raw maps.
        size: (H, W) of the heat maps.
        rng: generator of the noise.
    """
    return normalize(tf.constant(rng.random(raw_shape), tf.float32), tf.constant(size)).numpy()


def center_maps(count: int, size: tuple[int, int]) -> np.ndarray:
    """Return heat maps (N, H, W) that are hottest in the middle of every face, a control."""
    across = [np.linspace(-1, 1, n) for n in size]
    one = np.exp(-2 * (across[0][:, None] ** 2 + across[1] ** 2))
    return np.repeat(one[None], count, axis=0).astype(np.float32)


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

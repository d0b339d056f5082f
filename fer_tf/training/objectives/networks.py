"""Train DAN, RAN and SCN by the objectives of their papers."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.io import atomic
from fer_tf.models import logits_of
from fer_tf.training.objectives.base import Objective, check_share


def affinity_loss(features: Any, targets: Any, centers: Any) -> Any:
    """Return the mean of ‖f − center of its class‖², divided by Σ_d Var over the classes of the centers.

    The variance is unbiased, over the C classes that there are; the gradient reaches it too.

    Args:
        features: float (B, D), pooled.
        targets: float (B, C); a distribution takes the mean of its classes' distances.
        centers: float (C, D).

    Returns:
        Float scalar.

    References:
        arXiv 2109.07270.
    """
    distances = ops.sum(ops.square(features[:, None] - centers[None]), axis=-1)
    spread = ops.sum(ops.var(centers, axis=0)) * _unbiased(centers.shape[0])
    return ops.mean(ops.sum(targets * distances, axis=-1)) / spread


def partition_loss(heads: Any, epsilon: float = 1e-7) -> Any:
    """Return log(1 + K / (σ² + ε)), σ² being the mean unbiased variance across the heads.

    Args:
        heads: float (B, D, K).
        epsilon: keeps the loss of equal heads finite.

    Returns:
        Float scalar.

    References:
        arXiv 2109.07270.
    """
    count = heads.shape[-1]
    return ops.log1p(count / (ops.mean(ops.var(heads, axis=-1)) * _unbiased(count) + epsilon))


def _unbiased(count: int) -> float:
    return count / (count - 1)


class DANObjective(Objective):
    """The compiled loss, the affinity loss and the partition loss.

    The centers, N(0, 1) at the start, are trained by the same optimizer. History: ``class_loss`` (the
    compiled one), ``affinity``, ``partition``.

    Args:
        network, table: see ``Objective``; the network has layers ``features`` (B, h, w, D) and ``heads`` (B, D, K).
        affinity: weight λ₁.
        partition: weight λ₂.

    References:
        arXiv 2109.07270.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, affinity: float = 1.0, partition: float = 1.0):
        tensors = {"features": "features", "heads": "heads"}
        super().__init__(network, table, tensors=tensors, parts=("class_loss", "affinity", "partition"))
        for name, value in (("affinity", affinity), ("partition", partition)):
            if not value >= 0:
                raise UserError(f"{name} is {value!r}. Expected a number of at least 0.")
        if self.num_classes < 2:
            raise UserError("Objective 'dan' needs at least 2 classes: its centers would have no variance.")
        self.affinity, self.partition = affinity, partition
        width = network.get_layer("features").output.shape[-1]
        self.centers = self.add_weight(
            shape=(self.num_classes, width), initializer=keras.initializers.RandomNormal(stddev=1.0), name="centers"
        )

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        pooled = ops.mean(outputs["features"], axis=(1, 2))
        affinity = affinity_loss(pooled, labels["targets"], self.centers)
        partition = partition_loss(outputs["heads"])
        classes = self.class_loss(labels["targets"], logits_of(outputs))
        self.note(class_loss=classes, affinity=affinity, partition=partition)
        return classes + self.affinity * affinity + self.partition * partition


# Softmaxed weights are near 1/K, plain ones anywhere in (0, 1).
MARGINS = {"softmax": 0.1, "sigmoid": 0.02}


def rank_biased_loss(weights: Any, margin: float) -> Any:
    """Return the mean of max(0, δ − (largest weight of a region − weight of the whole face)).

    Args:
        weights: float (B, K), the whole face last.
        margin: δ.

    Returns:
        Float scalar.

    References:
        arXiv 1905.04075.
    """
    return ops.mean(ops.maximum(margin - (ops.max(weights[:, :-1], axis=1) - weights[:, -1]), 0.0))


class RegionAttention(Objective):
    """The compiled loss and the rank-biased loss. History: ``class_loss`` (the compiled one), ``rank_biased``.

    Args:
        network, table: see ``Objective``; the network has a layer ``region_weights`` (B, K, 1), the whole face last.
        margin: δ; ``None`` means 0.02 for plain weights (paper), 0.1 where the network softmaxes them (public code).

    References:
        arXiv 1905.04075.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, margin: float | None = None):
        super().__init__(network, table, tensors={"weights": "region_weights"}, parts=("class_loss", "rank_biased"))
        if margin is not None and not margin >= 0:
            raise UserError(f"margin is {margin!r}. Expected a number of at least 0.")
        softmaxed = isinstance(network.get_layer("region_weights"), keras.layers.Softmax)
        self.margin = MARGINS["softmax" if softmaxed else "sigmoid"] if margin is None else margin

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        biased = rank_biased_loss(outputs["weights"][..., 0], self.margin)
        classes = self.class_loss(labels["targets"], logits_of(outputs))
        self.note(class_loss=classes, rank_biased=biased)
        return classes + biased


RELABELLED = "relabeled.csv"
SCOPES = ("all", "low")


def is_high(alpha: Any, beta: float) -> Any:
    """Tell which faces are in the high group: the ⌊β·B⌋ largest weights of a batch.

    Args:
        alpha: float (B,).
        beta: share in (0, 1).

    Returns:
        bool (B,).
    """
    rank = ops.argsort(ops.argsort(-alpha))
    return ops.cast(rank, "float32") < _high_count(alpha, beta)


def rank_loss(alpha: Any, beta: float, margin: float) -> Any:
    """Return max(0, δ − (mean α of the high group − mean α of the low group)); 0 when a group is empty.

    Args:
        alpha: weights of a batch, float (B,).
        beta: share of the high group.
        margin: δ.

    Returns:
        Float scalar.

    References:
        arXiv 2002.10392.
    """
    high = ops.cast(is_high(alpha, beta), alpha.dtype)
    low = 1 - high
    counts = ops.sum(high), ops.sum(low)
    means = [ops.sum(alpha * group) / ops.maximum(count, 1) for group, count in zip((high, low), counts, strict=True)]
    both = ops.cast(ops.minimum(*counts) > 0, alpha.dtype)
    return both * ops.maximum(margin - (means[0] - means[1]), 0.0)


def cured(targets: Any, logits: Any, margin: float) -> tuple[Any, Any]:
    """Find labels that the network contradicts: the largest probability exceeds that of the label by the margin.

    Args:
        targets: float (B, C); the label of a distribution is its most probable class.
        logits: float (B, C).
        margin: δ₂ in [0, 1).

    Returns:
        Whether to relabel, bool (B,), and the most probable class, int32 (B,).
    """
    probabilities = ops.softmax(logits, axis=-1)
    given = ops.one_hot(ops.argmax(targets, axis=-1), targets.shape[-1], dtype=probabilities.dtype)
    gain = ops.max(probabilities, axis=-1) - ops.sum(given * probabilities, axis=-1)
    return gain > margin, ops.cast(ops.argmax(probabilities, axis=-1), "int32")


def _high_count(alpha: Any, beta: float) -> Any:
    # In float32 such as 0.7 · 10 falls below 7: a small share of a face is forgiven.
    return ops.floor(beta * ops.cast(ops.shape(alpha)[0], "float32") + 1e-3)


class SCNObjective(Objective):
    """γ · loss of the weighted logits + (1 − γ) · rank regularization; labels are replaced from an epoch on.

    The compiled loss sees α·z, the network's logits. A label is replaced after the loss of its batch was taken, and
    holds from the next epoch on; it may be replaced again. Accuracy in training is against the labels of the dataset.
    History: ``weighted_ce``, ``rank``, and ``relabeled``, the share of faces whose label is not the dataset's.

    Args:
        network, table: see ``Objective``; the network has a layer ``alpha`` of outputs (B, 1) in (0, 1).
        beta: share of a batch in the group of high weights.
        margin: δ₁, by how much the groups' mean weights should differ. Smaller batches want less: 0.07 at 64.
        gamma: γ. The public code adds both parts (twice the paper's sum at 0.5: another learning rate).
        relabel_from: first epoch, from 1, that replaces labels; ``None`` for never.
        relabel_margin: δ₂, by how much the largest probability must exceed the label's.
        scope: ``all`` faces may be relabeled (public code), or the ``low`` group of the batch only (paper).

    References:
        arXiv 2002.10392.
    """

    def __init__(
        self,
        network: keras.Model,
        table: FaceTable,
        /,
        beta: float = 0.7,
        margin: float = 0.15,
        gamma: float = 0.5,
        relabel_from: int | None = 10,
        relabel_margin: float = 0.2,
        scope: str = "all",
    ):
        super().__init__(network, table, tensors={"alpha": "alpha"}, parts=("weighted_ce", "rank", "relabeled"))
        if scope not in SCOPES:
            raise UserError(f"Unknown scope {scope!r}. Available: {', '.join(SCOPES)}.")
        if relabel_from is not None and (not isinstance(relabel_from, int) or relabel_from < 1):
            raise UserError(f"relabel_from is {relabel_from!r}. Expected an epoch from 1, or None.")
        for name, value in (("beta", beta), ("margin", margin), ("gamma", gamma), ("relabel_margin", relabel_margin)):
            check_share(name, value)
        self.beta, self.margin, self.gamma = beta, margin, gamma
        self.relabel_from, self.relabel_margin, self.scope = relabel_from, relabel_margin, scope
        self.epoch = self._state("epoch", (), 1)
        # A class a face, −1 for the dataset's label; and the epoch of its last change, 0 for never.
        self.new_class = self._state("new_class", (len(table),), -1)
        self.changed_in = self._state("changed_in", (len(table),), 0)

    def _state(self, name: str, shape: tuple[int, ...], value: int) -> keras.Variable:
        start = keras.initializers.Constant(value)
        return self.add_weight(shape=shape, initializer=start, dtype="int32", trainable=False, name=name)

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 1."""
        self.epoch.assign(epoch)

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss, and relabel; see ``Objective``."""
        logits, alpha, index = logits_of(outputs), outputs["alpha"][:, 0], labels["index"]
        targets = self.current_targets(labels["targets"], index)
        rank = rank_loss(alpha, self.beta, self.margin)
        weighted = self.class_loss(targets, logits)
        if training and self.relabel_from is not None:
            self._relabel(targets, logits, alpha, index)
        changed = ops.take(self.new_class, index, axis=0) >= 0
        self.note(weighted_ce=weighted, rank=rank, relabeled=ops.mean(ops.cast(changed, "float32")))
        return self.gamma * weighted + (1 - self.gamma) * rank

    def current_targets(self, targets: Any, index: Any) -> Any:
        """Return the targets (B, C) with the one-hot rows of new classes in place of what was relabeled."""
        new = ops.take(self.new_class, index, axis=0)
        rows = ops.one_hot(ops.maximum(new, 0), targets.shape[-1], dtype=targets.dtype)
        return ops.where((new >= 0)[:, None], rows, targets)

    def _relabel(self, targets: Any, logits: Any, alpha: Any, index: Any) -> None:
        wrong, likely = cured(targets, logits, self.relabel_margin)
        wrong = ops.logical_and(wrong, self.epoch >= self.relabel_from)
        if self.scope == "low":
            wrong = ops.logical_and(wrong, ops.logical_not(is_high(alpha, self.beta)))
        for state, value in ((self.new_class, likely), (self.changed_in, ops.broadcast_to(self.epoch, likely.shape))):
            kept = ops.where(wrong, value, ops.take(state, index, axis=0))
            state.assign(ops.scatter_update(state, index[:, None], kept))

    def write(self, folder: Path, table: FaceTable) -> None:
        """Write which faces have another label now: id, old class, new class, epoch of the change (from 1)."""
        new, epochs = (ops.convert_to_numpy(v) for v in (self.new_class, self.changed_in))
        rows, names = np.flatnonzero(new >= 0), np.array(table.label_set.classes)
        columns = {
            "id": table.ids[rows], "old_class": names[table.labels[rows]], "new_class": names[new[rows]],
            "epoch": epochs[rows],
        }  # fmt: skip
        with atomic.atomic_write(folder / RELABELLED) as part:
            pd.DataFrame(columns).to_csv(part, index=False)


def relabel_precision(folder: Path, clean: FaceTable) -> dict[str, float]:
    """Return how many faces a run relabeled, and the share of them that got the label they had before the noise.

    Args:
        folder: of the run.
        clean: its training faces without label noise.

    Returns:
        ``relabeled`` and ``relabel_precision``; both NaN for a run that does not relabel, the second for one that
        relabeled no face.
    """
    path = Path(folder) / RELABELLED
    if not path.is_file():
        return {"relabeled": float("nan"), "relabel_precision": float("nan")}
    changed = pd.read_csv(path, dtype={"id": str})
    names = np.array(clean.label_set.classes)[clean.labels]
    label = dict(zip(clean.ids.tolist(), names.tolist(), strict=True))
    right = [label[i] == new for i, new in zip(changed["id"], changed["new_class"], strict=True)]
    return {"relabeled": len(right), "relabel_precision": sum(right) / len(right) if right else float("nan")}

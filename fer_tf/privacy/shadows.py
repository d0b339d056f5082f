"""Shadow models: networks trained like the audited one, each on half of the faces, so that we know what it saw."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_tf import evaluation, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.privacy.draws import halves_of
from fer_tf.privacy.predictions import Shadows
from fer_tf.privacy.scores import from_logits
from fer_tf.training.callbacks import RunFailed
from fer_tf.training.config import RunConfig
from fer_tf.training.run import MODEL, execute
from fer_tf.training.tables import Tables


def pooled(train: FaceTable, test: FaceTable) -> FaceTable:
    """Return training and test faces as one table; columns besides pictures and targets are left out."""
    columns = {
        name: np.concatenate([getattr(train, name), getattr(test, name)]) for name in ("images", "targets", "ids")
    }
    split = np.full(len(train) + len(test), "train", dtype="U10")
    return FaceTable(**columns, label_set=train.label_set, split=split, draw_targets=train.draw_targets)


def configs(recipe: RunConfig, count: int, epochs: int | None = None) -> list[RunConfig]:
    """Return the runs of the shadow models: the recipe, each with a seed of its own.

    Args:
        recipe: how the audited network was trained, or how anyone thinks it was.
        count: S.
        epochs: instead of the recipe's.

    Raises:
        UserError: the recipe begins from other networks or needs more of a face than its label.
    """
    needs = [name for name in recipe.columns if name != "index"]
    if recipe.networks or needs:
        what = "other networks" if recipe.networks else ", ".join(needs)
        raise UserError(f"Shadow models are trained from pictures and labels; this recipe needs {what}. Give another.")
    # The tables bring what these would do.
    plain = {"label_noise": 0.0, "landmarks": None, "cover": None, "epochs": epochs or recipe.epochs}
    return [replace(recipe, name=f"shadow{i:03d}", seed=recipe.seed + 1 + i, **plain) for i in range(count)]


def train(
    runs: Sequence[RunConfig], train_table: FaceTable, validation: FaceTable, test: FaceTable, out: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Train the shadow models that are not there yet.

    Each learns from its half of training and test faces, chooses its epoch on validation, and is tested on the half
    that it did not see.

    Args:
        runs: ``configs``.
        train_table, validation, test: the audited network's faces.
        out: each run has a folder here; a finished one is kept, an interrupted one goes on.

    Returns:
        str (N,), the ids of all faces, and bool (S, N), which of them each was trained on.

    Raises:
        UserError: a run cannot be trained.
    """
    pool = pooled(train_table, test)
    seen = halves_of(pool.labels, len(runs))
    for i, (config, half) in enumerate(zip(runs, seen, strict=True), start=1):
        tables: Tables = {"train": pool.take(half), "validation": validation, "test": pool.take(~half)}
        try:
            execute(config, out / config.folder(), lambda _, tables=tables: tables, f"shadow {i}/{len(runs)}")
        except RunFailed as failure:
            raise UserError(f"Shadow model {i} failed: {failure}. Choose another recipe by --shadow-run.") from None
    return pool.ids.astype(str), seen


def answers(
    runs: Sequence[RunConfig], out: Path, images: np.ndarray, seen: np.ndarray, temperature: float = 1.0
) -> Shadows:
    """Return what trained shadow models say of faces.

    Args:
        runs: ``configs``, trained into ``out``.
        out: folder of their folders.
        images: uint8 (N, H, W, channels).
        seen: bool (S, N), whether each was trained on the face.
        temperature: divides the logits, as the audited network's.
    """
    found = [
        from_logits(evaluation.logits(models.load_model(out / c.folder() / MODEL), images, crop=c.crop) / temperature)
        for c in runs
    ]
    return Shadows(np.stack(found), seen)

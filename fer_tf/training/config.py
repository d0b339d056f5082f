"""The flat, JSON-able description of one training run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fer_tf import augment as augmentation
from fer_tf.datasets import COVERS, DATASETS
from fer_tf.errors import UserError
from fer_tf.evaluation.scoring import VIEWS
from fer_tf.losses import LOSSES
from fer_tf.models import MODELS
from fer_tf.training import AVERAGINGS
from fer_tf.training.objectives import OBJECTIVES
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.training.schedules import SCHEDULES

MANY = 2**31 - 1
# Lowest and highest value; None passes where it is allowed.
RANGES = {
    "epochs": (1, MANY), "batch_size": (1, MANY), "limit": (1, MANY), "crop": (1, MANY), "image_size": (1, MANY),
    "seed": (0, 2**32 - 1), "weight_decay": (0, 1e6), "l2": (0, 1e6),
    "kernel_l1": (0, 1e6), "kernel_l2": (0, 1e6), "clipnorm": (0, 1e6), "global_clipnorm": (0, 1e6),
    "clipvalue": (0, 1e6), "sharpness": (0, 1e6), "dropout": (0, 0.999),
    "label_noise": (0, 1),
}  # fmt: skip
KEPT = ("best", "last")
PRECISIONS = ("float32", "bfloat16", "auto")
# Settings that came later: at their defaults they stay out of the digest, so that older runs keep their folders.
LATER = {
    "objective": "classification", "landmarks": None, "label_noise": 0.0, "start": None, "cover": None, "keep": "best",
    "precision": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """Describe a training run by all that decides its result.

    Names and numbers are checked when it is built, before any work.

    Attributes:
        name: what tables call the run; it does not change the result.
        dataset: call string of the dataset registry.
        data: folder or file of the dataset; ``None`` for built-in ones.
        skip_bad: leave out unreadable rows (recorded) instead of stopping.
        limit: at most so many faces a split, evenly spaced, for quick looks; ``None`` for all.
        landmarks: a table of landmarks (``fer_tf.datasets.landmarks``) that gives the faces theirs, by id.
        cover: what the faces wear (``fer_tf.faces.masks.MaskSettings``), such as
            ``"cover(train='masked', evaluation='both')"``;
            needs landmarks.
        label_noise: share of the training faces that get a wrong label (``fer_tf.datasets.splits``).
        model: call string of the model registry.
        start: a trained network's ``.keras`` file, whose weights the run begins from (``models.initialize_from``).
        image_size: side in pixels to which faces are brought first; ``None`` keeps the dataset's.
        crop: side in pixels of the square that the network sees: random in training, centered in evaluation;
            ``None`` for the whole picture.
        optimizer, schedule, loss: call strings of their registries.
        learning_rate: base rate that the schedule scales.
        weight_decay: decoupled decay (Keras: scaled by the learning rate).
        l2: coupled decay, added to the gradient of every trainable variable (torch's ``weight_decay``).
        kernel_l1, kernel_l2: penalties on kernels, part of the loss.
        clipnorm, global_clipnorm, clipvalue: gradient clipping per variable, over all, per element.
        averaging: ``"ema(decay=0.999)"``, ``"swa(start=0.75)"`` or ``None``; evaluation uses the averaged weights.
        sharpness: radius ρ of sharpness-aware minimization (arXiv 2010.01412); 0 for none.
        dropout: dropout rate; ``None`` for the model's own.
        objective: call string of the objective registry: what the network is trained for.
        augment: call strings of the augmentation registry and preset names, in the order in which they run.
        epochs, batch_size, seed: as usual; one epoch shows every training face once.
        view: how test faces are shown: ``center``, ``flip`` (mean of two) or ``ten_crop``. Validation uses ``center``.
        keep: which epoch's network the run leaves: the ``best`` on validation, or the ``last`` (to study what networks
            learn by heart, for which an early choice is a remedy of its own).
        jit_compile: compile the step with XLA; slower where TensorFlow uses oneDNN.
        precision: what training computes in, ``float32``, ``bfloat16``, or ``auto``, see
            ``fer_tf.training.compute.resolve_precision``. Weights, losses, evaluation and files are float32 always.

    Raises:
        UserError: an unknown name or keyword, or a number out of range.

    Example:

    >>> config = RunConfig("first", model="vgg(width=0.25)", optimizer="adam", learning_rate=0.001, epochs=20)
    >>> RunConfig.from_json(config.to_json()) == config
    True
    """

    name: str
    dataset: str = "synthetic"
    data: str | None = None
    skip_bad: bool = False
    limit: int | None = None
    landmarks: str | None = None
    cover: str | None = None
    label_noise: float = 0.0
    model: str = "vgg"
    start: str | None = None
    image_size: int | None = None
    crop: int | None = 40
    optimizer: str = "nesterov"
    learning_rate: float = 0.01
    schedule: str = "constant"
    weight_decay: float = 0.0
    l2: float = 0.0
    kernel_l1: float = 0.0
    kernel_l2: float = 0.0
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    averaging: str | None = None
    sharpness: float = 0.0
    dropout: float | None = None
    loss: str = "cross_entropy"
    objective: str = "classification"
    augment: tuple[str, ...] = ()
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0
    view: str = "center"
    keep: str = "best"
    jit_compile: bool = False
    precision: str = "float32"

    def __post_init__(self):
        object.__setattr__(self, "augment", tuple(self.augment))
        for key, (low, high) in RANGES.items():
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                raise UserError(f"{key} is {value}. Expected {low:g} to {high:g}.")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate is {self.learning_rate}. Expected a number above 0.")
        if self.view not in VIEWS:
            raise UserError(f"Unknown view {self.view!r}. Available: {', '.join(VIEWS)}.")
        if self.keep not in KEPT:
            raise UserError(f"Unknown keep {self.keep!r}. Available: {', '.join(KEPT)}.")
        if self.precision not in PRECISIONS:
            raise UserError(f"Unknown precision {self.precision!r}. Available: {', '.join(PRECISIONS)}.")
        self._resolve_names()

    def _resolve_names(self) -> None:
        cells = [(DATASETS, self.dataset), (MODELS, self.model), (OPTIMIZERS, self.optimizer)]
        cells += [(SCHEDULES, self.schedule), (LOSSES, self.loss), (OBJECTIVES, self.objective)]
        cells += [(AVERAGINGS, self.averaging)] if self.averaging else []
        for registry, text in cells:
            registry.resolve(text)
        if self.cover:
            COVERS.make(self.cover)
        augmentation.get(self.augment)
        augmentation.check_columns(self.augment, self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the objective needs of a face besides its target (``fer_tf.input_pipeline.batches.COLUMNS``)."""
        return OBJECTIVES.resolve(self.objective)[0].facts["columns"]

    @property
    def networks(self) -> tuple[str, ...]:
        """Paths of the trained networks that the run begins from or learns from."""
        row, keywords = OBJECTIVES.resolve(self.objective)
        teachers = keywords.get(row.facts.get("networks", ""), ())
        return (*([self.start] if self.start else []), *teachers)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as a flat dict of JSON values."""
        return {**asdict(self), "augment": list(self.augment)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Build a configuration from ``to_json``'s dict.

        Raises:
            UserError: a key that no configuration has.
        """
        known = {f.name for f in fields(cls)}
        strange = sorted(set(values) - known)
        if strange:
            raise UserError(f"Unknown setting {strange[0]!r}. Available: {', '.join(sorted(known))}.")
        return cls(**values)

    def digest(self) -> str:
        """Return eight hex digits that change with any setting but the name."""
        values = self.to_json()
        del values["name"]
        for key, default in LATER.items():
            if values[key] == default:
                del values[key]
        return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=4).hexdigest()

    def folder(self) -> str:
        """Return the run's folder name: its name, made safe for any file system, and its digest."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.name)
        return f"{safe[:80]}-{self.digest()}"

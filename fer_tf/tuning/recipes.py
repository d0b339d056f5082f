"""Create run configurations: shared flags, seeds, optimizers and schedules."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fer_tf import registry
from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS


def shared_settings(options: argparse.Namespace) -> dict:
    """Return the values of the shared flags, as keywords of ``RunConfig``."""
    return {
        "dataset": options.dataset, "data": str(Path(options.data).absolute()) if options.data else None,
        "skip_bad": options.skip_bad, "limit": options.limit, "image_size": options.size, "crop": options.crop or None,
        "loss": options.loss or _usual_loss(options.dataset), "epochs": options.epochs,
        "batch_size": options.batch_size, "view": options.view, "jit_compile": options.jit,
        "precision": options.precision,
    }  # fmt: skip


def runs(options: argparse.Namespace, variants: Mapping[str, Mapping[str, Any]], **settings: Any) -> list[RunConfig]:
    """Create a run for each variant, seed by seed.

    Args:
        options: of the study; the shared flags.
        variants: what differs, by name of the run: keywords of ``RunConfig``.
        settings: further keywords, the same for all. They win over the shared flags, and variants win over both.
    """
    shared = {**shared_settings(options), **settings}
    return over_seeds([RunConfig(name=name, **{**shared, **own}) for name, own in variants.items()], options.seeds)


def over_seeds(configs: Sequence[RunConfig], seeds: Sequence[int]) -> list[RunConfig]:
    """Repeat configurations for every seed; the seed joins the name when there are several.

    Example:
        >>> [config.name for config in over_seeds([RunConfig(name="adam")], (0, 1))]
        ['adam-seed0', 'adam-seed1']
    """
    return [
        replace(c, seed=seed, name=f"{c.name}-seed{seed}" if len(seeds) > 1 else c.name)
        for seed in seeds
        for c in configs
    ]


def add_learning_rate(group: Callable[..., Any], default: float, optimizer: str = "AdamW") -> None:
    """Add ``--learning-rate`` to a group's ``add_argument``."""
    group("--learning-rate", type=float, default=default, help=f"of {optimizer} (default %(default)s)")


def adamw(options: argparse.Namespace) -> dict[str, Any]:
    """Return keywords of ``RunConfig``: AdamW, one epoch of warm-up and one cosine."""
    rate = {"optimizer": "adamw", "learning_rate": options.learning_rate, "weight_decay": 0.05}
    return {**rate, "schedule": warmup_cosine(options.epochs), "augment": ("light",)}


def warmup_cosine(epochs: int, longest: float = 1) -> str:
    """Return a schedule's call string: warm-up for a tenth of the epochs, then one cosine.

    Args:
        epochs: length of the run.
        longest: most epochs of warm-up.

    Example:
        >>> warmup_cosine(4)
        'warmup_cosine(warmup=0.4)'
    """
    return f"warmup_cosine(warmup={min(longest, epochs / 10):g})"


def with_keywords(call: str, **keywords: Any) -> str:
    """Return a call string with keywords added or replaced.

    Example:
        >>> with_keywords("vgg(depth=1)", batch_norm=False)
        'vgg(depth=1, batch_norm=False)'
    """
    name, given = registry.parse(call)
    return registry.render(name, {**given, **keywords})


def sized(model: str, width: float) -> str:
    """Return a model's call string with ``width`` set, unless it sets its own.

    Example:
        >>> sized("vgg(depth=1)", 0.5)
        'vgg(width=0.5, depth=1)'
    """
    name, keywords = registry.parse(model)
    return registry.render(name, {"width": width, **keywords})


def split_calls(text: str) -> tuple[str, ...]:
    """Split call strings at ``;``.

    Example:
        >>> split_calls("flip(); affine(rotation=3)")
        ('flip()', 'affine(rotation=3)')
    """
    return tuple(part.strip() for part in text.split(";") if part.strip())


def schedules(epochs: int) -> list[str]:
    """Return seven schedules as call strings, constant first.

    From 100 epochs on they have the arguments of arXiv 2105.03588, which trained for 300. Shorter runs have them
    compressed, so that a schedule does in the run what its name says: the rate halves four times, periods end in a
    trough, plateau acts within the run.

    Args:
        epochs: length of the run.

    Example:
        >>> schedules(300)[:3]
        ['constant', 'step', 'plateau']
    """
    if epochs >= 100:
        step, cosine, restarts, plateau = "step", "cosine", "warm_restarts", "plateau"
    else:
        third = max(1, math.ceil(epochs / 3))
        step = f"step(every={max(1, epochs // 5)})"
        cosine, restarts = f"cosine(t_max={third})", f"warm_restarts(t_0={third})"
        plateau = f"plateau(factor=0.5, patience={round(epochs / 20)})"
    return ["constant", step, plateau, cosine, restarts, "one_cycle", warmup_cosine(epochs, 5)]


def optimizer_settings(optimizer: str, rate: str, decay: float) -> dict[str, Any]:
    """Return keywords of ``RunConfig``: an optimizer, its rate, and the kind of decay that belongs to it.

    Args:
        optimizer: name in ``OPTIMIZERS``.
        rate: ``own`` (the optimizer's usual rate), ``study`` (the 0.01 of arXiv 2105.03588 where it had the optimizer,
            else the usual one) or a number.
        decay: strength; coupled or decoupled as the optimizer's name says.

    Raises:
        UserError: ``rate`` is none of these.

    Example:
        >>> optimizer_settings("adam", "own", 1e-4)
        {'optimizer': 'adam', 'learning_rate': 0.001, 'l2': 0.0001}
    """
    facts = OPTIMIZERS[optimizer].facts
    if rate == "study":
        value = facts.get("study_learning_rate", facts["learning_rate"])
    else:
        try:
            value = facts["learning_rate"] if rate == "own" else float(rate)
        except ValueError:
            raise UserError(f"Unknown learning rate {rate!r}. Expected own, study or a number.") from None
    kind = {"coupled": "l2", "decoupled": "weight_decay"}[facts["decay"]]
    # Decoupled decay is scaled by the learning rate: the same pull per step as coupled decay at SGD's 0.01.
    strength = decay if kind == "l2" else decay * 0.01 / value
    return {"optimizer": optimizer, "learning_rate": value, kind: strength}


def _usual_loss(dataset: str) -> str:
    # FER+'s multi-target mode is a way to read votes and a loss for them; under another loss it is another method.
    _, keywords = registry.parse(dataset)
    return "multi_target" if keywords.get("mode") == "multi_target" else "cross_entropy"

"""Create optimizers by name, with decay, clipping and averaging.

Facts of a row:
    learning_rate: a sensible rate for a batch-normalized VGG from scratch on FER2013.
    study_learning_rate: the published study's, which was 0.01 for each of its seven.
    decay: the kind that belongs to the name: "coupled" (``l2``) or "decoupled" (``weight_decay``).
    averages: whether it evaluates an average of its iterates by itself.
    reference: where the rule is from.
"""

from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.registry import Registry, attach

if TYPE_CHECKING:
    import keras

__getattr__, __dir__, __all__ = attach(
    __name__,
    *(
        f"fer_tf.training.optimizer_configs:{name}"
        for name in ("Adadelta", "Adagrad", "Adam", "Lamb", "Lion", "Muon", "Nadam", "SGD", "ScheduleFreeAdamW")
    ),
    "fer_tf.training.optimizer_mixin:SharpnessAware",
    own=("OPTIMIZERS", "get"),
)

OPTIMIZERS = Registry("optimizer")


def _add(name: str, rule: str, keywords: dict[str, Any] | None = None, *, averages: bool = False, **facts: Any) -> None:
    OPTIMIZERS.add(name, f"fer_tf.training.optimizer_configs:{rule}", keywords, averages=averages, **facts)


_STUDY: dict[str, Any] = {"study_learning_rate": 0.01, "decay": "coupled"}
_add("sgd", "sgd", learning_rate=0.01, reference="Polyak 1964", **_STUDY)
_add("nesterov", "sgd", {"nesterov": True}, learning_rate=0.01, reference="Sutskever et al. 2013", **_STUDY)
_add("asgd", "asgd", averages=True, learning_rate=0.05, reference="Polyak and Juditsky 1992", **_STUDY)
_add("adam", "adam", learning_rate=0.001, reference="arXiv 1412.6980", **_STUDY)
_add("amsgrad", "adam", {"amsgrad": True}, learning_rate=0.001, reference="arXiv 1904.09237", **_STUDY)
_add("adagrad", "adagrad", learning_rate=0.01, reference="Duchi et al. 2011", **_STUDY)
_add("adadelta", "adadelta", learning_rate=1.0, reference="arXiv 1212.5701", **_STUDY)
_add("adamw", "adam", learning_rate=0.001, decay="decoupled", reference="arXiv 1711.05101")
_add("nadam", "nadam", learning_rate=0.001, decay="coupled", reference="Dozat 2016")
_add("lion", "lion", learning_rate=0.0002, decay="decoupled", reference="arXiv 2302.06675")
_add("lamb", "lamb", learning_rate=0.005, decay="decoupled", reference="arXiv 1904.00962")
_add("muon", "muon", learning_rate=0.002, decay="decoupled", reference="arXiv 2502.16982")
_add(
    "schedule_free_adamw", "schedule_free_adamw",
    averages=True, learning_rate=0.0025, decay="decoupled", reference="arXiv 2405.15682",
)  # fmt: skip


def get(
    identifier: "str | keras.optimizers.Optimizer",
    learning_rate: "float | keras.optimizers.schedules.LearningRateSchedule | None" = None,
    *,
    weight_decay: float = 0.0,
    l2: float = 0.0,
    clipnorm: float | None = None,
    global_clipnorm: float | None = None,
    clipvalue: float | None = None,
    averaging: str | None = None,
    sharpness: float = 0.0,
    total_steps: int | None = None,
) -> "keras.optimizers.Optimizer":
    """Return an optimizer for its call string, such as ``"sgd(momentum=0.8)"``.

    The order within a step: clip the gradient of the loss, add the coupled decay, apply the decoupled decay, take the
    rule's step, fold the weights into the average.

    Args:
        identifier: a name of ``OPTIMIZERS`` with its keywords; or an optimizer, which is returned as it is.
        learning_rate: a number, or a Keras schedule over optimizer steps; ``None`` means the usual one of the name.
        weight_decay: decoupled decay; learning rate · weight_decay · w leaves the weights in each step.
        l2: coupled decay; l2·w joins the gradient of every trainable variable.
        clipnorm, global_clipnorm, clipvalue: largest norm a variable, norm over all, or size of an element; one only.
        averaging: call string of ``AVERAGINGS``, or ``None``.
        sharpness: radius ρ of sharpness-aware minimization; the reader must then give each batch
            ``fer_tf.training.optimizer_mixin.batch_repeats`` times. 0 for none.
        total_steps: optimizer steps of the whole run; needed by ``asgd`` and ``swa``.

    Raises:
        UserError: an unknown name or keyword, a value out of range, or settings that exclude each other.

    Example:

    >>> optimizer = get("sgd(momentum=0.8)", 0.05, l2=1e-4)
    >>> optimizer.momentum, round(float(optimizer.learning_rate), 3)
    (0.8, 0.05)
    """
    if not isinstance(identifier, str):
        return identifier
    text = identifier
    from fer_tf.training.optimizer_mixin import SharpnessAware, check_settings

    clips = {"clipnorm": clipnorm, "global_clipnorm": global_clipnorm, "clipvalue": clipvalue}
    check_settings(text, weight_decay, l2, clips)
    if not sharpness >= 0:
        raise UserError(f"Optimizer {text!r}: sharpness must be at least 0, got {sharpness!r}.")
    row, _ = OPTIMIZERS.resolve(text)
    if averaging and row.facts["averages"]:
        raise UserError(f"Optimizer {row.name!r} averages its weights by itself; leave out averaging {averaging!r}.")
    if learning_rate is None:
        learning_rate = row.facts["learning_rate"]
    rate = learning_rate if callable(learning_rate) else float(learning_rate)
    kind, keywords = OPTIMIZERS.make(text)
    settings = {"averaging": averaging, **keywords, **clips, "l2": l2, "total_steps": total_steps}
    try:
        optimizer = kind(learning_rate=rate, weight_decay=weight_decay or None, **settings)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"Optimizer {text!r}: {' '.join(str(error).split())}") from None
    return SharpnessAware(optimizer, sharpness) if sharpness else optimizer

"""Metrics of classification, calibration and label distributions.

``ExpectedCalibrationError`` and ``MacroF1`` are Keras metrics for ``model.compile``. All other names are NumPy
functions of whole splits. Targets are float (N, C) with rows that sum to 1. ``fer_tf.evaluation.scores`` computes
them all at once.
"""

from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.registry import Registry, attach

if TYPE_CHECKING:
    import keras

METRICS = Registry("metric")
METRICS.add("expected_calibration_error", "fer_tf.metrics.keras_metrics:ExpectedCalibrationError")
METRICS.add("macro_f1", "fer_tf.metrics.keras_metrics:MacroF1")


def get(identifier: "str | keras.metrics.Metric", **common: Any) -> "keras.metrics.Metric":
    """Return a Keras metric for its call string.

    Args:
        identifier: a name of ``METRICS`` with keywords of its class, such as ``"macro_f1(num_classes=7)"``; or a
            metric, which is returned as it is.
        **common: more keywords for the class, such as ``name`` and ``dtype``.

    Returns:
        A Keras metric of targets and predictions, float (N, C) each.

    Raises:
        UserError: an unknown name or keyword, a value out of range, or keywords beside a metric that is built already.

    Example:
        >>> import fer_tf
        >>> fer_tf.metrics.get("expected_calibration_error(bins=10)").bins
        10
    """
    if isinstance(identifier, str):
        return METRICS.make(identifier, **common)
    if not callable(identifier) or common:
        raise UserError(
            "Expected a call string such as 'macro_f1(num_classes=7)', or a metric without more keywords, "
            f"got {identifier!r}."
        )
    return identifier


__getattr__, __dir__, __all__ = attach(
    __name__,
    *METRICS.targets,
    "fer_tf.metrics.calibration:Reliability",
    "fer_tf.metrics.calibration:brier_score",
    "fer_tf.metrics.calibration:expected_calibration_error",
    "fer_tf.metrics.calibration:fit_temperature",
    "fer_tf.metrics.calibration:negative_log_likelihood",
    "fer_tf.metrics.calibration:prior_shift",
    "fer_tf.metrics.calibration:reliability",
    "fer_tf.metrics.calibration:confusion_matrix",
    "fer_tf.metrics.calibration:f1",
    "fer_tf.metrics.calibration:precision",
    "fer_tf.metrics.calibration:recall",
    "fer_tf.metrics.conformal",
    "fer_tf.metrics.distribution:canberra",
    "fer_tf.metrics.distribution:chebyshev",
    "fer_tf.metrics.distribution:clark",
    "fer_tf.metrics.distribution:cosine",
    "fer_tf.metrics.distribution:distribution_means",
    "fer_tf.metrics.distribution:entropy",
    "fer_tf.metrics.distribution:entropy_correlation",
    "fer_tf.metrics.distribution:intersection",
    "fer_tf.metrics.distribution:kl",
    "fer_tf.metrics.distribution:log_softmax",
    "fer_tf.metrics.distribution:softmax",
    "fer_tf.metrics.conformal:accuracy_at_coverage",
    "fer_tf.metrics.conformal:aurc",
    "fer_tf.metrics.conformal:excess_aurc",
    "fer_tf.metrics.conformal:risk_coverage",
    own=("METRICS", "get"),
)

"""Evaluate trained networks on a dataset."""

from fer_tf._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.evaluation.ensemble:Uncertainty",
    "fer_tf.evaluation.ensemble:combine",
    "fer_tf.evaluation.ensemble:member_logits",
    "fer_tf.evaluation.ensemble:uncertainty_of",
    "fer_tf.evaluation.forward:logits",
    "fer_tf.evaluation.label_distribution:distribution_scores",
    "fer_tf.evaluation.latency:measure_latency",
    "fer_tf.evaluation.scoring:scores",
    "fer_tf.evaluation.uncertainty",
)

"""Evaluate trained networks on a dataset."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.evaluation.uncertainty:Uncertainty",
    "fer_tf.evaluation.uncertainty:combine",
    "fer_tf.evaluation.uncertainty:member_logits",
    "fer_tf.evaluation.uncertainty:uncertainty_of",
    "fer_tf.evaluation.scoring:logits",
    "fer_tf.evaluation.scoring:distribution_scores",
    "fer_tf.evaluation.scoring:measure_latency",
    "fer_tf.evaluation.scoring:scores",
    "fer_tf.evaluation.uncertainty",
)

"""What a trained network says of a dataset, and how good that is."""

from fer_tf.evaluation.forward import logits
from fer_tf.evaluation.opinions import distribution_scores
from fer_tf.evaluation.scoring import scores

__all__ = ["distribution_scores", "logits", "scores"]

"""Audit networks for membership inference.

An attack gives every face a score; the higher, the likelier the face was in the training. ``audit_predictions`` runs
attacks and measures them. The command ``fer-tf privacy`` audits a network or a file of predictions.
"""

from fer_tf.registry import Registry, attach

ATTACKS = Registry("attack")
ATTACKS.add("correctness", "fer_tf.privacy.attacks:correctness", title="correctness alone")
ATTACKS.add("loss", "fer_tf.privacy.attacks:loss", title="loss threshold")
ATTACKS.add("confidence", "fer_tf.privacy.attacks:confidence", title="confidence threshold")
ATTACKS.add("entropy", "fer_tf.privacy.attacks:entropy", title="entropy threshold")
ATTACKS.add("modified_entropy", "fer_tf.privacy.attacks:modified_entropy", title="modified-entropy threshold")
ATTACKS.add("logistic", "fer_tf.privacy.attacks:learned", {"attacker": "logistic"}, title="logistic regression")
ATTACKS.add("forest", "fer_tf.privacy.attacks:learned", {"attacker": "forest"}, title="random forest")
ATTACKS.add("mlp", "fer_tf.privacy.attacks:learned", {"attacker": "mlp"}, title="neural network")
ATTACKS.add("neighbors", "fer_tf.privacy.attacks:learned", {"attacker": "neighbors"}, title="nearest neighbors")
ATTACKS.add("shadow", "fer_tf.privacy.attacks:shadow", title="shadow models")
ATTACKS.add("lira", "fer_tf.privacy.attacks:lira", title="LiRA, offline")
ATTACKS.add("lira_online", "fer_tf.privacy.attacks:lira_online", title="LiRA, online")

# The attacks that run by default; the second group only where there are shadow models.
USUAL = ("correctness", "loss", "confidence", "entropy", "modified_entropy", "logistic", "forest")
SHADOW_ATTACKS = ("shadow", "lira", "lira_online")

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.privacy.audit:AttackResult",
    "fer_tf.privacy.audit:attack_scores",
    "fer_tf.privacy.audit:audit_predictions",
    "fer_tf.privacy.audit:summarize",
    "fer_tf.privacy.audit",
    "fer_tf.privacy.measures:RocCurve",
    "fer_tf.privacy.measures:measure_attack",
    "fer_tf.privacy.measures:roc_curve",
    "fer_tf.privacy.networks",
    "fer_tf.privacy.networks:AuditedModel",
    "fer_tf.privacy.networks:load_audited_model",
    "fer_tf.privacy.predictions:Predictions",
    "fer_tf.privacy.predictions:ShadowPredictions",
    "fer_tf.privacy.predictions:from_logits",
    "fer_tf.privacy.predictions:from_probabilities",
    "fer_tf.privacy.predictions:read_predictions",
    "fer_tf.privacy.report",
    "fer_tf.privacy.predictions:balanced_rows",
    own=("ATTACKS", "SHADOW_ATTACKS", "USUAL"),
)

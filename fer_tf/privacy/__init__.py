"""Membership inference: can it be told from a network's answers which faces it was trained on?

An attack gives every face a score; the higher, the likelier it was in training. Facts of a row of ``ATTACKS``:
``needs`` (``outputs``: the network's answers and the labels; ``members``: also examples of both sides, from the other
half of the faces; ``shadows``: networks trained like this one on known faces), ``title``, ``seeded`` (it draws) and
``reference``.
"""

from fer_tf.registry import Registry

__all__ = ["ATTACKS", "SHADOW_ATTACKS", "USUAL"]

ATTACKS = Registry("attack")
ATTACKS.add(
    "correctness", "fer_tf.privacy.scores:correctness", needs="outputs", title="correctness alone",
    reference="arXiv 1709.01604",
)  # fmt: skip
ATTACKS.add("loss", "fer_tf.privacy.scores:loss", needs="outputs", title="loss threshold", reference="arXiv 1709.01604")
ATTACKS.add(
    "confidence", "fer_tf.privacy.scores:confidence", needs="outputs", title="confidence threshold",
    reference="arXiv 1806.01246",
)  # fmt: skip
ATTACKS.add(
    "entropy", "fer_tf.privacy.scores:entropy", needs="outputs", title="entropy threshold",
    reference="arXiv 1806.01246",
)  # fmt: skip
ATTACKS.add(
    "modified_entropy", "fer_tf.privacy.scores:modified_entropy", needs="outputs", title="modified-entropy threshold",
    reference="arXiv 2003.10595",
)  # fmt: skip
for _name, _title in (
    ("logistic", "logistic regression"), ("forest", "random forest"), ("mlp", "neural network"),
    ("neighbours", "nearest neighbours"),
):  # fmt: skip
    ATTACKS.add(
        _name, "fer_tf.privacy.attackers:cross_fitted", keywords={"attacker": _name}, needs="members", seeded=True,
        title=f"learned: {_title}", reference="arXiv 1806.01246",
    )  # fmt: skip
ATTACKS.add(
    "shadow", "fer_tf.privacy.attackers:from_shadows", needs="shadows", seeded=True, title="shadow models",
    reference="arXiv 1610.05820",
)  # fmt: skip
ATTACKS.add("lira", "fer_tf.privacy.lira:offline", needs="shadows", title="LiRA, offline", reference="arXiv 2112.03570")
ATTACKS.add(
    "lira_online", "fer_tf.privacy.lira:online", needs="shadows", title="LiRA, online", reference="arXiv 2112.03570"
)

# What is tried when nothing else is asked for; the second group only where there are shadow models.
USUAL = ("correctness", "loss", "confidence", "entropy", "modified_entropy", "logistic", "forest")
SHADOW_ATTACKS = ("shadow", "lira", "lira_online")

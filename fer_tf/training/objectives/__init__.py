"""What a network is trained for. ``get`` makes an objective from its call string.

Facts of a row: ``columns`` (what a batch must have besides targets, see ``fer_tf.input_pipeline.batches.COLUMNS``),
``layers`` (names that the network must have), ``outputs`` (keys of its dict of outputs besides ``logits``),
``models`` (rows of ``MODELS`` that have them), ``by_face`` (whether a batch's loss is the mean of its faces' losses, by
the default keywords), and ``networks`` (the keyword that names files of trained networks, if there is one).
"""

from typing import TYPE_CHECKING

from fer_tf.errors import UserError
from fer_tf.input_pipeline.batches import check_columns
from fer_tf.registry import Registry

if TYPE_CHECKING:
    import keras

    from fer_tf.facetable import FaceTable
    from fer_tf.training.objectives.base import Objective

OBJECTIVES = Registry("objective")
OBJECTIVES.add(
    "classification", "fer_tf.training.objectives.base:Classification",
    columns=(), layers=(), outputs=(), models=(), by_face=True, reference="arXiv 2103.17107 for the class weights",
)  # fmt: skip
OBJECTIVES.add(
    "scn", "fer_tf.training.objectives.networks:SCNObjective",
    columns=("index",), layers=("alpha",), outputs=(), models=("scn", "landmark_scn"), by_face=False,
    reference="arXiv 2002.10392",
)  # fmt: skip
OBJECTIVES.add(
    "dan", "fer_tf.training.objectives.networks:DANObjective",
    columns=(), layers=("features", "heads"), outputs=(), models=("dan",), by_face=True, reference="arXiv 2109.07270",
)  # fmt: skip
OBJECTIVES.add(
    "ran", "fer_tf.training.objectives.networks:RegionAttention",
    columns=(), layers=("region_weights",), outputs=(), models=("ran",), by_face=True, reference="arXiv 1905.04075",
)  # fmt: skip
OBJECTIVES.add(
    "landmarks", "fer_tf.training.objectives.targets:Landmarks",
    columns=("index", "landmarks"), layers=("alpha",), outputs=("landmarks",), models=("landmark_scn",),
    by_face=False, reference="arXiv 2002.10392",
)  # fmt: skip
OBJECTIVES.add(
    "multitask", "fer_tf.training.objectives.targets:Multitask",
    columns=("valence_arousal",), layers=(), outputs=("valence_arousal",),
    models=("efficientnet_b0(valence_arousal=True)", "resnet10(valence_arousal=True)"), by_face=False,
    reference="arXiv 2103.17107",
)  # fmt: skip
OBJECTIVES.add(
    "distillation", "fer_tf.training.objectives.targets:Distillation",
    columns=(), layers=(), outputs=(), models=(), networks="teachers", by_face=True, reference="arXiv 1503.02531",
)  # fmt: skip


def get(text: str, network: "keras.Model", table: "FaceTable") -> "Objective":
    """Build an objective from its call string, such as ``"scn(beta=0.7)"``.

    Args:
        text: a name of ``OBJECTIVES``, with keywords of its class.
        network: what is to be trained; the objective holds it as ``.network``.
        table: the training faces.

    Returns:
        A Keras model for ``compile`` and ``fit``.

    Raises:
        UserError: an unknown name or keyword, a value out of range, or a network or table without what the objective
            needs.
    """
    check_network(text, network)
    check_columns(table, OBJECTIVES.resolve(text)[0].facts["columns"])
    objective = OBJECTIVES.make(text, network, table)
    if not objective.built:
        objective.build(network.input_shape)
    return objective


def check_network(text: str, network: "keras.Model") -> None:
    """Raise a ``UserError`` unless the network has the layers and outputs that an objective needs."""
    row, _ = OBJECTIVES.resolve(text)
    present = {layer.name for layer in network.layers}
    outputs = set(network.output) if isinstance(network.output, dict) else set()
    lacking = [f"layer {name!r}" for name in row.facts["layers"] if name not in present]
    lacking += [f"output {name!r}" for name in row.facts["outputs"] if name not in outputs]
    if lacking:
        able = " or ".join(row.facts["models"])
        raise UserError(
            f"Objective {row.name!r} needs a network with {lacking[0]}, such as {able}; got {network.name!r}."
        )

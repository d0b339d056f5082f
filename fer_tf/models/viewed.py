"""A network that looks at several crops of a face and says the mean: one model, one file."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_tf.errors import UserError
from fer_tf.models.saving import metadata_of

if TYPE_CHECKING:
    import keras

# Top and left of a crop, as shares of the room there is for it, and whether it is mirrored.
View = tuple[float, float, bool]


def grid(side: int) -> list[View]:
    """Return ``side`` × ``side`` crops, evenly spread from corner to corner, every other one mirrored.

    Raises:
        UserError: fewer than two a side.
    """
    if side < 2:
        raise UserError(f"A grid of {side} crops a side has no corners. Expected 2 or more.")
    shares = [i / (side - 1) for i in range(side)]
    return [(y, x, (i + j) % 2 == 1) for i, y in enumerate(shares) for j, x in enumerate(shares)]


def averaged(network: "keras.Model", views: Sequence[View]) -> "keras.Model":
    """Put crops before a network and the mean of its logits behind it; the network's weights are shared, not copied.

    Args:
        network: with facts; the face that it expects must be larger than its input.
        views: crops of the whole face; at places of whole pixels, halves to the even one.

    Returns:
        A model of whole faces (N, S, S, channels) with the network's facts and ``views``, but without a layer for heat
        maps.

    Raises:
        UserError: no view, or a network that sees the whole face.
    """
    import keras
    from keras import ops

    from fer_tf.models import logits_of

    facts = metadata_of(network)
    height, width, channels = network.input_shape[1:]
    room = facts.face_size - height, facts.face_size - width
    if not views or min(room) <= 0:
        raise UserError(f"Network {network.name!r} sees all of its faces: there is no room for several crops.")
    faces = keras.Input((facts.face_size, facts.face_size, channels), name="faces")
    crops = []
    for down, right, mirrored in views:
        top, left = round(down * room[0]), round(right * room[1])
        crop = faces[:, top : top + height, left : left + width]
        crops.append(ops.flip(crop, axis=2) if mirrored else crop)
    # One call for all crops: as many calls make as many copies of the graph.
    logits = logits_of(network(ops.concatenate(crops, axis=0)))
    outputs = ops.mean(ops.reshape(logits, (len(views), -1, len(facts.label_set))), axis=0)
    model = keras.Model(faces, outputs, name=f"{network.name}_views")
    model.metadata = dataclasses.replace(facts, gradcam_layer=None, views=len(views))
    return model

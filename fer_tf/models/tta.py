"""Test-time augmentation inside a model: mean logits of several crops."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_tf.errors import UserError
from fer_tf.models import logits_of
from fer_tf.models.saving import metadata_of

if TYPE_CHECKING:
    import keras

# A crop: its top and left as shares, 0 to 1, of the possible positions, and whether it is mirrored.
Crop = tuple[float, float, bool]


def crop_grid(side: int) -> list[Crop]:
    """Return ``side`` × ``side`` evenly spread crops, every other one mirrored.

    Args:
        side: crops in each direction, from corner to corner.

    Returns:
        A list of (top, left, mirrored), see ``average_crops``.

    Raises:
        UserError: fewer than two crops in each direction.

    Example:
        >>> crop_grid(2)
        [(0.0, 0.0, False), (0.0, 1.0, True), (1.0, 0.0, True), (1.0, 1.0, False)]
    """
    if side < 2:
        raise UserError(f"A grid of {side} crops in each direction has no corners. Expected 2 or more.")
    shares = [i / (side - 1) for i in range(side)]
    return [(y, x, (i + j) % 2 == 1) for i, y in enumerate(shares) for j, x in enumerate(shares)]


def average_crops(network: "keras.Model", crops: Sequence[Crop]) -> "keras.Model":
    """Make a model that averages a network's logits over several crops of the face.

    The weights are shared with the network, not copied.

    Args:
        network: a model with metadata whose face size is larger than its input.
        crops: (top, left, mirrored) of each crop: its position as shares, 0 to 1, of the possible ones, rounded to
            whole pixels (halves to the even one), and whether it is mirrored.

    Returns:
        A model of whole faces (N, S, S, channels) with the metadata of the network, the number of ``views``, and no
        layer for heat maps.

    Raises:
        UserError: no crop, or a network that sees the whole face.

    Example:
        >>> import fer_tf
        >>> average_crops(fer_tf.load_model("ferplus"), crop_grid(2)).metadata.views
        4
    """
    import keras
    from keras import ops

    facts = metadata_of(network)
    height, width, channels = network.input_shape[1:]
    room = facts.face_size - height, facts.face_size - width
    if not crops or min(room) <= 0:
        raise UserError(
            f"Network {network.name!r} sees the whole face: there is no room for several crops. "
            "Expected a face size above the input size."
        )
    faces = keras.Input((facts.face_size, facts.face_size, channels), name="faces")
    windows = []
    for down, right, mirrored in crops:
        top, left = round(down * room[0]), round(right * room[1])
        window = faces[:, top : top + height, left : left + width]
        windows.append(ops.flip(window, axis=2) if mirrored else window)
    # One call for all crops: as many calls make as many copies of the graph.
    logits = logits_of(network(ops.concatenate(windows, axis=0)))
    outputs = ops.mean(ops.reshape(logits, (len(crops), -1, len(facts.label_set))), axis=0)
    model = keras.Model(faces, outputs, name=f"{network.name}_views")
    model.metadata = dataclasses.replace(facts, gradcam_layer=None, views=len(crops))
    return model

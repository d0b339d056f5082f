"""What a network is trained for: the wrapper that holds it while it learns."""

from typing import Any

import keras


class Objective(keras.Model):
    """Train ``network`` on one loss; subclasses override ``compute_loss`` and ``compute_metrics`` for more.

    The wrapper carries all that belongs to training alone (optimizer, loss, metrics, centres, relabel tables), so
    that the network itself stays uncompiled: only ``.network`` is saved, explained and exported.

    Args:
        network: built model from pixels (N, H, W, C) in 0..255 to logits (N, classes).
    """

    def __init__(self, network: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.network = network
        self.build(network.input_shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Mark as built: the network has its variables already."""
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the network's logits, float (N, classes)."""
        return self.network(images, training=training)

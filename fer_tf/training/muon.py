"""Muon for networks of convolutions."""

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class ConvMuon(keras.optimizers.Muon):
    """Orthogonalise the momentum of every hidden kernel; give all else to AdamW.

    Keras' Muon (3.15) does so for 2-D kernels alone and hands convolutions to AdamW, which in a VGG is nearly all of
    the network. Here a kernel (…, in, out) is one matrix (… · in, out). AdamW keeps biases, batch-norm, embeddings,
    depthwise kernels (one column, nothing to orthogonalise) and the layer of logits. Both rules see one learning
    rate, as the update is scaled to the size of Adam's.

    The cost is about 30·r·c·min(r, c) operations a step for an r×c matrix: 2·10¹² for a 4096×4096 dense layer, so
    give the network a narrow head, or a GPU.

    Args:
        exclude_layers: patterns of variable paths that AdamW keeps.

    References:
        github.com/KellerJordan/Muon; arXiv 2502.16982 for the scale.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = None,
        exclude_layers: Sequence[str] = ("logits",),
        **kwargs: Any,
    ):
        # One decay for both rules: Keras has two, each 0.004 when not given.
        kwargs["adam_weight_decay"] = weight_decay
        super().__init__(learning_rate, weight_decay=weight_decay, exclude_layers=list(exclude_layers), **kwargs)

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) <= 2:
            return super()._should_use_adamw(variable)
        excluded = any(re.search(pattern, variable.path) for pattern in (*self.exclude_layers, "depthwise"))
        return excluded or variable.shape[-1] == 1 or math.prod(variable.shape[:-1]) == 1

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, ops.add(ops.multiply(m, self.momentum), gradient))
        ahead = ops.add(gradient, ops.multiply(m, self.momentum)) if self.nesterov else ops.convert_to_tensor(m)
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        update = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.multiply(ops.cast(lr, variable.dtype), ops.reshape(update, variable.shape)))

"""Compute heat maps of a batch of random faces, beside tf-keras-vis.

Of 20 maps 19 must be alike: they differ by less than 0.0001, before they are enlarged. Not all: where a ReLU's input is
0 to within rounding, its gradient is all or nothing, and Grad-CAM++ divides by a number that may be near 0.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import Work

DIFFERENCE, ALIKE = 1e-4, 0.95


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``gradcam`` and ``gradcam++`` on ``settings["faces"]`` faces, ``settings["calls"]`` times."""
    from fer_tf import explain

    network, faces = _load(settings)

    ways = {method: explain.get(method, network) for method in ("gradcam", "gradcam++")}
    return {
        method: lambda way=way: sum(len(way.explain(faces).raw) for _ in range(settings["calls"]))
        for method, way in ways.items()
    }


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same of tf-keras-vis, with the layer that we explain; a job whose maps are not ours fails."""
    import tensorflow as tf
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    from fer_tf import explain
    from fer_tf.models import logits_of

    network, faces = _load(settings)
    network_of_logits = type(network)(network.inputs, logits_of(network.output))

    def way(kind: type, method: str) -> Callable[[], int]:
        explainer, other = explain.get(method, network), kind(network_of_logits)
        found = explainer.explain(faces)

        def maps(**options: bool) -> Any:
            return np.asarray(other(lambda logits: tf.gather(logits, found.classes, batch_dims=1), faces,
                                    penultimate_layer=explainer.layer, seek_penultimate_conv_layer=False,
                                    **options))  # fmt: skip

        both = [m.clip(0) for m in (found.raw, maps(expand_cam=False, normalize_cam=False))]
        both = [m / m.max(axis=(1, 2), keepdims=True).clip(1e-30) for m in both]
        alike = (np.abs(both[0] - both[1]).max(axis=(1, 2)) < DIFFERENCE).mean()

        def job() -> int:
            if alike < ALIKE:
                raise ValueError(f"{alike:.0%} of the maps are alike, wanted {ALIKE:.0%}")
            return sum(len(maps()) for _ in range(settings["calls"]))

        return job

    return {"gradcam": way(Gradcam, "gradcam"), "gradcam++": way(GradcamPlusPlus, "gradcam++")}


def _load(settings: dict[str, Any]) -> tuple[Any, Any]:
    from fer_tf.models import load_model

    network = load_model("default")
    shape = (settings["faces"], *network.input_shape[1:])
    return network, np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)

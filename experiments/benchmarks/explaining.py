"""Heat maps of a batch of faces, beside tf-keras-vis: the ways of ``bench_gradcam.py``."""

from pathlib import Path
from typing import Any

import bench_gradcam

from benchmarks.worker import Work


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``gradcam`` and ``gradcam++`` on ``settings["faces"]`` faces, ``settings["calls"]`` times."""
    from fer_tf import explain

    network, faces = bench_gradcam.load("default", settings["faces"])

    def way(method: str) -> Any:
        explainer = explain.get(method, network)
        return lambda: sum(len(explainer.explain(faces).raw) for _ in range(settings["calls"]))

    return {method: way(method) for method in bench_gradcam.METHODS}


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same of tf-keras-vis, with the layer that we explain."""
    from fer_tf import explain
    from fer_tf.models import logits_of

    network, faces = bench_gradcam.load("default", settings["faces"])
    classes = logits_of(network.predict_on_batch(faces)).argmax(axis=1)
    kinds = bench_gradcam.other_package()

    def way(method: str) -> Any:
        maps = bench_gradcam.their_way(kinds[method], network, explain.get(method, network).layer, faces, classes)
        return lambda: sum(len(maps()) for _ in range(settings["calls"]))

    return {method: way(method) for method in bench_gradcam.METHODS}

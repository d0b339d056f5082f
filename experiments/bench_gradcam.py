"""How many faces a second are explained, beside tf-keras-vis? All faces of a batch in one pass.

  python experiments/bench_gradcam.py                     64 faces, 9 rounds, a minute
  python experiments/bench_gradcam.py --quick             3 rounds
  python experiments/bench_gradcam.py --model runs/zoo/winner.keras

Each round explains the same batch of random faces by Grad-CAM and Grad-CAM++, ours and that of tf-keras-vis 0.8.7
(extra `test`) one after the other, from the faces to heat maps in [0, 1] at the network's input size; both get the
whole batch in one call. Start-up and compilation are left out. Figures are medians of the rounds, ratios medians of the
rounds' ratios; differences are between the maps before they are enlarged, scaled to 1. Exit code 1 when a ratio is
below 5, when more than one map of 20 differs by more than 0.0001, or when tf-keras-vis is not installed and nothing can
be said. Not every map: where a ReLU's input is 0 to within rounding, its gradient is all or nothing, and Grad-CAM++
divides by 2 + g·ΣA, near 0 of which the rounding of the gradient g shows.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from fer_tf import explain
from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.io.atomic import write_json
from fer_tf.models import load_model, logits_of

RATIO, DIFFERENCE, ALIKE = 5, 1e-4, 0.95
METHODS = ("gradcam", "gradcam++")


def load(model: str, count: int) -> tuple[keras.Model, np.ndarray]:
    """Return a network and random faces float32 (N, H, W, channels) for it."""
    network = load_model(model)
    shape = (count, *network.input_shape[1:])
    return network, np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def other_package() -> dict[str, type] | None:
    """Return tf-keras-vis' methods; nothing where it is not installed."""
    try:
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    except ImportError as error:
        print(f"tf-keras-vis is not measured: {error}")
        return None
    return {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def scaled(maps: np.ndarray) -> np.ndarray:
    """Cut maps (N, h, w) off below 0 and divide each by its largest value."""
    maps = np.maximum(maps, 0)
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-30)


def their_way(
    kind: type, network: keras.Model, layer: str, faces: np.ndarray, classes: np.ndarray
) -> Callable[..., np.ndarray]:
    """Return what makes tf-keras-vis' maps (N, h, w) of faces for their ``classes`` (N,)."""
    other = kind(keras.Model(network.inputs, logits_of(network.output)))

    def maps(**options: bool) -> np.ndarray:
        return np.asarray(other(lambda logits: tf.gather(logits, classes, batch_dims=1), faces,
                                penultimate_layer=layer, seek_penultimate_conv_layer=False, **options))  # fmt: skip

    return maps


def measure(method: str, network: keras.Model, faces: np.ndarray, rounds: int, theirs: type | None) -> dict[str, float]:
    """Return faces a second of both ways, their ratio, and how much their maps differ."""
    explainer = explain.get(method, network)
    found = explainer.explain(faces)  # compiles
    ours = [seconds(lambda: explainer.explain(faces))]
    if theirs is None:
        return {f"{method} faces a second": len(faces) / ours[0]}
    their_maps = their_way(theirs, network, explainer.layer, faces, found.classes)
    both = scaled(found.raw), scaled(their_maps(expand_cam=False, normalize_cam=False))
    difference = np.abs(both[0] - both[1]).max(axis=(1, 2))
    pairs = [(seconds(lambda: explainer.explain(faces)), seconds(their_maps)) for _ in range(rounds)]
    return {
        f"{method} faces a second": len(faces) / median(a for a, _ in pairs),
        f"{method} theirs": len(faces) / median(b for _, b in pairs),
        f"{method} ÷ theirs": median(b / a for a, b in pairs),
        f"{method} largest difference": float(difference.max()),
        f"{method} maps alike": float((difference < DIFFERENCE).mean()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="a shipped network or a .keras file (default: the shipped)")
    parser.add_argument("--faces", type=int, default=64, metavar="N", help="in a batch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    parser.add_argument("--out", type=Path, help="write the figures into this JSON file")
    options = parser.parse_args()
    if options.faces < 1 or options.rounds < 1:
        raise UserError(f"--faces {options.faces} --rounds {options.rounds}. Expected at least 1.")
    (network, faces), theirs = load(options.model, options.faces), other_package()
    found = {}
    for method in METHODS:
        found |= measure(method, network, faces, 3 if options.quick else options.rounds, theirs and theirs[method])
    for name, value in found.items():
        print(f"{name:32s} {value:10.4g}")
    if options.out:
        write_json(options.out, found)
    return int(
        theirs is None
        or any(value < RATIO for name, value in found.items() if "÷" in name)
        or any(value < ALIKE for name, value in found.items() if "alike" in name)
    )


if __name__ == "__main__":
    exit_on_user_error(main)

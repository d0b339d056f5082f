"""A guard against slowdowns by an order of magnitude: what users wait for, over a reference kernel.

A ratio is the best time of a job over the best time of fixed NumPy work, rounds of both in turn, so that a slow machine
slows both. ``MEASURED`` are the ratios on one processor. Those of others differ, so a job fails at six times its own:
a loop over pixels in Python, or a graph that is traced at each call, costs more. Smaller changes are for
``experiments/bench.py``.
"""

import subprocess
import sys
import time

import numpy as np
import pytest

from fer_tf import augment, evaluation, models
from fer_tf.datasets import fer2013
from fer_tf.errors import RowErrors
from fer_tf.metrics import distribution

MEASURED = {
    "augment 512 faces": 0.82,
    "read 400 rows of fer2013.csv": 0.1,
    "six label-distribution metrics of 20,000 rows": 0.36,
    "recognize 64 faces": 2.5,
    "find faces in a photograph": 0.43,
    "explain 16 faces": 2.2,
    "score 128 faces": 3.0,
    "import fer_tf": 0.24,
}
SLOWER, ROUNDS = 6, 3
RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (512, 48, 48, 1)).astype(np.uint8)


def kernel():
    """Work of some 30 ms for one core: elementwise steps, a Fourier transform, and sorting."""
    x = np.linspace(0, 1, 400_000, dtype=np.float32)
    for _ in range(3):
        x = np.tanh(np.fft.rfft(x).real[:200_000].repeat(2).astype(np.float32) / 100 + x)
    return np.sort(x)


def python(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def job(name, tmp_path):
    """Return the work to time; what it needs once is done before."""
    if name.startswith("augment"):
        pipeline = augment.get(["light"])
        targets = np.ones((len(FACES), 7), np.float32)
        return lambda: pipeline(FACES.astype(np.float32), targets, np.random.default_rng(0))
    if name.startswith("read"):
        path = tmp_path / "fer2013.csv"
        rows = (f"{i % 7},{' '.join(map(str, face.ravel()))},Training" for i, face in enumerate(FACES[:400]))
        path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n", encoding="utf-8")
        return lambda: fer2013.read_rows(path, RowErrors(skip_bad=False))
    if name.startswith("six"):
        targets, found = RNG.dirichlet(np.ones(8), (2, 20_000)).astype(np.float32)
        return lambda: distribution.distribution_means(targets, found)
    if name.startswith("import"):
        return lambda: python("import fer_tf")
    return of_networks(name)


def of_networks(name):
    from fer_tf.inference.classifier import ExpressionClassifier

    if name.startswith("find"):
        from fer_tf.faces.extraction import RetinaFaceDetector

        detector, photograph = RetinaFaceDetector(), RNG.integers(0, 256, (320, 320, 3)).astype(np.uint8)
        return lambda: detector.detect([photograph])
    if name.startswith("explain"):
        from fer_tf import explain

        explainer = explain.GradCAM(ExpressionClassifier("default"))
        return lambda: explainer.explain(FACES[:16])
    if name.startswith("score"):
        network = models.get("vgg(width=0.125)", num_classes=7, input_shape=(40, 40, 1))
        return lambda: evaluation.logits(network, FACES[:128])
    classifier = ExpressionClassifier("default")
    return lambda: classifier.predict(FACES[:64])


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@pytest.mark.parametrize("name", MEASURED)
def test_nothing_has_become_slower(name, tmp_path):
    work = job(name, tmp_path)
    reference = (lambda: python("import numpy")) if name.startswith("import") else kernel
    work(), reference()
    times = [(seconds(work), seconds(reference)) for _ in range(ROUNDS)]
    ratio = min(t[0] for t in times) / min(t[1] for t in times)
    limit = SLOWER * MEASURED[name]
    assert ratio < limit, f"{name}: {ratio:.2f} times the reference kernel, {MEASURED[name]} when measured"

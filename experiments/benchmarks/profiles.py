"""Profile a training step by kind of operation, and a start by imported module."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

STEPS = 3
# Kind → pattern of a TensorFlow node's name, which carries the layer's, and of a PyTorch operator; the first counts.
KINDS = {
    "convolution": r"_conv\d|conv2d|convolution",
    "batch-norm": r"_norm\d|batch_?norm",
    "pooling": r"pool",
    "relu": r"relu|threshold|clamp_min",
    "dense": r"dense\d/|logits|addmm|aten::mm$|matmul",
    "dropout": r"dropout|bernoulli",
    "optimizer": r"sgd|resourceapply|assign|optimizer|_foreach_|aten::(add|mul|copy|zero)_$",
}


def by_kind(operations: Iterable[tuple[str, float]], steps: int) -> dict[str, float]:
    """Sum (name, microseconds) of ``steps`` steps up to milliseconds a step of each kind, or of ``other``."""
    sums: dict[str, float] = defaultdict(float)
    for name, microseconds in operations:
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name.lower())), "other")
        sums[kind] += microseconds / 1000 / steps
    return dict(sums)


def of_keras(network: Any, images: Any, targets: Any) -> dict[str, float]:
    """Return milliseconds of each kind in a training step of a compiled network on TensorFlow without XLA."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    batch = tf.constant(images), tf.constant(targets)
    network.train_on_batch(*batch)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(STEPS):
                network.train_on_batch(*batch)
        traces = [XSpace.FromString(path.read_bytes()) for path in Path(folder).rglob("*.xplane.pb")]
    return by_kind(_operations(plane for trace in traces for plane in trace.planes), STEPS)


def _operations(planes: Iterable[Any]) -> Iterator[tuple[str, float]]:
    """Yield the name and microseconds of each operation in TensorFlow's trace, whose events are called name:operation.

    Calls of functions last as long as what they call, and are left out.
    """
    for plane in planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            name = names[event.metadata_id]
            if re.fullmatch(r"[^\s:]+:_?[A-Z]\w+", name) and not name.endswith("PartitionedCall"):
                yield name, event.duration_ps / 1e6


def of_torch(step: Callable[[], Any]) -> dict[str, float]:
    """Return milliseconds of each kind in a training step."""
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(STEPS):
            step()
    return by_kind(((event.key, event.self_cpu_time_total) for event in found.key_averages()), STEPS)


def slowest_imports(text: str, count: int = 12) -> list[tuple[str, float]]:
    """Return the modules of ``python -X importtime`` that took longest by themselves, with milliseconds.

    The slowest is first, but for ``all``, with the sum.
    """
    rows = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", text, re.MULTILINE)
    times = sorted(((name, int(microseconds) / 1000) for microseconds, name in rows), key=lambda row: -row[1])
    return [("all", sum(time for _, time in times)), *times[:count]]

"""Where time goes: a training step by kind of operation, a start by imported module."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

STEPS = 3
# Kind → pattern of a TensorFlow node's name, which carries the layer's, and of a PyTorch operator; the first that
# fits counts.
KINDS = {
    "optimiser": r"sgd|resourceapply|assign|optimizer|_foreach_|aten::(add|mul|copy|zero)_$",
    "convolution": r"_conv\d|conv2d|convolution",
    "batch-norm": r"_norm\d|batch_?norm",
    "pooling": r"pool",
    "relu": r"relu|threshold|clamp_min",
    "dense": r"dense\d/|logits|addmm|aten::mm$|matmul",
    "dropout": r"dropout|bernoulli",
}


def kind_of(name: str) -> str:
    """Return the kind of work that a node or operator does: a key of ``KINDS``, or ``other``."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name.lower())), "other")


def by_kind(operations: Iterable[tuple[str, float]], steps: int) -> dict[str, float]:
    """Sum (name, microseconds) of ``steps`` steps up to milliseconds a step of each kind."""
    sums: dict[str, float] = defaultdict(float)
    for name, microseconds in operations:
        sums[kind_of(name)] += microseconds / 1000 / steps
    return dict(sums)


def of_keras(network: Any, images: Any, targets: Any) -> dict[str, float]:
    """Return milliseconds of each kind in a training step of a compiled network on TensorFlow without XLA."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    batch = tf.constant(images), tf.constant(targets)
    network.train_on_batch(*batch)
    # The public profiler writes traces for TensorBoard, which is not installed with TensorFlow.
    context.enable_run_metadata()
    try:
        for _ in range(STEPS):
            network.train_on_batch(*batch)
        statistics = context.export_run_metadata().step_stats
    finally:
        context.disable_run_metadata()
    nodes = (node for device in statistics.dev_stats for node in device.node_stats)
    # Function calls last as long as what they call.
    calls = re.compile(r"PartitionedCall|_SOURCE|_SINK")
    return by_kind(
        ((node.node_name, node.op_end_rel_micros - node.op_start_rel_micros)
         for node in nodes if not calls.search(node.node_name + node.timeline_label)), STEPS,
    )  # fmt: skip


def of_torch(step: Callable[[], Any]) -> dict[str, float]:
    """Return milliseconds of each kind in a training step."""
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(STEPS):
            step()
    return by_kind(((event.key, event.self_cpu_time_total) for event in found.key_averages()), STEPS)


def slowest_imports(text: str, count: int = 12) -> list[tuple[str, float]]:
    """Return the modules that took longest by themselves.

    Args:
        text: what ``python -X importtime`` writes.
        count: how many.

    Returns:
        Names and milliseconds, slowest first; the first is ``all``, with the sum.
    """
    rows = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", text, re.MULTILINE)
    times = sorted(((name, int(microseconds) / 1000) for microseconds, name in rows), key=lambda row: -row[1])
    return [("all", sum(time for _, time in times)), *times[:count]]

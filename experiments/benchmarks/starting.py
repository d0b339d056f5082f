"""Start programs: the import of the package, ``--help`` of each command, one photograph."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.worker import Work

IMPORT = "import sys, fer_tf; assert 'tensorflow' not in sys.modules, 'fer_tf imports TensorFlow'"
THEIR_IMPORT = "from fer.fer import FER"
THEIR_PREDICT = f"import logging; logging.disable(50); {THEIR_IMPORT}; print(FER().detect_emotions('photograph.jpg'))"


def programs() -> dict[str, list[str]]:
    """Return job → arguments of Python."""
    from fer_tf.cli import COMMANDS

    words = {f"{command} --help": [command, "--help"] for command in COMMANDS}
    words |= {name: [name, "photograph.jpg"] for name in ("predict", "gradcam")}
    words["predict"] += ["--csv", "faces.csv"]
    return {"import": ["-c", IMPORT], **{job: ["-m", "fer_tf", *arguments] for job, arguments in words.items()}}


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Copy a photograph."""
    import matplotlib

    shutil.copy(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg", folder / "photograph.jpg")


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return a start of each program, and ``profile`` of the imports of one after the job's name."""
    starts = {job: lambda given=arguments: start(given) for job, arguments in programs().items()}
    return {**starts, **{f"profile {j}": lambda given=arguments: imports(given) for j, arguments in programs().items()}}


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the starts that fer has as well; it has no commands."""
    return {"import": lambda: start(["-c", THEIR_IMPORT]), "predict": lambda: start(["-c", THEIR_PREDICT])}


def start(arguments: Sequence[str]) -> dict[str, float]:
    """Run a program to its end; return its seconds and peak MB."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with process.stderr:
        said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds, process.returncode = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace").strip().splitlines()[-1])
    return {"seconds": seconds, "mb": used.ru_maxrss / 1024}


def imports(arguments: Sequence[str]) -> list[tuple[str, float]]:
    """Run a program, and return the modules that took longest to import."""
    from benchmarks.profiles import slowest_imports

    command = [sys.executable, "-X", "importtime", *arguments]
    return slowest_imports(subprocess.run(command, capture_output=True, text=True, check=True).stderr)

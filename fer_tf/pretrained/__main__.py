"""Make a finished run a network that ships: calibrated, measured, with a model card.

The temperature is fitted on validation and goes into NAME.keras; NAME.json has all scores of validation and test, the
faces' digests, the copies between the splits, size and time; NAME.md is the card, made of NAME.json.

examples:
  python -m fer_tf.pretrained runs/small_resnet/runs/resnet10-b133598e fer2013-small --data DIR
  python -m fer_tf.pretrained RUN ferplus-small --data DIR --out cards --hardware "one core of an AMD EPYC 7R13"

exit codes: 0 done, 2 a mistake in the command"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_tf.errors import exit_on_user_error


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says and end the process."""
    options = _parser().parse_args(arguments)
    # Batches of one small face: oneDNN takes twice as long for them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(options.threads)
    exit_on_user_error(_run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_tf.pretrained", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("run", metavar="RUN_DIR", type=Path, help="folder of a finished run: config.json, metrics.json, model.keras")
    add("name", metavar="NAME", help="what the network is to be called, such as ferplus-small")
    add("--dataset", metavar="NAME", help="call string of the data to score it on (default: the run's)")
    add("--data", metavar="DIR", help="folder of the data (default: the run's)")
    add("--out", metavar="DIR", type=Path, help="where the files go (default: into the package)")
    add("--hardware", metavar="LINE", default="", help="the machine that this command runs on, for the time of a face")
    add("--trained-on", metavar="LINE", default="", help="the machine that the run was trained on")
    add("--command", metavar="LINE", default="", help="the command line that made the run")
    add("--threads", metavar="N", type=int, default=1, help="of TensorFlow, also for the time (default %(default)s)")
    return parser


def _run(options: argparse.Namespace) -> int:
    from fer_tf.pretrained import FOLDER
    from fer_tf.pretrained.shipping import Notes, ship

    threads = f"{options.threads} thread{'' if options.threads == 1 else 's'}"
    hardware = f"{options.hardware}, {threads}" if options.hardware else threads
    sys.stderr.write("measuring: some ten seconds for FER2013, more on a busy machine\n")
    written = ship(
        options.run, options.name, options.dataset, options.data, options.out or FOLDER,
        Notes(options.command, hardware, options.trained_on),
    )  # fmt: skip
    for path in written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    main()

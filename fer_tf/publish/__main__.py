"""Publish the network of a finished run.

NAME.keras contains the network with the temperature that was fitted on validation. NAME.json contains all scores on
validation and test, the digests of the data, duplicates between the splits, size and latency. NAME.md is the model
card, written from NAME.json.

examples:
  python -m fer_tf.publish runs/small_resnet/runs/resnet10-b133598e fer2013-small --data DIR
  python -m fer_tf.publish RUN ferplus-small --data DIR --out cards --hardware "one core of an AMD EPYC 7R13"

exit codes: 0 done, 2 a mistake in the command"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_tf import cli, publish
from fer_tf.errors import exit_on_user_error
from fer_tf.models.saving import SHIPPED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    options = _parser().parse_args(arguments)
    # For batches of one small face, oneDNN takes twice as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    cli.prepare_environment(training=True)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(options.threads)
    exit_on_user_error(_run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_tf.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("run", metavar="RUN_DIR", type=Path, help="folder of a finished run: config.json, metrics.json, model.keras")
    add("name", metavar="NAME", help="name of the published network, such as ferplus-small")
    add("--dataset", metavar="NAME", help="call string of the dataset to score on (default: the run's)")
    add("--data", metavar="DIR", help="folder of the data (default: the run's)")
    add("--out", metavar="DIR", type=Path, help="folder for the files (default: the package)")
    add("--hardware", metavar="LINE", default="", help="description of this machine, for the latency")
    add("--trained-on", metavar="LINE", default="", help="description of the machine on which the run was trained")
    add("--command", metavar="LINE", default="", help="command line that made the run")
    add(
        "--threads",
        metavar="N",
        type=int,
        default=1,
        help="number of TensorFlow threads, also for the latency (default %(default)s)",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    threads = f"{options.threads} thread{'' if options.threads == 1 else 's'}"
    hardware = f"{options.hardware}, {threads}" if options.hardware else threads
    sys.stderr.write("measuring: about ten seconds for FER2013\n")
    written = publish.model.publish_model(
        options.run, options.name, options.dataset, options.data, options.out or SHIPPED,
        publish.model.Notes(options.command, hardware, options.trained_on),
    )  # fmt: skip
    for path in written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    main()

"""Implement ``fer-tf shards prepare`` and ``fer-tf shards verify``."""

import argparse
import importlib.util

from fer_tf.errors import UserError, printable
from fer_tf.shards import ShardOptions, prepare, verify

PREPARE = (
    DESCRIPTION
) = """Write exactly one record for each photograph into shards of TFRecords: its face, and what a network says.

DST gets shard-00000.tfrecord and so on, of photographs sorted by name; beside each its columns (.npz: where faces lie,
probabilities, features) and counts (.json); sources.jsonl, which photograph is in which shard; index.json at the end. A
photograph that cannot be read, or has no face, has a record that says so. Folders <class>/ or <split>/<class>/ become
labels. Interrupted or killed, the same command goes on; a shard that was not whole is written again."""

EXAMPLES = """examples:
  fer-tf shards prepare photographs shards
  fer-tf shards prepare faces shards --faces whole --model default --features
  fer-tf shards prepare /nfs/photographs /nfs/shards --executor ray --address head:6379 --cpus-per-worker 4
  fer-tf shards verify shards
then train from the shards, in bounded memory:
  python experiments/small_resnet.py --dataset shards --data shards

--executor ray needs Ray: pip install 'fer-tf[cluster]'; all hosts must see SRC and DST at the same paths

exit codes: 0 done, 1 a file cannot be written, 2 a mistake in the command or damaged shards, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    look = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
    commands = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    job = commands.add_parser(
        "prepare", help="write shards, or continue an interrupted job", description=PREPARE, **look
    )
    job.set_defaults(step=_prepare)
    job.add_argument("src", metavar="SRC", help="a folder of photographs, or one photograph")
    job.add_argument("dst", metavar="DST", help="output folder: new, empty, or of the same job")
    _add_faces(job.add_argument_group("records").add_argument)
    where = job.add_argument_group("where it runs").add_argument
    where("--executor", choices=("local", "ray"), default="local",
          help="local: in this process; ray: on a Ray cluster (default %(default)s)")  # fmt: skip
    where("--address", metavar="HOST:PORT", help="address of a running cluster, or auto (default: this machine)")
    where("--workers", type=int, metavar="N", help="largest number of workers (default: as many as fit)")
    where("--cpus-per-worker", type=float, metavar="N", help="CPU cores and threads of a worker (default 1)")
    job.add_argument("--overwrite", action="store_true", help="delete what an earlier job wrote into DST first")
    check = commands.add_parser("verify", help="check that no record is missing or damaged", **look)
    check.set_defaults(step=_verify)
    check.add_argument("dst", metavar="DST", help="a folder of shards")


def run(options: argparse.Namespace) -> None:
    """Run the step that was asked for."""
    options.step(options)


def _add_faces(add) -> None:
    add("--size", type=int, default=48, metavar="PX", help="side of a face (default %(default)s)")
    add("--channels", type=int, default=1, help="1 for gray, 3 for RGB (default %(default)s)")
    add("--faces", default="largest", metavar="WHICH",
        help="which of a photograph: largest or central; whole: each picture is one (default %(default)s)")  # fmt: skip
    add("--detector", default="retinaface", metavar="NAME", help="retinaface or hog, or a call string")
    add("--margin", type=float, default=0.0, metavar="SHARE", help="grow the square around a face by this share")
    add("--align", action=argparse.BooleanOptionalAction, default=True, help="turn faces upright by their eyes")
    add("--fallback", default="skip", metavar="WHAT",
        help="skip a photograph without a face, or take it whole (default %(default)s)")  # fmt: skip
    add("--model", metavar="NAME", help="store a network's probabilities: default, a shipped name or a .keras file")
    add("--features", action="store_true", help="and its last features")
    add("--shard-images", type=int, default=4096, metavar="N", help="photographs a shard (default %(default)s)")


def _prepare(options: argparse.Namespace) -> None:
    """Write shards."""
    if options.executor == "local":
        for flag in ("address", "workers", "cpus_per_worker"):
            if getattr(options, flag) is not None:
                raise UserError(f"--{flag.replace('_', '-')} needs --executor ray.")
    wanted = ShardOptions(
        size=options.size, channels=options.channels, faces=options.faces, detector=options.detector,
        margin=options.margin, align=options.align, fallback=options.fallback, model=options.model,
        features=options.features, shard_images=options.shard_images,
    )  # fmt: skip
    _tell(prepare(options.src, options.dst, wanted, overwrite=options.overwrite, **_executor(options)), "wrote")


def _verify(options: argparse.Namespace) -> None:
    """Verify shards."""
    _tell(verify(options.dst), "read all that is in")


def _executor(options: argparse.Namespace) -> dict:
    if options.executor == "local":
        return {}
    from fer_tf.shards import cluster

    if any(importlib.util.find_spec(package) is None for package in ("ray", "pyarrow")):
        raise UserError(cluster.MISSING)
    for flag in ("workers", "cpus_per_worker"):
        if getattr(options, flag) is not None and not getattr(options, flag) > 0:
            raise UserError(f"--{flag.replace('_', '-')} is {getattr(options, flag)}. Expected a number above 0.")
    return {"executor": cluster.RayData(options.address, options.workers, options.cpus_per_worker or 1.0)}


def _tell(done, verb: str) -> None:
    counts = done.statuses
    print(f"{verb} {printable(done.index)}")
    print(
        f"{done.images} records in {done.shards} shards: {counts['face']} faces found, {counts['whole']} whole "
        f"pictures, {counts['no face']} without a face, {counts['unreadable']} unreadable"
    )

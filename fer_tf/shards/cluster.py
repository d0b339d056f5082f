"""The preparation job on a Ray cluster: one row of a Ray Data job is one shard."""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.shards.plan import Block, Task
from fer_tf.tuning.parallel_runs import PASSED_ON, connect

MISSING = "--executor ray needs Ray Data: pip install 'fer-tf[cluster]'."


class RayData:
    """An executor of workers on a Ray cluster, each with a detector and a network of its own.

    Rows hold where a block's list of photographs lies and not the photographs: nothing large goes through Ray. All
    hosts must see the photographs and the shards' folder at the same paths. A shard whose worker died (killed, out of
    memory, host lost) is given to another one.

    Args:
        address: of a running cluster, ``auto`` for the one on this machine; ``None`` starts a cluster of this machine
            alone, which ends with the job.
        workers: how many; ``None`` for as many as the cluster has room for.
        cpus: CPU cores a worker, which are also TensorFlow's threads.
        retries: how many workers more than one a shard may lose.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, cpus: float = 1.0, retries: int = 3):
        self.address, self.workers, self.cpus, self.retries = address, workers, cpus, retries

    def __call__(self, task: Task, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
        """Write the shards; yield what their JSON says as they end.

        Raises:
            UserError: no Ray, no cluster, no room on it, or what a worker refused.
            OSError: a worker could not write.
        """
        connect(self.address)
        import ray

        # Workers have other working directories.
        options, (src, dst) = task.options, (path.absolute() for path in (task.src, task.dst))
        if options.model and options.model.endswith(".keras"):
            options = replace(options, model=str(Path(options.model).absolute()))
        try:
            yield from self._run(replace(task, src=src, dst=dst, options=options), blocks)
        except ray.exceptions.RayError as error:
            raise UserError(f"The cluster gave up: {' '.join(str(error).split())[:300]}") from None
        finally:
            ray.shutdown()

    def _run(self, task: Task, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
        try:
            import ray.data
        except ImportError:
            raise UserError(MISSING) from None
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([asdict(block) for block in blocks], override_num_blocks=len(blocks))
        with warnings.catch_warnings():
            # Ray 2.64 wants retries said in another way, which 2.60 does not know; without a limit a photograph that
            # kills its worker would be tried for ever.
            warnings.simplefilter("ignore", DeprecationWarning)
            ended = rows.map_batches(
                Worker, fn_constructor_args=(task, self._environment()), batch_size=1, num_cpus=self.cpus,
                concurrency=min(self._workers(), len(blocks)), max_restarts=-1, max_task_retries=self.retries,
            )  # fmt: skip
        for row in ended.iter_rows():
            answer = json.loads(row["answer"])
            if "summary" not in answer:
                raise (UserError if answer["user"] else OSError)(answer["error"])
            yield answer["summary"]

    def _workers(self) -> int:
        import ray

        hosts = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        room = sum(int(cores / self.cpus + 1e-9) for cores in hosts)
        if not room:
            raise UserError(f"No host of the cluster has {self.cpus:g} CPU for a worker.")
        return min(room, self.workers or room)

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**passed, "TF_NUM_INTRAOP_THREADS": str(max(1, int(self.cpus))), "TF_CPP_MIN_LOG_LEVEL": "3"}


class Worker:
    """What Ray Data keeps in a worker's process."""

    def __init__(self, task: Task, environment: dict[str, str]):
        """Take the environment before anything is imported that reads it; load at the first row."""
        os.environ.update(environment)
        self.task, self.preparer = task, None

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """Write the shard of a row."""
        block = Block.of({name: column.tolist()[0] for name, column in rows.items()})
        return {"answer": [json.dumps(self._answer(block))]}

    def _answer(self, block: Block) -> dict[str, Any]:
        from fer_tf.shards.job import Preparer

        try:
            if not (self.task.dst / ".lock").is_file():
                raise UserError(
                    f"{self.task.dst} is not on host {os.uname().nodename}. Give a folder that all hosts share."
                )
            self.preparer = self.preparer or Preparer(self.task)
            # A worker that died after its last file has left a shard that counts.
            return {"summary": block.written(self.task.dst) or self.preparer.write(block)}
        except (UserError, OSError) as error:
            return {"error": str(error), "user": isinstance(error, UserError)}

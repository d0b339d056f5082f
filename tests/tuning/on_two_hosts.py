"""Runs that ``test_two_hosts.py`` starts inside the first host: ``on_two_hosts.py ADDRESS OUT``.

Prints a JSON list of [run, host that ended it, how often it was begun, reason].
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from fer_tf.training.config import RunConfig
from fer_tf.tuning import parallel_runs, runner

CONFIG = RunConfig(name="tiny", dataset="synthetic(faces=90)", model="vgg(filters=(4,), depth=1, head=(8,))", epochs=1)


def execute(config, folder, load, description, stop):
    """Stand in for training; a run "long" waits on the second host until that is gone, on the first for the other's."""
    import time

    import ray

    from fer_tf.io import atomic

    host = ray.util.get_node_ip_address()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "begun.txt").open("a") as file:
        file.write(f"{host}\n")
    if config.name.startswith("long"):
        deadline = time.monotonic() + 240
        while host.endswith(".2") or not any(".2\n" in path.read_text() for path in folder.parent.glob("*/begun.txt")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"on {host}")
            time.sleep(0.2)
    metrics = {
        "best_epoch": 1, "val_accuracy": config.seed / 100, "seconds": 1.0, "images_per_second": 1.0,
        "test": {"accuracy": 0.5, "macro_f1": 0.5}, "host": host,
    }  # fmt: skip
    atomic.write_json(folder / "metrics.json", metrics)
    return metrics


def main(address: str, out: Path) -> None:
    """Do eight runs, two of which cannot end on the second host."""
    # By value, since workers have no such module.
    execute.__module__ = "__main__"
    names = ["long 1", "long 2", *(f"r{i}" for i in range(1, 7))]
    configs = [replace(CONFIG, name=name, seed=seed) for seed, name in enumerate(names)]
    executor = parallel_runs.Ray(address, execute=execute)
    parallel_runs.connect(address)
    while executor.room() < 2:  # hosts
        time.sleep(0.2)
    results = runner.run_all(configs, out, executor=executor)
    told = []
    for result in results:
        begun = (result.folder / "begun.txt").read_text().split()
        told.append([result.config.name, (result.metrics or {}).get("host"), begun, result.reason])
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

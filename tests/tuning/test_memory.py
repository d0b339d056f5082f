"""A long study does not grow: 40 runs in one process by less than 100 MB, with XLA and without."""

import json
import subprocess
import sys

import pytest

from fer_tf.training.config import RunConfig

CONFIG = RunConfig(name="a", dataset="synthetic(faces=120)", model="vgg(width=0.06, depth=1, head=(64,))", epochs=1)
STUDY = """
import gc, json, sys
from dataclasses import replace
from tensorflow.python.framework.func_graph import FuncGraph
from fer_tf.tuning import Processes, runner
from fer_tf.training.config import RunConfig

if __name__ == "__main__":
    out, config, jit = sys.argv[1], RunConfig.from_json(json.loads(sys.argv[2])), sys.argv[3] == "jit"
    executor = Processes(1) if jit else runner.Local(runner.TableCache())
    configs = [replace(config, seed=seed, name=f"r{seed}", jit_compile=jit) for seed in range(int(sys.argv[4]))]
    grown, graphs = [], []

    def counting(jobs):
        for result in executor(jobs):
            assert not result.reason, result.reason
            gc.collect()
            grown.append(int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20)
            graphs.append(sum(isinstance(x, FuncGraph) for x in gc.get_objects()))
            yield result

    runner.run_all(configs, out, executor=counting)
    print(json.dumps([grown, graphs]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "runs"), [("plain", 8), ("jit", 4)])
def test_runs_leave_no_memory_behind(how, runs, tmp_path):
    script = tmp_path / "study.py"
    script.write_text(STUDY)
    command = [sys.executable, str(script), str(tmp_path / "out"), json.dumps(CONFIG.to_json()), how, str(runs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    megabytes, graphs = json.loads(ended.stdout.splitlines()[-1])
    assert graphs[-1] <= graphs[0]
    # 100 MB in 40 runs, once the first three have warmed up; 5 MB for what else the process does.
    assert megabytes[-1] - megabytes[2] < 2.5 * (runs - 3) + 5, megabytes

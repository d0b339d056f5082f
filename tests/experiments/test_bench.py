"""The table of benchmarks: its arithmetic by hand, its processes on small jobs, and a quick look as a user takes it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "bench.py"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    """Import what scripts in experiments/ import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        yield


def row(**given):
    from benchmarks.rows import Row

    return Row(**{"name": "a", "text": "b", "job": "c", "count": 10, "unit": "face", **given})


def worker(answers):
    """Stand in for a process: each call gives the next answer."""
    from benchmarks.worker import JobFailed

    left = iter(answers)

    def do(job):
        answer = next(left)
        if isinstance(answer, str):
            raise JobFailed(answer)
        return answer

    return do


def test_ratios_are_of_rounds_and_the_first_round_warms_up():
    from benchmarks.measuring import in_turn
    from benchmarks.tables import record

    ours = worker([(9.0, 1, None, 50.0), (1.0, 1, None, 60.0), (2.0, 1, None, 40.0), (4.0, 1, None, 40.0)])
    theirs = worker([(9.0, 1, None, 10.0), (3.0, 1, None, 20.0), (8.0, 1, None, 30.0), (4.0, 1, None, 20.0)])
    found = in_turn(row(wanted=3.0), [ours, theirs], 3, "peer 1.0")
    assert found.ratios == [3.0, 4.0, 1.0] and found.met is True
    told = record(found)
    # Medians 2 and 4 seconds of 10 faces; of the processor's time both took 1 s.
    assert (told["ours_ms"], told["theirs_ms"], told["ratio"]) == (200.0, 400.0, 3.0)
    assert told["processor_ratio"] == 1.0
    assert (told["lowest"], told["highest"], told["rounds"]) == (1.0, 4.0, 3)
    assert (told["ours_mb"], told["theirs_mb"], told["peer"]) == (60.0, 30.0, "peer 1.0")


def test_turns_change_so_that_neither_side_is_always_first():
    from benchmarks.measuring import in_turn

    order = []
    sides = [lambda job, side=side: order.append(side) or (1.0, 0, None, 1.0) for side in ("ours", "theirs")]
    in_turn(row(), sides, 2, "")
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]


def test_jobs_may_measure_themselves_and_must_be_the_same():
    from benchmarks.measuring import in_turn

    def told(same):
        return [(9.0, 0, {"seconds": 0.5, "mb": 7.0, "same": same}, 99.0)] * 2

    alike = in_turn(row(), [worker(told(4)), worker(told(4))], 1, "")
    assert alike.ratios == [1.0] and alike.ours.mb == 7.0
    other = in_turn(row(), [worker(told(4)), worker(told(5))], 1, "")
    assert other.failed == "not the same job: ours 4, theirs 5" and other.met is False


def test_what_fails_or_is_missing_is_said_in_its_row():
    from benchmarks.measuring import in_turn
    from benchmarks.tables import markdown, record

    fine = [(1.0, 0, None, 5.0)] * 3
    theirs = in_turn(row(wanted=2.0), [worker(fine), worker(["no | disk"])], 2, "peer 1.0")
    assert theirs.ours.seconds == [1.0, 1.0] and not theirs.ratios and theirs.met is None
    ours = in_turn(row(), [worker(["broken"]), worker(fine)], 2, "peer 1.0")
    assert ours.failed == "failed: broken" and ours.met is False
    alone = in_turn(row(limit=0.03), [worker(fine)], 2, "torch not installed")
    assert alone.met is False
    once = in_turn(row(limit=0.1, limit_mb=4), [worker(fine)], 0, "")
    assert once.ours.seconds == [1.0] and once.met is False
    lines = markdown([record(found) for found in (theirs, ours, alone)]).splitlines()
    assert lines[2] == "| b (`a`) | 100 / – a face | – | – | – | 2 | 5 / – | peer 1.0 failed: no / disk |"
    assert lines[3] == "| b (`a`) | – / – a face | – | – | – | – **missed** | – / – | failed: broken |"
    assert lines[4] == "| b (`a`) | 100 / – a face | – | – | – | ≤ 30 ms **missed** | 5 / – | torch not installed |"


def test_slopes_are_exponents():
    from benchmarks.measuring import slope
    from benchmarks.tables import figure, slopes

    assert slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert slope([1, 2, 4], [8.0, 4.0, 2.0]) == pytest.approx(-1)
    growth = {"input": {"images": {10: 1.0, 100: 10.0}, "workers": {2: 1.0}}, "predict": {"images": {1: 0.5, 4: 0.5}}}
    found = {(line["task"], line["axis"]): line for line in slopes(growth)}
    assert set(found) == {("input", "images"), ("predict", "images")}
    assert found["input", "images"]["slope"] == pytest.approx(1) and found["input", "images"]["last_ms"] == 10_000
    assert found["predict", "images"]["slope"] == pytest.approx(0)
    panels = figure(growth).axes
    assert [axes.get_xlabel() for axes in panels] == ["images", "cores"]
    assert {text.get_text() for text in panels[0].texts} == {"1.00", "0.00"}


def test_operations_are_summed_by_the_kind_that_their_names_say():
    from benchmarks.profiles import by_kind, slowest_imports

    operations = [
        ("gradient_tape/vgg_1/block1_conv2_1/Conv2DBackpropInput", 3000.0),
        ("vgg_1/block1_norm1_1/mul", 1000.0),
        ("vgg_1/dense1_1/Relu", 100.0),
        ("Cast", 50.0),
        ("aten::convolution_backward", 1000.0),
        ("aten::addmm", 500.0),
        ("aten::add_", 200.0),
        ("aten::native_batch_norm", 400.0),
    ]
    assert by_kind(operations, 2) == pytest.approx(
        {"convolution": 2.0, "batch-norm": 0.7, "dense": 0.25, "optimizer": 0.1, "relu": 0.05, "other": 0.025}
    )
    text = "import time: self [us] | cumulative | imported package\nimport time:      1500 |       2000 |   a.b\n"
    text += "import time:       500 |        500 |     c\nimport time:      3000 |       5000 | d\nsomething else\n"
    assert slowest_imports(text, 2) == [("all", 5.0), ("d", 3.0), ("a.b", 1.5)]


def test_rows_are_chosen_by_name_and_named_once():
    from benchmarks.rows import chosen, groups

    for quick in (False, True):
        names = [r.name for group in groups(quick) for r in group.rows]
        assert len(names) == len(set(names)) > 5
    found = chosen(groups(False), ["onnx*", "start import"])
    assert [[r.name for r in group.rows] for group in found] == [["onnx 1", "onnx 64"], ["start import"]]


def test_every_command_is_started():
    from benchmarks.starting import programs

    from fer_tf.cli import COMMANDS

    started = programs()
    helps = {job: arguments for job, arguments in started.items() if job.endswith(" --help")}
    assert helps == {f"{name} --help": ["-m", "fer_tf", name, "--help"] for name in COMMANDS}
    assert started["predict"][:3] == ["-m", "fer_tf", "predict"]
    assert started["gradcam"] == ["-m", "fer_tf", "gradcam", "photograph.jpg"]


def test_the_first_python_with_all_packages_is_taken():
    from benchmarks.measuring import with_all

    pythons = {"one": {"keras": "3"}, "two": {"keras": "4", "scipy": "1"}}
    assert with_all(pythons, ("keras",)) == "one" and with_all(pythons, ("keras", "scipy")) == "two"
    assert with_all(pythons, ("torch",)) is None and with_all(pythons, ()) == sys.executable


def test_a_process_does_jobs_and_outlives_one_that_fails(tmp_path):
    from benchmarks.worker import JobFailed, Worker

    script = tmp_path / "jobs.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(SCRIPT.parent)!r})\nfrom benchmarks.worker import serve\n"
        "def load():\n    print('loading')\n"
        "    return {'large': lambda: len(bytearray(80_000_000)), 'small': lambda: 1, 'odd': lambda: 1 / 0,\n"
        "            'end': lambda: sys.exit('the last line')}\n"
        "serve(load)\n"
    )
    process = Worker([sys.executable, str(script)], tmp_path, "ours")
    clock, processor, found, peak = process("large")
    assert found == 80_000_000 and clock > 0 and processor >= 0 and peak > 80
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        process("odd")
    assert process("small")[2] == 1
    with pytest.raises(JobFailed, match="the last line"):
        process("end")
    process.__exit__()
    assert "loading" in (tmp_path / "ours.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "No row fits --only nothing"),
        (["--rounds", "0"], "--rounds 0 is out of range"),
        (["--cores", "100000"], "--cores 100000 is out of range"),
    ],
)
def test_mistakes_are_told_at_once(arguments, message):
    import bench

    with pytest.raises(bench.UserError, match=message):
        bench.run(bench.parser().parse_args(arguments))


@pytest.mark.slow
def test_a_quick_look_leaves_table_page_and_figure(tmp_path):
    command = [sys.executable, str(SCRIPT), "--quick", "--out", str(tmp_path / "bench")]
    chosen = ["--only", "start import", "--only", "growth input images"]
    ended = subprocess.run([*command, *chosen], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    written = [Path(line.removeprefix("wrote ")) for line in ended.stdout.splitlines() if line.startswith("wrote ")]
    assert [path.name for path in written] == ["bench.csv", "bench.png", "bench.md"] and all(map(Path.is_file, written))
    table = pd.read_csv(written[0]).set_index("name")
    assert list(table.index) == ["start import"] and table.loc["start import", "ours_ms"] > 0
    page = written[2].read_text()
    assert "| input | images | 256 – 1024 |" in page and "`start import`" in page

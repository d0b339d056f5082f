"""README's commands: those of its two boxes are run by .ci/run, the others here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fer_tf import models

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, body in BLOCKS if kind == "sh" for line in body.replace("\\\n    ", "").splitlines()]
EXPERIMENTS = [line for line in COMMANDS if line.startswith(".venv/bin/python experiments/")]
FACES = [line for line in COMMANDS if re.match(r"\.venv/bin/fer-tf (crop|landmarks|mask) ", line)]
USES = [line for line in COMMANDS if re.match(r"\.venv/bin/fer-tf (predict|gradcam|export) ", line)]
# They start servers or need one: tests/demo, tests/test_client.py and tests/serving run what they run.
SERVERS = [line for line in COMMANDS if line.startswith("docker ") or re.search(r"fer-tf (client|demo)", line)]
ANALYZE, TRAIN, EXTRACT = [body for kind, body in BLOCKS if kind == "python"]


def arguments_of(line):
    """Return a README command as arguments of this Python."""
    program, *arguments = shlex.split(line.replace("experiments/", f"{ROOT}/experiments/"))
    return [sys.executable, *(["-m", "fer_tf"] if program.endswith("fer-tf") else []), *arguments]


def test_ci_runs_the_two_boxes_and_the_rest_is_run_here():
    boxed = re.findall(r"^<!-- (main|test) -->\n```sh\n(.*)\n```", TEXT, re.MULTILINE)
    assert [name for name, _ in boxed] == ["main", "test"]
    assert sorted(COMMANDS) == sorted([command for _, command in boxed] + EXPERIMENTS + FACES + USES + SERVERS)
    ci = (ROOT / ".ci" / "run").read_text()
    assert "command_of test" in ci and "command_of main" in ci


def test_every_link_leads_somewhere():
    links = [link.partition("#") for link in re.findall(r"\]\(([^)]*)\)", TEXT) if not link.startswith("http")]
    assert links and all((ROOT / path).exists() for path, _, _ in links)
    for path, _, part in links:
        headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE) if part else []
        assert not part or part in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]


def official_files(folder):
    """Write a small FER2013 and FER+ in their users' layouts, and the same faces as folders and as a table."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (210, 48 * 48))
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], [70, 70, 70])
    rows = [f"{i % 7},{' '.join(map(str, p))},{u}" for i, (p, u) in enumerate(zip(pixels, usage, strict=True))]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    ten = [",".join("10" if k == i else "0" for k in range(10)) for i in range(7)]
    votes = [f"{u},fer{i:07d}.png,{ten[i % 7]}" for i, u in enumerate(usage)]
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    (folder / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{names}", *votes]) + "\n")


@pytest.mark.parametrize(
    "command", [EXPERIMENTS[0], *(pytest.param(c, marks=pytest.mark.slow) for c in EXPERIMENTS[1:])]
)
def test_every_experiment_names_runs_that_exist(command, tmp_path):
    script, *arguments = shlex.split(command)[1:]
    ended = subprocess.run([sys.executable, str(ROOT / script), *arguments, "--list"], cwd=tmp_path,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert ended.returncode == 0 and ended.stdout.strip(), ended.stderr[-2000:]


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Stand in a folder with ``photographs``: two classes of one portrait, lit in many ways."""
    portrait = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    for name in ("happy", "neutral"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for i in range(10):
            lit = ImageEnhance.Brightness(portrait).enhance(0.6 + 0.08 * i)
            lit.save(tmp_path / "photographs" / name / f"{i}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_from_photographs_to_a_trained_network(photographs):
    block = next(b for kind, b in BLOCKS if kind == "sh" and "fer-tf crop" in b)
    training = [line for line in block.splitlines() if line in EXPERIMENTS]
    assert len(training) == 1 and len(FACES) == 4
    for line in block.splitlines():
        quick = ["--quick", "--batch-size", "4"] if line in training else []
        ended = subprocess.run([*arguments_of(line), *quick], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(list(Path("faces").rglob("*.png"))) == len(list(Path("masked").rglob("*.jpg"))) == 20
    assert len(list(Path("shards").glob("*.tfrecord"))) == 1 and Path("landmarks.csv").is_file()
    assert models.load_model("runs/small_resnet_quick/winner.keras").output_shape == (None, 2)


def test_the_extraction_example_runs(photographs, capsys):
    exec(EXTRACT, {})
    assert capsys.readouterr().out == "(8, 112, 112, 3)\n"


@pytest.mark.slow
def test_what_is_done_with_a_trained_network(photographs):
    for line in USES:
        ended = subprocess.run(arguments_of(line), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(Path("faces.csv").read_text().splitlines()) == 21 and len(list(Path("drawn").rglob("*.jpg"))) == 20
    assert Path("photographs/happy/0_gradcam.png").is_file() and list(Path("figures").glob("*.png"))
    assert Path("saved_models/faces/1/saved_model.pb").is_file()


def test_the_analysis_example_runs(photographs, capsys):
    exec(ANALYZE, {})
    assert "'happiness': " in capsys.readouterr().out


def test_the_servers_are_named_as_they_are():
    from fer_tf import demo
    from fer_tf.commands import client

    assert len(SERVERS) == 3 and client.__doc__ and demo.__doc__
    mounted = re.search(r'"\$PWD/(\w+):/models:ro".*--model_config_file=/models/(\S+)', SERVERS[0])
    assert (ROOT / mounted[1] / mounted[2]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in EXPERIMENTS if "fer2013" in c or "ferplus" in c])
def test_the_commands_on_official_files_run(command, tmp_path):
    official_files(tmp_path)
    script, *arguments = shlex.split(command.replace("DIR", str(tmp_path)))[1:]
    study = Path(script).stem
    only = ["--only", {"vgg_optim_sweep": "nesterov-constant", "ldl_study": "resnet10 majority-seed0"}[study]]
    ended = subprocess.run([sys.executable, str(ROOT / script), *arguments, "--quick", *only], cwd=tmp_path,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / f"runs/{study}_quick/report.html").is_file()


def test_a_network_trains_with_bare_keras(capsys):
    exec(TRAIN, {})
    assert capsys.readouterr().out == "(2, 48, 48)\n"

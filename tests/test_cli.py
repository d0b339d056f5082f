"""The command ``fer-tf``: its list, help without heavy imports, exit codes, and the old ``python -m`` forms."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

import fer_tf
from fer_tf import cli


def run(*arguments):
    """Run ``python -m fer_tf`` in a new process."""
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)


def test_the_list_names_every_command_with_its_summary(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(f"{name} {summary}" in shown for name, summary in cli.COMMANDS.items())


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_a_command_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and f"usage: fer-tf {command}" in shown
    assert f"  fer-tf {command} " in shown, "no example"


def test_a_missing_or_unknown_command_ends_with_two(capsys):
    for arguments in ([], ["prdict"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
        assert "predict" in capsys.readouterr().err or not arguments


def test_python_m_is_the_same_command():
    for arguments in (["fer_tf", "predict"], ["fer_tf.predict"]):
        ended = run(*arguments, "/nowhere.jpg")
        assert ended.returncode == 2, ended.stderr
        assert ended.stderr.startswith("error: /nowhere.jpg")
        assert len(ended.stderr.splitlines()) == 1


def of_a_photograph(tmp_path, *command):
    """Run a command on a good photograph; return what it wrote to stderr."""
    Image.fromarray(skimage.data.astronaut()[:256, 60:380]).save(tmp_path / "x.png")
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(fer_tf.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stderr


@pytest.mark.parametrize(
    "command", ["fer_tf predict x.png", "fer_tf.predict x.png", "fer_tf gradcam x.png", "fer_tf crop x.png faces"]
)
def test_stderr_is_empty_for_a_good_photograph(tmp_path, command):
    assert of_a_photograph(tmp_path, *command.split()) == ""


LOADED = """
import os, sys
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n"
            b"I0000 00:00:1795996145.591785   12930 port.cc:153] oneDNN custom operations are on.\\n"
            b"E0000 00:00:1795996145.591785   12930 cuda.cc:1] no driver\\n")
print("by Python", file=sys.stderr)
"""


@pytest.mark.parametrize("fails", [False, True])
def test_what_tensorflow_says_of_failures_is_kept(tmp_path, fails):
    package = tmp_path / "tensorflow" / "__init__.py"
    package.parent.mkdir()
    package.write_text(LOADED + "raise ImportError('no such library')\n" * fails)
    code = (
        "from fer_tf import cli\ncli.prepare_environment()\ncli.prepare_environment()\n"
        "import sys, tensorflow, os\nos.write(2, b'I0000 00:00:1.1   1 a.cc:1] after\\n')"
    )
    root, shown = Path(fer_tf.__file__).parents[1], {}
    for level in ("3", "0"):
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "TF_CPP_MIN_LOG_LEVEL": level}
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == fails
        shown[level] = ended.stderr.splitlines()
    assert shown["3"][:2] == ["E0000 00:00:1795996145.591785   12930 cuda.cc:1] no driver", "by Python"]
    assert shown["3"][-1] == ("ImportError: no such library" if fails else "I0000 00:00:1.1   1 a.cc:1] after")
    assert shown["0"][1].endswith("oneDNN custom operations are on.")


@pytest.mark.parametrize(
    "line",
    [
        ["predict", ""], ["gradcam", ""], ["compare", ""], ["crop", "", "dst"], ["crop", "src", ""],
        ["mask", "", "dst"], ["landmarks", "", "points.csv"], ["landmarks", "", "points.csv", "--dataset", "folder"],
        ["shards", "prepare", "", "dst"], ["shards", "verify", ""],
    ],
)  # fmt: skip
def test_an_empty_path_is_not_the_working_directory(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    with pytest.raises(SystemExit) as ended:
        cli.main(line)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith("error: An empty path names nothing.") and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

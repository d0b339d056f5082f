"""The command ``fer-tf``: its list, help without heavy imports, exit codes, and the old ``python -m`` forms."""

import subprocess
import sys

import pytest

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

"""The command before anything is served, and what it leaves."""

import signal
import socket
import subprocess
import sys

import pytest

from fer_tf import cli
from fer_tf.demo import server
from fer_tf.demo.guard import Uploads
from fer_tf.errors import UserError


def test_help_shows_examples_and_all_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    text = capsys.readouterr().out
    assert "fer-tf demo --port 8080" in text
    for option in ("--host", "--port", "--model", "--max-mb", "--max-pixels", "--rate"):
        assert option in text


@pytest.fixture
def ends_as_before():
    """Give SIGTERM back what it did, which the command changes."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "70000"], "--port 70000 is out of range. Expected 0 to 65,535."),
        (["--max-mb", "0"], "--max-mb 0.0 is out of range. Expected 0.1 to 1,000."),
        (["--max-pixels", "99000000"], "--max-pixels 99000000 is out of range. Expected 1 to 64,000,000."),
        (["--rate", "1"], "--rate 1 is out of range"),
        (["--model", "nothing.keras", "--port", "0"], "No model 'nothing.keras'"),
        (["--host", "no.such.host.invalid", "--port", "0"], "No host 'no.such.host.invalid'"),
    ],
)
def test_mistakes_get_one_line_and_exit_2(capsys, ends_as_before, arguments, reason):
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *arguments])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and reason in error and error.count("\n") == 1


def test_a_taken_port_is_said_before_the_networks_are_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .* Choose another --port"):
            server.serve(server.Settings(port=port), print)


def test_only_this_computer_reaches_it_by_default():
    assert server.Settings().host == cli.make_parser(["demo"]).parse_args(["demo"]).host == "127.0.0.1"


def test_without_gradio_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("TEMP_DIR", "ANALYTICS_ENABLED", "RUN_HISTORY", "SSR_MODE", "MCP_SERVER"):
        monkeypatch.setenv(f"GRADIO_{name}", "")  # which puts back what the import sets
    for name in ("OFFLINE", "DISABLE_TELEMETRY"):
        monkeypatch.setenv(f"HF_HUB_{name}", "")
    with pytest.raises(UserError, match=r"pip install 'fer-tf\[demo\]'"):
        server.import_gradio(Uploads(tmp_path, 1, 1))


def test_gradio_is_imported_nowhere_else():
    code = "import sys, fer_tf.demo.server, fer_tf.demo.server, fer_tf.commands.demo; print('gradio' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_networks_are_named_once(tmp_path):
    assert list(server.name_models(())) == ["default", "fer2013"]
    (tmp_path / "a").mkdir()
    paths = [tmp_path / "mine.keras", tmp_path / "a" / "mine.keras"]
    for path in paths:
        path.touch()
    names = server.name_models(("default", "ferplus", *map(str, paths)))
    assert list(names) == ["default", "mine", "mine (a)"] and list(names.values())[1:] == paths

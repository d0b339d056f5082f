import os
import subprocess
import sys
from pathlib import Path

import pytest

import fer_tf
from fer_tf.errors import UserError, exit_on_user_error


def stop(error):
    raise error


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: stop(UserError("no such file x.csv")), 2, "error: no such file x.csv\n"),
        (lambda: stop(UserError("no \x1b[2J.csv")), 2, "error: no \\x1b[2J.csv\n"),
        (lambda: stop(KeyboardInterrupt()), 130, "interrupted; start the same command again to continue\n"),
    ],
)
def test_exit_codes_and_one_line(main, code, line, capsys):
    with pytest.raises(SystemExit) as ended:
        exit_on_user_error(main)
    assert ended.value.code == code and capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback():
    with pytest.raises(KeyError):
        exit_on_user_error(lambda: {}["x"])


def test_a_reader_that_leaves_is_no_error():
    code = "from fer_tf.errors import exit_on_user_error as run; run(lambda: [print(i) for i in range(10**5)] and 0)"
    environment = {**os.environ, "PYTHONPATH": str(Path(fer_tf.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""

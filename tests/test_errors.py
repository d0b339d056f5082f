import pytest

from fer_tf.errors import UserError, exit_on_user_error


def stop(error):
    raise error


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: stop(UserError("no such file x.csv")), 2, "error: no such file x.csv\n"),
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

"""The flags that all studies share, and their exit codes."""

import pytest

from fer_tf.datasets import DATASETS
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes


def configs(options):
    base = RunConfig(name="a", model=recipes.sized(options.model, options.width),
                     **recipes.shared_settings(options))  # fmt: skip
    return recipes.over_seeds([base], options.seeds)


STUDY = commandline.Study("demo", "Demo", "What is it?\n\n  an example", configs, defaults={"width": 0.03})


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        commandline.main(STUDY, arguments)
    return ended.value.code


def test_help_shows_examples_and_defaults(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert "\n  an example" in text
    text = " ".join(text.split())
    assert "published size (default 0.03)" in text and "runs/demo" in text


def test_a_study_may_leave_shared_flags_out_and_take_one_for_itself(capsys):
    study = commandline.Study(
        "demo", "Demo", "What?", configs, without=("--width", "--model"), defaults={"width": 1.0},
        add_arguments=lambda p: p.add_argument("--model", default="own", help="a file"),
    )  # fmt: skip
    options = commandline.parser(study).parse_args([])
    assert options.model == "own" and options.width == 1.0 and options.epochs == 6
    with pytest.raises(SystemExit):
        commandline.parser(study).parse_args(["--width", "2"])
    assert "unrecognized arguments: --width" in capsys.readouterr().err


def test_list_shows_the_runs_and_does_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--list", "--seeds", "0,7") == 0
    assert capsys.readouterr().out.splitlines() == ["a-seed0  seed=0", "a-seed7  seed=7"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "fer2013", "--data", "/no/such/place"], "/no/such/place"),
        (["--dataset", "fer2013"], "'fer2013' needs data"),
        (["--dataset", "cifar"], f"Unknown dataset 'cifar'. Available: {', '.join(sorted(DATASETS))}."),
        (["--only", "zzz*"], "No run matches zzz*. Available: a."),
        (["--epochs", "0"], "0 is not above 0"),
        (["--seeds", "1;2"], "is no list of whole numbers"),
        (["--view", "side"], "Available: center, flip, ten_crop"),
        (["--model", "vgg99"], "Unknown model 'vgg99'"),
        (["--crop", "-3"], "0 means the whole picture"),
        (["--crop", "500", "--quick"], "500"),
        (["--seeds=-1"], "seed is -1"),
        (["--model", "vgg(width='x')"], "width"),
        (["--out", "/dev/null", "--quick"], "/dev/null is no folder"),
        (["--dataset", "csv", "--data", "/proc/self/mem"], "/proc/self/mem"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in last and "error:" in last


def test_xla_where_onednn_is_faster_is_told_once(capsys, tmp_path, monkeypatch):
    mistake = ["--jit", "--dataset", "fer2013", "--data", "/no/such/place", "--out", str(tmp_path)]
    for onednn in ("1", "0"):
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
        assert run(*mistake) == 2
        assert capsys.readouterr().err.count("steps are faster without --jit") == int(onednn)


def test_quick_yields_to_flags_that_are_given():
    options = commandline._parse(STUDY, ["--quick"])
    assert (options.epochs, options.limit, options.batch_size, str(options.out)) == (2, 512, 32, "runs/demo_quick")
    options = commandline._parse(STUDY, ["--quick", "--epochs", "5", "--out", "x"])
    assert (options.epochs, options.batch_size, str(options.out)) == (5, 32, "x")


def test_multi_target_labels_bring_their_loss():
    def loss(*arguments):
        return configs(commandline._parse(STUDY, arguments))[0].loss

    assert loss() == "cross_entropy"
    assert loss("--dataset", "ferplus(mode='multi_target')") == "multi_target"
    assert loss("--dataset", "ferplus(mode='multi_target')", "--loss", "kl") == "kl"


def test_width_goes_into_the_call_string_unless_it_is_there():
    assert recipes.sized("vgg", 0.5) == "vgg(width=0.5)"
    assert recipes.sized("vgg(width=2, depth=1)", 0.5) == "vgg(width=2, depth=1)"


def test_augmentations_are_split_at_semicolons():
    assert recipes.split_calls("flip(); affine(rotation=3)") == ("flip()", "affine(rotation=3)")
    assert recipes.split_calls("light") == ("light",)

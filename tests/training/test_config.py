from dataclasses import replace

import pytest

from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig

CONFIG = RunConfig(name="a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vgg17"}, r"Unknown model 'vgg17'\. Available: .*vgg13"),
        ({"model": "vgg(widht=1)"}, r"model 'vgg' takes no 'widht'\. Accepted: .*width"),
        ({"optimizer": "sdg"}, "Unknown optimizer 'sdg'"),
        ({"schedule": "step(evry=3)"}, "schedule 'step' takes no 'evry'"),
        ({"loss": "ce"}, "Unknown loss 'ce'"),
        ({"objective": "snc"}, "Unknown objective 'snc'"),
        ({"objective": "scn(gama=1)"}, "objective 'scn' takes no 'gama'"),
        ({"objective": "scn", "augment": ("cutmix()",)}, "mixes faces"),
        ({"augment": ("flipp()",)}, "Unknown augmentation 'flipp'"),
        ({"dataset": "fer2031"}, "Unknown dataset 'fer2031'"),
        ({"averaging": "emma"}, "Unknown averaging 'emma'"),
        ({"epochs": 0}, "epochs is 0. Expected 1 to"),
        ({"seed": -1}, "seed is -1. Expected 0 to"),
        ({"limit": -3}, "limit is -3"),
        ({"sharpness": -1}, "sharpness is -1"),
        ({"kernel_l2": -1}, "kernel_l2 is -1"),
        ({"dropout": 2}, "dropout is 2. Expected 0 to 0.999"),
        ({"learning_rate": 0}, "learning_rate is 0. Expected a number above 0"),
        ({"l2": float("nan")}, "l2 is nan"),
        ({"cover": "cover(train='veiled')"}, "Unknown part 'veiled'"),
        ({"cover": "mask"}, "Unknown cover 'mask'. Available: cover"),
        ({"keep": "first"}, "Unknown keep 'first'. Available: best, last"),
        ({"precision": "float16"}, "Unknown precision 'float16'. Available: float32, bfloat16, auto"),
        ({"view": "twenty_crop"}, "Unknown view 'twenty_crop'. Available: center, flip, ten_crop"),
    ],
)
def test_a_mistake_shows_when_the_configuration_is_built(change, message):
    with pytest.raises(UserError, match=message):
        replace(CONFIG, **change)


def test_json_round_trip():
    config = replace(CONFIG, augment=("flip()", "study"), averaging="ema(decay=0.9)", crop=None)
    assert RunConfig.from_json(config.to_json()) == config
    with pytest.raises(UserError, match=r"Unknown setting 'epoch'\. Available: .*epochs"):
        RunConfig.from_json({"name": "a", "epoch": 3})


def test_the_folder_changes_with_every_setting_but_not_with_the_name_alone():
    assert replace(CONFIG, name="b").digest() == CONFIG.digest()
    changes = [{"epochs": 3}, {"seed": 1}, {"l2": 1e-4}, {"weight_decay": 1e-4}, {"augment": ("flip()",)}]
    assert len({replace(CONFIG, **c).digest() for c in changes} | {CONFIG.digest()}) == 6
    assert replace(CONFIG, name="a/b c:ü").folder().startswith("a_b_c_ü-")


def test_a_start_is_part_of_the_run_and_old_runs_keep_their_folders():
    assert CONFIG.digest() == "81f1af05"
    assert len({replace(CONFIG, precision=p).digest() for p in ("float32", "bfloat16", "auto")}) == 3
    started = replace(CONFIG, start="a.keras")
    assert started.digest() != CONFIG.digest()
    taught = replace(started, objective="distillation(teachers=('b.keras', 'c.keras'))")
    assert (CONFIG.networks, taught.networks) == ((), ("a.keras", "b.keras", "c.keras"))

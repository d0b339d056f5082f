"""What a search draws becomes configurations that say the same."""

from dataclasses import replace

import pytest

from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig
from fer_tf.tuning import search

BASE = RunConfig(
    name="base", optimizer="nesterov(momentum=0.8)", learning_rate=0.05, l2=5e-4, epochs=45, augment=("flip()",)
)


def test_nothing_drawn_changes_nothing_but_the_name():
    assert search.configured([BASE], {}, "000") == replace(BASE, name="000")


def test_the_rate_is_a_factor_on_the_runs_own_or_on_the_usual_one():
    drawn = search.configured([BASE], {"rate": 0.20004}, "a")
    assert (drawn.optimizer, drawn.learning_rate, drawn.l2) == (BASE.optimizer, 0.01, 5e-4)
    same = search.configured([BASE], {"optimizer": "nesterov", "rate": 2.0}, "a")
    assert (same.optimizer, same.learning_rate) == (BASE.optimizer, 0.1)
    other = search.configured([BASE], {"optimizer": "adamw", "rate": 3.0}, "a")
    assert (other.optimizer, other.learning_rate) == ("adamw", 0.003)


def test_decay_is_of_the_optimizers_kind_and_the_other_kind_goes():
    coupled = search.configured([BASE], {"decay": 1e-3}, "a")
    assert (coupled.l2, coupled.weight_decay) == (1e-3, 0.0)
    # Keras scales decoupled decay by the rate: 0.001 · 10 pulls as coupled decay of 1e-3 does at SGD's 0.01.
    decoupled = search.configured([BASE], {"optimizer": "adamw", "decay": 1e-3}, "a")
    assert (decoupled.l2, decoupled.weight_decay) == (0.0, 0.01)


def test_names_of_runs_schedules_and_presets():
    runs = [BASE, replace(BASE, name="other", model="resnet10")]
    drawn = search.configured(
        runs, {"run": "other", "schedule": "plateau", "augment": "strong", "dropout": 0.12345}, "x"
    )
    assert (drawn.name, drawn.model, drawn.augment, drawn.dropout) == ("x", "resnet10", ("strong",), 0.123)
    assert drawn.schedule == "plateau(factor=0.5, patience=2)"


def test_several_runs_are_searched_too_and_presets_that_one_refuses_are_not():
    points = RunConfig(name="p", objective="landmarks(coefficient=1.0, margin=0.1)", model="landmark_scn")
    one, two = search.space_of(("augment",), [BASE]), search.space_of(("augment", "rate"), [BASE, points])
    assert list(one) == ["augment"] and "strong" in one["augment"].choices
    assert list(two) == ["run", "rate", "augment"] and two["run"].choices == ("base", "p")
    assert "strong" not in two["augment"].choices and "light" in two["augment"].choices


def test_every_corner_is_a_configuration():
    found = search.corners(
        [BASE], search.space_of(("optimizer", "rate", "decay", "schedule", "augment", "dropout"), [BASE])
    )
    assert len(found) == 5 + 2 + 2 + 7 + 5 + 2 and len({c.digest() for c in found}) >= len(found) - 2
    assert {c.learning_rate for c in found if c.name.startswith("rate")} == {0.005, 0.5}


def test_an_unknown_dimension_is_a_users_mistake():
    with pytest.raises(UserError, match=r"Unknown dimension 'depth'\. Available: augment, decay, dropout"):
        search.space_of(("rate", "depth"), [BASE])

"""Schedules against torch's schedulers (constants computed with torch 2.13, base rate 0.01) and published values."""

import json

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.training import schedules
from fer_tf.training.schedules import SCHEDULES, Plateau, table

COSINE = [
    0.01, 0.00975530705, 0.00904518046, 0.00793913237, 0.00654543046, 0.0050005, 0.00345556954, 0.00206186763,
    0.000955819537, 0.000245692947,
]  # fmt: skip
RESTARTS_DOUBLING = [
    0.01, 0.0050005, 0.01, 0.00853568035, 0.0050005, 0.00146531965, 0.01, 0.00961943572, 0.00853568035, 0.00691372582,
    0.0050005, 0.00308727418, 0.00146531965, 0.000381564277, 0.01,
]  # fmt: skip
ONE_CYCLE_20 = [
    0.0004, 0.00131671843, 0.00371671843, 0.00668328157, 0.00908328157, 0.01, 0.00987464006, 0.00950484632,
    0.00890916178, 0.00811745654, 0.00716943002, 0.00611262022, 0.00500002, 0.00388741978, 0.00283060998,
    0.00188258346, 0.00109087822, 0.00049519368, 0.000125399938, 4e-08,
]  # fmt: skip
# 15 steps: the peak lies between two steps.
ONE_CYCLE_15 = [
    0.0004, 0.00220725, 0.0062681, 0.00952465, 0.00994415, 0.00950485, 0.00866526, 0.00750001, 0.00611262, 0.00462637,
    0.00317332, 0.00188258, 0.000868843, 0.000222175, 4e-08,
]  # fmt: skip


def test_constant():
    assert table("constant", 0.01, 2, 3).tolist() == [np.float32(0.01)] * 6


def test_step_changes_after_every_twentieth_epoch():
    rates = table("step", 0.01, 61, 2)
    np.testing.assert_allclose(rates[[0, 39, 40, 79, 80, 121]], [0.01, 0.01, 0.005, 0.005, 0.0025, 0.00125], rtol=1e-6)


def test_exponential():
    np.testing.assert_allclose(table("exponential(factor=0.9)", 0.01, 4, 1), [0.01, 0.009, 0.0081, 0.00729], rtol=1e-6)


def test_cosine_is_periodic_as_in_torch():
    expected = [*COSINE, 1e-6, *COSINE[:0:-1], *COSINE[:4]]
    np.testing.assert_allclose(table("cosine", 0.01, 24, 1), expected, rtol=1e-6)


def test_a_rate_by_epoch_holds_for_all_its_steps():
    np.testing.assert_array_equal(table("cosine", 0.01, 5, 3), np.repeat(table("cosine", 0.01, 5, 1), 3))


def test_warm_restarts():
    np.testing.assert_allclose(table("warm_restarts", 0.01, 22, 1), [*COSINE, *COSINE, *COSINE[:2]], rtol=1e-6)
    np.testing.assert_allclose(table("warm_restarts(t_0=2, t_mult=2)", 0.01, 15, 1), RESTARTS_DOUBLING, rtol=1e-6)


def test_one_cycle_moves_at_every_step():
    np.testing.assert_allclose(table("one_cycle", 0.01, 20, 1), ONE_CYCLE_20, rtol=1e-5)
    np.testing.assert_allclose(table("one_cycle", 0.01, 4, 5), ONE_CYCLE_20, rtol=1e-5)
    np.testing.assert_allclose(table("one_cycle", 0.01, 5, 3), ONE_CYCLE_15, rtol=1e-5)


def test_one_cycle_of_very_few_steps_is_finite():
    for steps in (1, 2, 3, 4):
        rates = table("one_cycle", 0.01, 1, steps)
        assert np.isfinite(rates).all() and rates.max() <= np.float32(0.01)


def test_warmup_cosine():
    # Climb in 4 steps; then 4 steps of (1 + cos πp)/2 at p = ¼, ½, ¾, 1.
    expected = [0.025, 0.05, 0.075, 0.1, 0.0868198052, 0.055, 0.0231801948, 0.01]
    np.testing.assert_allclose(table("warmup_cosine(warmup=2, floor=0.01)", 0.1, 4, 2), expected, rtol=1e-6)
    np.testing.assert_allclose(table("warmup_cosine(warmup=0)", 0.1, 1, 2), [0.05, 0.0], atol=1e-9)


def test_wujie_published_values():
    rates = table("wujie", 0.01, 250, 1)
    np.testing.assert_allclose(rates[[0, 80, 84, 85]], [0.01, 0.01, 0.01, 0.009], rtol=1e-6)
    assert rates[249] == pytest.approx(3.09e-4, rel=2e-3)


def test_ferplus_published_values():
    rates = table("ferplus", 0.05, 41, 1)
    np.testing.assert_allclose(rates[[0, 19, 20, 39, 40]], [0.05, 0.05, 0.025, 0.025, 0.005], rtol=1e-6)
    np.testing.assert_allclose(
        table("ferplus(scale=0.1, drops=(1, 2))", 0.05, 3, 1), [0.005, 0.0025, 0.0005], rtol=1e-6
    )


@pytest.mark.parametrize("name", [name for name in SCHEDULES if SCHEDULES[name].facts["follows"] != "score"])
def test_every_table_has_a_positive_rate_for_every_step(name):
    rates = table(name, 0.01, 12, 7)
    assert rates.shape == (84,) and rates.dtype == np.float32
    assert (rates >= 0).all() and rates.max() <= np.float32(0.01)
    if SCHEDULES[name].facts["follows"] == "epoch":
        assert (rates.reshape(12, 7) == rates.reshape(12, 7)[:, :1]).all()


def test_plateau_in_torch_steps():
    scores = [0.5, 0.50004, 0.5, 0.49, 0.5, 0.4999, 0.50001, 0.5, *[0.6] * 11]
    plateau = Plateau(factor=0.75, patience=5)
    rates = [0.01 * plateau.observe(score) for score in scores]
    # torch reports the rate before each observation: one later.
    expected = [0.01] * 6 + [0.0075] * 8 + [0.005625] * 5
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_plateau_on_losses_with_a_floor_and_a_nan():
    scores = [1.0, 0.99995, 0.9998, 0.9998, 0.9998, 0.9998, 0.5, float("nan"), 0.5, 0.5, 0.5]
    plateau = schedules.get("plateau(mode='min', factor=0.5, patience=1, min_lr=0.003)", 0.01, 1, 1).plateau
    rates = [0.01 * plateau.observe(score) for score in scores]
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.005] * 4 + [0.003] * 3, rtol=1e-12)


def test_plateau_continues_from_its_state():
    scores = [0.5, 0.4, 0.3, 0.6, 0.5, 0.4, 0.3, 0.2]
    whole, first = Plateau(patience=1), Plateau(patience=1)
    expected = [whole.observe(score) for score in scores]
    shares = [first.observe(score) for score in scores[:5]]
    second = Plateau(patience=1)
    second.set_state(json.loads(json.dumps(first.get_state())))
    assert shares + [second.observe(score) for score in scores[5:]] == expected
    assert expected[-1] == 0.75**3


def test_build_gives_the_optimizer_its_rate():
    schedule = schedules.get("plateau(patience=2)", 0.01, 3, 4)
    assert schedule.learning_rate == 0.01 and schedule.table is None and schedule.plateau.patience == 2
    schedule = schedules.get("step(every=1)", 0.01, 3, 4)
    assert schedule.plateau is None and len(schedule.table) == 12
    assert float(schedule.learning_rate(4)) == schedule.table[4] == np.float32(0.005)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("stairs", "Unknown schedule 'stairs'"),
        ("step(each=3)", "takes no 'each'"),
        ("step(every=0)", "every must be at least 1"),
        ("step(base=1)", "'base' is set by the caller"),
        ("cosine(t_max=0)", "t_max must be at least 1"),
        ("warm_restarts(t_mult=0)", "t_mult must be at least 1"),
        ("one_cycle(rise=1)", "rise must be between 0 and 1"),
        ("warmup_cosine(warmup=3)", "below 3 epochs"),
        ("ferplus(drops=(40, 20))", "drops must be two epochs"),
        ("plateau", "follows the score"),
    ],
)
def test_mistakes(text, part):
    with pytest.raises(UserError, match=part.replace("(", r"\(")):
        table(text, 0.01, 3, 2)


@pytest.mark.parametrize("keywords", [{"factor": 1.0}, {"mode": "best"}, {"patience": -1}])
def test_plateau_mistakes(keywords):
    with pytest.raises(UserError, match=next(iter(keywords))):
        Plateau(**keywords)

"""Contract tests: every op is tested by existing."""

import inspect

import numpy as np
import pytest

from fer_tf import registry
from fer_tf.augment import OPS, PRESETS, expand, get, insert_crop, preset
from fer_tf.augment.warp import check_range
from fer_tf.errors import UserError

NEEDED = {"random_crop": {"size": 20}, "center_crop": {"size": 20}, "resize": {"size": 30}}
ACTIVE = {**NEEDED, "affine": {"rotation": 20, "shift": 0.3, "zoom": 0.5, "shear": 0.2}}
CALLS = [registry.render(name, ACTIVE.get(name, {})) for name in OPS] + list(PRESETS)


def batch(count, channels, dtype=np.float32):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 24, 24, channels)).astype(dtype)
    return images, rng.dirichlet(np.ones(7), count).astype(np.float32)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_op_keeps_the_contract(call, channels, count, dtype):
    images, targets = batch(count, channels, dtype)
    before = images.copy(), targets.copy()
    pipeline = get([call])
    for seed in range(5):
        out, rows = pipeline(images, targets, np.random.default_rng(seed))
        assert out.dtype == rows.dtype == np.float32
        assert out.shape[0] == count and out.shape[3] == channels and rows.shape == targets.shape
        assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 255.001
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
        assert rows.min() >= 0
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(targets, before[1])


@pytest.mark.parametrize("call", CALLS)
def test_op_is_a_function_of_its_generator_and_takes_bytes_like_floats(call):
    images, targets = batch(9, 1)
    first = get([call])(images, targets, np.random.default_rng(3))
    for given in (images, images.astype(np.uint8)):
        second = get([call])(given, targets, np.random.default_rng(3))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("call", [c for c in CALLS if c.split("(")[0] not in ("none", "center_crop", "resize")])
def test_op_really_draws(call):
    images, targets = batch(9, 1)
    one, other = (get([call])(images, targets, np.random.default_rng(seed)) for seed in (0, 1))
    assert not (np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]))


@pytest.mark.parametrize("name", list(OPS))
def test_op_has_defaults_documentation_and_no_open_keywords(name):
    function = OPS[name].load()
    assert inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert parameter.default is not parameter.empty or parameter.name in NEEDED.get(name, {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("flop()", "Unknown augmentation 'flop'. Available: affine"),
        ("flip(q=1)", "takes no 'q'. Accepted: p"),
        ("flip(p=1.5)", r"'flip': p=1.5. Expected a number in \[0, 1\]"),
        ("flip(p='often')", "p='often'"),
        ("flip(p=True)", "p=True"),
        ("affine(fill='grey')", "Expected one of 'constant', 'edge', 'reflect'"),
        ("affine(rotation=-1)", "rotation=-1. Expected a number ≥ 0"),
        ("random_crop()", "random_crop.*missing a required argument: 'size'"),
        ("random_crop(size=4.5)", "size=4.5. Expected pixels"),
        ("random_crop(size=4, padding=0.5)", "Expected a whole number ≥ 0"),
        ("random_resized_crop(area=0.8)", "Expected a pair"),
        ("random_resized_crop(area=(1, 0.5))", r"area=0.5. Expected a number ≥ 1"),
        ("erasing(fill='blue')", "Expected one of 'mean', 'noise'"),
        ("erasing(fill=300)", r"in \[0, 255\]"),
        ("randaugment(m=31)", r"in \[0, 30\]"),
        ("mixup(alpha=0)", "alpha=0"),
        ("study(p=1)", "preset 'study' takes no arguments"),
    ],
)
def test_mistakes_are_found_when_the_pipeline_is_built(call, message):
    with pytest.raises(UserError, match=message):
        get([call])


def test_a_string_is_no_list_of_calls():
    with pytest.raises(UserError, match="list of call strings"):
        get("flip()")


def test_check_range_accepts_an_equal_pair():
    check_range("op", "area", (0.5, 0.5), 0)


def test_presets_expand_in_place():
    assert expand(["study", "mixup()"]) == [*preset("study"), "mixup()"]
    assert expand(["none"]) == []
    with pytest.raises(UserError, match=r"Unknown augmentation preset 'heavy'\. Available: ferplus, light, none"):
        preset("heavy")


def test_the_studys_moves_are_one_warp_with_the_crop_in_it():
    calls = insert_crop(["study"], 40, random=True)
    assert calls[-2:] == ["random_crop(size=40)", "erasing(p=0.5)"]
    assert len(get(calls).ops) == 2
    assert insert_crop(["mixup()"], 40, random=False) == ["center_crop(size=40)", "mixup()"]


def test_an_empty_pipeline_makes_floats_of_its_own():
    images, targets = batch(2, 1)
    out, _ = get([])(images, targets, np.random.default_rng(0))
    out += 1
    np.testing.assert_array_equal(out, images + 1)

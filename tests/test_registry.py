import fractions

import pytest

from fer_tf.errors import UserError
from fer_tf.registry import Registry


def pair(first, second=2, third=3):
    return first, second, third


@pytest.fixture
def registry():
    table = Registry("thing")
    table.add("pair", f"{__name__}:pair", {"second": 20}, color="red")
    table.add("half", "fractions:Fraction")
    return table


def test_rows_keep_facts_and_load_lazily(registry):
    registry.add("broken", "no_such_module:x")
    assert list(registry) == ["pair", "half", "broken"] and "pair" in registry
    assert registry["pair"].facts["color"] == "red"
    assert registry["half"].load() is fractions.Fraction


def test_unknown_name_lists_the_alternatives(registry):
    with pytest.raises(UserError, match=r"Unknown thing 'pear'\. Available: half, pair\."):
        registry.resolve("pear()")


def test_a_name_cannot_be_taken_twice(registry):
    with pytest.raises(ValueError, match="registered twice"):
        registry.add("pair", "x:y")


def test_call_string_and_call_win_over_standing_keywords(registry):
    pair_from_here = registry["pair"].load()
    assert registry.resolve("pair(third=5)")[1] == {"second": 20, "third": 5}
    assert registry.make("pair", 1) == pair_from_here(1, 20)
    assert registry.make("pair(second=7)", 1) == (1, 7, 3)
    assert registry.make("pair", 1, second=8) == (1, 8, 3)


def test_a_keyword_given_twice_is_an_error(registry):
    with pytest.raises(UserError, match="'second' is set by the caller"):
        registry.make("pair(second=7)", 1, second=8)


def test_an_unknown_keyword_is_an_error(registry):
    with pytest.raises(UserError, match=r"thing 'pair' takes no 'fourth'"):
        registry.resolve("pair(fourth=4)")


def test_a_row_is_found_by_the_name_of_its_class_too(registry):
    assert registry["Fraction"] is registry["half"] and registry.make("Fraction") == 0
    with pytest.raises(UserError, match="Unknown thing"):
        registry["Frac"]

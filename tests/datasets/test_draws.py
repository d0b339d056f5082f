"""Random rows with a generator each."""

import numpy as np
import pytest

from fer_tf.datasets.draws import RowDraws


def take(draws):
    return [draws.uniform(2, 3), draws.normal(1, 2, columns=3), draws.integers(5), draws.choice((0.2, 0.8))]


def test_a_row_depends_on_its_number_alone():
    together, alone = take(RowDraws(7, 1, range(10))), take(RowDraws(7, 1, [4]))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a[4:5], b)


def test_seeds_kinds_and_rows_differ():
    firsts = [RowDraws(s, k, [n]).uniform()[0, 0] for s, k, n in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert len(set(firsts)) == 4


def test_distributions():
    draws = RowDraws(0, 0, range(4000))
    uniform, normal = draws.uniform(2, 3), draws.normal(1, 2)
    assert uniform.min() >= 2 and uniform.max() < 3 and abs(uniform.mean() - 2.5) < 0.02
    assert abs(normal.mean() - 1) < 0.1 and abs(normal.std() - 2) < 0.1
    np.testing.assert_allclose(np.bincount(draws.integers(4)[:, 0]) / 4000, 0.25, atol=0.03)
    np.testing.assert_allclose(np.bincount(draws.choice((0.1, 0.0, 0.9))[:, 0]) / 4000, (0.1, 0, 0.9), atol=0.02)
    assert abs(draws.happens(0.3).mean() - 0.3) < 0.03
    assert not draws.happens(0.0).any() and draws.happens(1.0).all()


def test_choice_takes_shares_by_row():
    np.testing.assert_array_equal(RowDraws(0, 0, range(2)).choice(np.array([[1.0, 0.0], [0.0, 1.0]])), [[0], [1]])


def test_drawing_more_than_planned_is_an_error():
    draws = RowDraws(0, 0, [0], uniforms=1)
    draws.uniform()
    with pytest.raises(StopIteration):
        draws.uniform()

import json

import numpy as np
import pytest

from fer_tf import evaluation
from fer_tf.facetable import FaceTable
from fer_tf.labels import FERPLUS

VOTES = [[6, 4, 0, 0, 0, 0, 0, 0, 0, 0], [9, 1, 0, 0, 0, 0, 0, 0, 0, 0], [0, 5, 5, 0, 0, 0, 0, 0, 0, 0]]
TARGETS = [[0.6, 0.4], [1.0, 0.0], [0.0, 0.5, 0.5]]


def table(votes=VOTES):
    targets = np.zeros((3, 8), np.float32)
    for row, target in zip(targets, TARGETS, strict=True):
        row[: len(target)] = target
    return FaceTable(
        targets=targets, label_set=FERPLUS, split=np.full(3, "test"), ids=np.array(list("abc")),
        images=np.zeros((3, 4, 4, 1), np.uint8), votes=None if votes is None else np.array(votes, np.float32),
    )  # fmt: skip


def logits_of(rows):
    return np.log(np.maximum(rows, 1e-12))


def test_perfect_and_reversed_opinions():
    found = evaluation.distribution_scores(logits_of(table().targets), table())
    assert found["faces"] == 3 and found["named"] == 1
    assert found["chebyshev"] == pytest.approx(0, abs=1e-6) and found["intersection"] == pytest.approx(1)
    # The raw votes' entropies are .673, .325, .693; the targets' are .673, 0, .693: not quite the same order of things.
    expected = np.corrcoef([0.6730117, 0.3250830, 0.6931472], [0.6730117, 0, 0.6931472])[0, 1]
    assert found["entropy_correlation"] == pytest.approx(expected, rel=1e-5)
    assert evaluation.distribution_scores(logits_of(table().targets), table(None))[
        "entropy_correlation"
    ] == pytest.approx(1)
    json.dumps(found, allow_nan=False)


def test_a_class_that_nobody_named_is_counted_and_no_spread_is_none():
    rows = np.zeros((3, 8))
    rows[:, 7] = 5
    found = evaluation.distribution_scores(rows, table())
    assert found["named"] == 0 and found["entropy_correlation"] is None

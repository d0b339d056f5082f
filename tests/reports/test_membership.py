import numpy as np
import pytest

from fer_tf.reports import audits


def test_curves_have_logarithmic_axes_that_end_at_half_a_false_alarm():
    fpr, tpr = np.array([0, 0, 0.001, 1]), np.array([0, 0.02, 0.5, 1])
    axes = audits.roc_curves({"loss": (fpr, tpr), "one": (np.array([0, 0.4, 1]), np.array([0, 0.6, 1]))}, 1000).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log" and axes.get_xlim() == (0.0005, 1)
    chance, curve, point = axes.lines[:3]
    assert [line.get_label() for line in (chance, curve, point)] == ["chance", "loss", "one"]
    # What stands at no false alarm at all is seen at the left end.
    assert curve.get_xdata().tolist() == [0.0005, 0.0005, 0.001, 1] and curve.get_ydata()[1] == 0.02
    assert point.get_xdata().tolist() == [0.4] and point.get_ydata().tolist() == [0.6]


def test_both_sides_are_shares_of_their_own_faces():
    axes = audits.two_sides(np.linspace(0, 1, 1000), np.linspace(0, 1, 10), "x", bins=5).axes[0]
    for patch in axes.patches:
        heights = patch.get_xy()[:, 1]
        assert heights[heights > 0] == pytest.approx(20, abs=0.6) and heights.min() == 0
    assert len(axes.patches) == 2


def test_a_number_that_all_faces_share_can_be_drawn():
    assert audits.two_sides(np.ones(5), np.ones(5), "x").axes[0].get_xlim()[1] > 1

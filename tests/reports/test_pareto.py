from fer_tf.reports.audits import pareto


def test_the_front_is_what_nothing_beats_in_both():
    names, cost, accuracy = ["a", "b", "c", "d"], [4.0, 1.0, 2.0, 3.0], [0.7, 0.5, 0.4, 0.7]
    (axes,) = pareto(names, cost, accuracy, "ms", "accuracy").axes
    _, front = axes.collections
    assert sorted(map(tuple, front.get_offsets().tolist())) == [(1.0, 50.0), (3.0, 70.0)]
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "accuracy, %"


def test_names_of_points_that_lie_close_do_not_cover_each_other():
    names = ["efficientnet_b2", "ghostface", "efficientnet_b0"]
    figure = pareto([*names, "far"], [16.0, 16.8, 16.2, 2.0], [0.245, 0.246, 0.246, 0.5], "ms", "accuracy")
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert [text.get_text() for text in figure.axes[0].texts] == [*names, "far"]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

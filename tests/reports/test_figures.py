import numpy as np
import pandas as pd

from fer_tf.reports import figures


def history(accuracy):
    return pd.DataFrame({"epoch": range(1, len(accuracy) + 1), "val_accuracy": accuracy, "loss": [1.0] * len(accuracy)})


def test_learning_curves_name_the_best_runs_only():
    runs = {f"run{i}": history([0.2, 0.3 + i / 100]) for i in range(9)}
    figure = figures.learning_curves(runs, marked=3)
    left, right = figure.axes
    assert len(left.lines) == len(right.lines) == 9
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["run0", "run1", "run2"]
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().x0 >= right.get_window_extent().x1  # beside the curves, not over them
    assert max(line.get_ydata()[-1] for line in left.lines) == 38  # percent


def test_a_single_epoch_is_visible():
    figure = figures.learning_curves({"a": history([0.4])})
    assert figure.axes[0].lines[0].get_marker() == "o"


def test_grid_writes_percents_and_leaves_gaps():
    grid = pd.DataFrame({"constant": [0.5, 0.25], "step": [np.nan, 0.75]}, index=["sgd", "adam"])
    texts = [t.get_text() for t in figures.accuracy_grid(grid).axes[0].texts]
    assert texts == ["50.0", "25.0", "75.0"]


def test_differences_are_points_in_order_with_intervals():
    points = pd.DataFrame({"difference": [5.0, -10.0], "half": [1.0, np.nan]}, index=["better", "worse"])
    axes = figures.differences(points, "points against the baseline").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [-10, 5]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["worse", "better"]
    assert [t.get_text() for t in axes.texts] == ["-10.0", "+5.0"]
    assert axes.texts[1].xy == (6.0, 1)  # past the end of its interval


def test_confusion_rows_are_shares_of_the_true_class():
    texts = [t.get_text() for t in figures.confusion([[3, 1], [0, 0]], ["a", "b"]).axes[0].texts]
    assert texts == ["75\n(3)", "25\n(1)", "0\n(0)", "0\n(0)"]


def test_dots_stand_in_their_rows_with_bars_baseline_and_published_marks():
    values = pd.DataFrame({"a": [70.0, 72.0], "b": [75.0, np.nan]}, index=["hard", "soft"])
    errors = pd.DataFrame({"a": [1.0, np.nan], "b": [0.5, np.nan]}, index=values.index)
    figure = figures.dots(values, errors, "accuracy, %", "hard", {"soft": 84.0, "missing": 1.0}, "paper")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["hard (dashed)", "soft"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["paper", "a", "b"]
    assert axes.collections[0].get_offsets().tolist() == [[84.0, 1]]
    dots = {c.get_label(): c.lines[0] for c in axes.containers}
    assert dots["a"].get_xdata().tolist() == [70, 72] and dots["a"].get_ydata()[1] < 1 < dots["b"].get_ydata()[1]
    baselines = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in baselines] == [70, 75]
    assert axes.yaxis_inverted()  # the first row is on top


def test_panels_share_scale_legend_and_reference():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=[0, 10])
    errors = {"left": frame * 0.1, "right": frame * 0}
    figure = figures.line_panels({"left": frame, "right": 2 * frame}, "x", "y", errors, reference=0.5)
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["left", "right"]
    assert left.get_ylim() == right.get_ylim() and left.get_ylabel() == "y" and not right.get_ylabel()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    assert all(axes.lines[0].get_ydata() == [0.5, 0.5] for axes in (left, right))
    a, b = (bars.lines[0] for bars in right.containers)
    assert b.get_ydata().tolist() == [6, 8]
    # Beside each other by a little, around the true place.
    assert 0 < b.get_xdata()[0] - a.get_xdata()[0] < 0.5 and a.get_xdata()[0] == -b.get_xdata()[0]


def test_panels_of_dots_share_a_scale_and_a_row_a_value():
    optimizers = pd.DataFrame({"constant": [80.0, 70.0], "plateau": [81.0, np.nan]}, index=["muon", "adam"])
    schedules = pd.DataFrame({"nesterov": [75.0]}, index=["step"])
    values = {"Optimizers": optimizers, "Schedules": schedules}
    figure = figures.dot_panels(values, {t: f * 0 + 2 for t, f in values.items()}, "test accuracy (%)", reference=81.0)
    above, below = figure.axes
    assert [t.get_text() for t in above.get_yticklabels()] == ["muon", "adam"] and above.yaxis_inverted()
    assert above.get_xlim() == below.get_xlim() and below.get_xlabel() == "test accuracy (%)"
    assert [t.get_text() for t in above.get_legend().get_texts()] == ["constant", "plateau"]
    assert below.get_legend() is None and below.get_title(loc="left") == "Schedules"
    assert all(axes.lines[0].get_xdata() == [81.0, 81.0] for axes in (above, below))

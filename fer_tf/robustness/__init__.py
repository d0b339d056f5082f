"""Measure how corruptions and shifts of faces change predictions."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.robustness.benchmark:BenchmarkPlan",
    "fer_tf.robustness.benchmark:BenchmarkResult",
    "fer_tf.robustness.benchmark:run_benchmark",
    "fer_tf.robustness.corruptions:corruption_error",
    "fer_tf.robustness.corruptions:relative_corruption_error",
    "fer_tf.robustness.corruptions:CORRUPTIONS",
    "fer_tf.robustness.corruptions:SEVERITIES",
    "fer_tf.robustness.corruptions:corrupt",
    "fer_tf.robustness.effects:canonical_landmarks",
    "fer_tf.robustness.prediction_flips:PredictionFlips",
    "fer_tf.robustness.prediction_flips:count_flips",
    "fer_tf.robustness.report:write_report",
    "fer_tf.robustness.shift_stability",
    "fer_tf.robustness.shift_stability:stabilize",
)

"""Run studies: many runs in one resumable folder."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.tuning.commandline",
    "fer_tf.tuning.parallel_runs",
    "fer_tf.tuning.parallel_runs:Processes",
    "fer_tf.tuning.parallel_runs:Ray",
    "fer_tf.tuning.recipes",
    "fer_tf.tuning.runner",
    "fer_tf.tuning.search",
    "fer_tf.tuning.search:Halving",
    "fer_tf.tuning.search:Search",
    "fer_tf.tuning.search:run_search",
    "fer_tf.tuning.search:space_of",
    "fer_tf.tuning.study_page",
)

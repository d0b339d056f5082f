"""Run studies: many runs in one resumable folder."""

from fer_tf.registry import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.tuning.cluster:Ray",
    "fer_tf.tuning.halving:Halving",
    "fer_tf.tuning.search:Search",
    "fer_tf.tuning.search:run_search",
    "fer_tf.tuning.space:space_of",
)

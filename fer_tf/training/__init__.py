"""Train networks in runs that resume exactly."""

from fer_tf.registry import Registry, attach

# Ways to average the weights of a training.
AVERAGINGS = Registry("averaging")
AVERAGINGS.add("ema", "fer_tf.training.averaging:ema", reference="arXiv 1711.10433, section 5")
AVERAGINGS.add("swa", "fer_tf.training.averaging:swa", reference="arXiv 1803.05407")

__getattr__, __dir__, __all__ = attach(
    __name__,
    "fer_tf.training.compute:as_built",
    "fer_tf.training.compute:resolve_precision",
    "fer_tf.training.compute:speed_up",
    "fer_tf.training.config:RunConfig",
    "fer_tf.training.objectives",
    "fer_tf.training.optimizers",
    "fer_tf.training.parts:build_network",
    "fer_tf.training.parts:build_parts",
    "fer_tf.training.run:execute",
    "fer_tf.training.schedules",
    "fer_tf.training.parts:load_tables",
    own=("AVERAGINGS",),
)

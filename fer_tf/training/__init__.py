"""How a network learns: run configurations, objectives, optimizers, schedules, averaging, checkpoints."""

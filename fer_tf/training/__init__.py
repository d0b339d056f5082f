"""How a network learns: run configurations, objectives, optimisers, schedules, averaging, checkpoints."""

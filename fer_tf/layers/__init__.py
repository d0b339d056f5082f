"""Layers that Keras lacks, each with ``get_config`` and ``keras.ops`` only."""

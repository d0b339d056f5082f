"""Run ``python -m fer_tf.export``, the same as ``fer-tf export``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("export")

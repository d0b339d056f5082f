"""Run ``python -m fer_tf.robustness``, the same as ``fer-tf robustness``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("robustness")

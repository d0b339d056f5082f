"""Run ``python -m fer_tf.privacy``, the same as ``fer-tf privacy``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("privacy")

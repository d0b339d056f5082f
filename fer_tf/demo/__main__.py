"""Run ``python -m fer_tf.demo``, the same as ``fer-tf demo``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("demo")

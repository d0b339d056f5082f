"""Run ``python -m fer_tf.client``, the same as ``fer-tf client``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("client")

"""Run ``python -m fer_tf.gradcam``, the same as ``fer-tf gradcam``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.shim("gradcam")

"""Run ``python -m fer_tf.faces crop|landmarks|mask``, the same as ``fer-tf crop|landmarks|mask``."""

from fer_tf import cli

if __name__ == "__main__":
    cli.main()

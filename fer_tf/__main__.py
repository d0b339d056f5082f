"""Run ``python -m fer_tf COMMAND``, the same as ``fer-tf COMMAND``."""

from fer_tf.cli import main

if __name__ == "__main__":
    main()

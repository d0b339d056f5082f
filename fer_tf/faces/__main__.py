"""Run ``fer-tf crop``, ``landmarks`` and ``mask`` as a module."""

from fer_tf import cli

if __name__ == "__main__":
    cli.main()

"""Run ``python -m fer_tf.predict PATH…``, the same as ``fer-tf predict PATH…``.

The module can be called: ``fer_tf.predict(faces)`` is ``fer_tf.inference.predict(faces)``.
"""

import sys
import types
from collections.abc import Sequence

from fer_tf import cli, inference


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    cli.shim("predict", arguments)


class _CallableModule(types.ModuleType):
    """Let ``fer_tf.predict`` be the function also after the module of that name was imported."""

    def __call__(self, *arguments, **keywords):
        return inference.predict(*arguments, **keywords)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = _CallableModule

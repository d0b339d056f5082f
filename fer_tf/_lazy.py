"""Import the public names of a package when they are first used."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any


def attach(
    package: str, *targets: str, own: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        package: the package's ``__name__``.
        targets: what to import on first use: ``"package.module:name"`` for a function, class or constant,
            ``"package.module"`` for a module. The public name is the last part of it.
        own: further public names, which the package defines itself.

    Returns:
        The three of them, in this order.

    Example:
        >>> getattr_, dir_, all_ = attach("fer_tf", "fer_tf.labels", "fer_tf.labels:LabelSet")
        >>> all_
        ['LabelSet', 'labels']
        >>> getattr_("LabelSet").__module__
        'fer_tf.labels'
    """
    table = {target.replace(":", ".").rpartition(".")[2]: target for target in targets}
    names = sorted({*table, *own})

    def getattribute(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = load(table[name])
        setattr(sys.modules[package], name, value)
        return value

    return getattribute, lambda: names, names


def load(target: str) -> Any:
    """Import ``"package.module:name"`` or ``"package.module"`` and return what it names.

    Example:
        >>> load("fer_tf.labels:LabelSet").__name__
        'LabelSet'
    """
    module, _, name = target.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded

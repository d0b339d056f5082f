"""Find functions by call strings, and import public names lazily."""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fer_tf.errors import UserError, unknown_name


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


@dataclass(frozen=True)
class Row:
    """One entry of a registry: where its function is, keywords that it always gets, and facts for callers."""

    name: str
    target: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable:
        """Import the module and return the function or class."""
        return load(self.target)


class Registry:
    """A table from names to functions and classes.

    Keywords of a call string and of a call win over those of the row; the same keyword in both is an error. A row is
    also found by the name of its function or class.

    Args:
        kind: name of the things in the table, for error messages.

    Example:
        >>> table = Registry("loss")
        >>> table.add("kl", "fer_tf.losses:KullbackLeibler")
        >>> table["kl"] is table["KullbackLeibler"]
        True
        >>> table.make("kl(name='divergence')").name
        'divergence'
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._rows: dict[str, Row] = {}

    def add(self, name: str, target: str, keywords: Mapping[str, Any] | None = None, **facts: Any) -> None:
        """Add a row.

        Args:
            name: its name in call strings.
            target: ``"package.module:attribute"``.
            keywords: arguments that the function gets unless a call sets them.
            **facts: anything that callers want to know about the row.
        """
        if name in self._rows:
            raise ValueError(f"{self.kind} {name!r} is registered twice.")
        self._rows[name] = Row(name, target, MappingProxyType(dict(keywords or {})), MappingProxyType(facts))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Row:
        if name in self._rows:
            return self._rows[name]
        for row in self._rows.values():
            if row.target.endswith(f":{name}") and not row.keywords:
                return row
        raise unknown_name(self.kind, name, self._rows)

    @property
    def targets(self) -> list[str]:
        """The functions and classes of all rows, as ``"package.module:attribute"``, each once."""
        return list(dict.fromkeys(row.target for row in self._rows.values()))

    def resolve(self, text: str) -> tuple[Row, dict[str, Any]]:
        """Read a call string; return its row and its keywords, those of the row included.

        Raises:
            UserError: an unknown name, or a keyword that the function does not take.
        """
        name, given = parse(text)
        row = self[name]
        check_keywords(row.load(), given, self.kind, name)
        return row, {**row.keywords, **given}

    def make(self, text: str, *args: Any, **common: Any) -> Any:
        """Call the function of a row with the keywords of the call string and ``common`` ones.

        Raises:
            UserError: as for ``resolve``; a keyword in both; or the function refuses a value.
        """
        row, keywords = self.resolve(text)
        twice = sorted(parse(text)[1].keys() & common.keys())
        if twice:
            raise UserError(f"{self.kind} {row.name!r}: {twice[0]!r} is set by the caller and in {text!r}.")
        try:
            return row.load()(*args, **{**keywords, **common})
        except UserError:
            raise
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            raise UserError(f"{self.kind} {text!r}: {' '.join(str(error).split())}") from error


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Split a call string into its name and its keywords.

    Args:
        text: ``"name"`` or ``"name(key=literal, …)"``; literals are Python numbers, strings, booleans, ``None``,
            tuples, lists and dicts.

    Returns:
        The name, and a dict from keyword to value.

    Raises:
        UserError: the text is not a call, or has positional or non-literal arguments.

    Example:
        >>> parse("sgd(momentum=0.9, nesterov=True)")
        ('sgd', {'momentum': 0.9, 'nesterov': True})
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"Cannot read {text!r}. Expected 'name' or 'name(key=value, …)'.") from None
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise UserError(f"Cannot read {text!r}. Expected 'name' or 'name(key=value, …)'.")
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise UserError(f"{text!r} has an argument without a name. Write every argument as key=value.")
    names = [keyword.arg for keyword in node.keywords]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{text!r} gives {twice[0]!r} twice.")
    try:
        return node.func.id, {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    # A set or dict of lists is a TypeError; thousands of signs or brackets go too deep.
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise UserError(f"{text!r} has a value that is not a literal number, string, boolean, tuple or None.") from None


def render(name: str, keywords: dict[str, Any]) -> str:
    """Write a name and its keywords as a call string, which ``parse`` reads.

    Example:
        >>> render("sgd", {"momentum": 0.9})
        'sgd(momentum=0.9)'
    """
    inside = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
    return f"{name}({inside})" if inside else name


def check_keywords(function: Callable, keywords: dict[str, Any], kind: str, name: str) -> None:
    """Raise a ``UserError`` unless every keyword is one that ``function`` takes by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    accepted = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for key in keywords:
        if key not in accepted:
            raise UserError(f"{kind} {name!r} takes no {key!r}. Accepted: {', '.join(accepted) or 'nothing'}.")

"""Name tables whose rows are imported only when they are used."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fer_tf import callstring
from fer_tf.errors import UserError, unknown_name


@dataclass(frozen=True)
class Row:
    """One entry of a registry: where its function lives, its standing keywords, and the facts of the thing."""

    name: str
    target: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable:
        """Import the module and return the function or class."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Registry:
    """A table from names to functions, with the facts of each.

    ``add("vgg16", "fer_tf.models.vgg:vgg16", facts={…})`` makes a row; ``make("vgg16(dropout=0.4)", …)`` calls it.
    Keywords of the call string and of the call win over the row's standing ones; one in both is an error.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._rows: dict[str, Row] = {}

    def add(self, name: str, target: str, keywords: Mapping[str, Any] | None = None, **facts: Any) -> None:
        """Add a row. ``target`` is ``"package.module:attribute"``; ``facts`` are what callers may ask of the row."""
        if name in self._rows:
            raise ValueError(f"{self.kind} {name!r} is registered twice.")
        self._rows[name] = Row(name, target, MappingProxyType(dict(keywords or {})), MappingProxyType(facts))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Row:
        if name not in self._rows:
            raise unknown_name(self.kind, name, self._rows)
        return self._rows[name]

    @property
    def targets(self) -> list[str]:
        """The functions and classes of all rows, as ``"package.module:attribute"``, each once."""
        return list(dict.fromkeys(row.target for row in self._rows.values()))

    def resolve(self, text: str) -> tuple[Row, dict[str, Any]]:
        """Read a call string; return its row and its keywords (standing ones included).

        Raises:
            UserError: unknown name, or a keyword that the function does not take.
        """
        name, given = callstring.parse(text)
        row = self[name]
        callstring.check_keywords(row.load(), given, self.kind, name)
        return row, {**row.keywords, **given}

    def make(self, text: str, *args: Any, **common: Any) -> Any:
        """Call the named function with the call string's keywords and ``common`` ones.

        Raises:
            UserError: as ``resolve``; a keyword in both; or the function refuses a value.
        """
        row, keywords = self.resolve(text)
        twice = sorted(callstring.parse(text)[1].keys() & common.keys())
        if twice:
            raise UserError(f"{self.kind} {row.name!r}: {twice[0]!r} is set by the caller and in {text!r}.")
        try:
            return row.load()(*args, **{**keywords, **common})
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.kind} {text!r}: {' '.join(str(error).split())}") from error

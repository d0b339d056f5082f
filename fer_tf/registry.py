"""Tables from names to functions that are imported when they are used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fer_tf import _lazy, callstring
from fer_tf.errors import UserError, unknown_name


@dataclass(frozen=True)
class Row:
    """One entry of a registry: where its function is, keywords that it always gets, and facts for callers."""

    name: str
    target: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable:
        """Import the module and return the function or class."""
        return _lazy.load(self.target)


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
        name, given = callstring.parse(text)
        row = self[name]
        callstring.check_keywords(row.load(), given, self.kind, name)
        return row, {**row.keywords, **given}

    def make(self, text: str, *args: Any, **common: Any) -> Any:
        """Call the function of a row with the keywords of the call string and ``common`` ones.

        Raises:
            UserError: as for ``resolve``; a keyword in both; or the function refuses a value.
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

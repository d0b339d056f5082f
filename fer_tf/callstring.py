"""Parse and write call strings such as ``"sgd(momentum=0.9, nesterov=True)"``."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

from fer_tf.errors import UserError


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
    except SyntaxError:
        raise UserError(f"Cannot read {text!r}. Expected 'name' or 'name(key=value, …)'.") from None
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise UserError(f"Cannot read {text!r}. Expected 'name' or 'name(key=value, …)'.")
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise UserError(f"{text!r} has an argument without a name. Write every argument as key=value.")
    try:
        return node.func.id, {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    except ValueError:
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

"""Results of tasks in the arguments of calls that a plan has filled in. Pure.

An argument that is nothing but `{{t1}}` stands for the result of task t1, and `{{t1.flights.0.id}}`
for a part of it, where the result is JSON. Results are put in as values, never into a longer text
and never read as arguments of their own: what a tool returned cannot add to a call.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from mbxai.sessions import HANDLE_SCHEME

_REFERENCE: Final = re.compile(r"\{\{\s*([^\s.{}]+)((?:\.[^\s.{}]+)*)\s*\}\}")
_MISSING: Final = object()


def keys_in(arguments: str) -> list[str]:
    """Return the keys of the tasks whose results a call needs, each once.

    Args:
        arguments: JSON text; text that is none needs nothing.
    """
    keys: list[str] = []

    def note(key: str, path: list[str]) -> object:
        del path
        keys.append(key)
        return None

    if "{{" in arguments:
        try:
            _replaced(json.loads(arguments), note)
        except (ValueError, RecursionError):
            return []
    return list(dict.fromkeys(keys))


def filled(arguments: str, results: Mapping[str, str]) -> str | None:
    """Return a call's arguments with the results in their places.

    Args:
        arguments: JSON text of an object.
        results: Results of tasks, by key.

    Returns:
        JSON text; None if a result is not there, has no such part, or may not be passed on
        unseen because a credential's handle is in it.
    """
    if "{{" not in arguments:
        return arguments
    is_whole = True

    def value_of(key: str, path: list[str]) -> object:
        nonlocal is_whole
        value = _part(results[key], path) if key in results else _MISSING
        if value is _MISSING or HANDLE_SCHEME in json.dumps(value, ensure_ascii=False):
            is_whole = False
            return None
        return value

    try:
        text = json.dumps(_replaced(json.loads(arguments), value_of), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text if is_whole else None


def _replaced(value: Any, value_of: Any) -> Any:  # Any: JSON; a function of a key and a path
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _replaced(part, value_of) for name, part in items}
    if isinstance(value, list):
        return [_replaced(part, value_of) for part in cast("list[Any]", value)]
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else value_of(found[1], found[2].split(".")[1:])


def _part(result: str, path: list[str]) -> object:
    """The part of a result; the whole text where no path is given and it is no JSON value."""
    try:
        value: Any = json.loads(result)
    except (ValueError, RecursionError):
        return _MISSING if path else result
    for step in path:
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(step, _MISSING)
        elif isinstance(value, list) and step.isdecimal():
            items = cast("list[Any]", value)
            value = items[int(step)] if int(step) < len(items) else _MISSING
        else:
            return _MISSING
    return value

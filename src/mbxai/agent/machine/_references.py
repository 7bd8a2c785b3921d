"""Results of tasks in the arguments of calls that a plan has filled in. Pure.

An argument that is nothing but `{{t1}}` stands for the result of task t1, and `{{t1.flights.0.id}}`
for a part of it, where the result is JSON. Results are put in as values, never into a longer text
and never read as arguments of their own: what a tool returned cannot add to a call.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from mbxai.sessions import HANDLE_SCHEME

MAX_FILLED_CHARS: Final = 4_194_304
"""How long the results that one call refers to may be together, each as often as it is named."""

_REFERENCE: Final = re.compile(r"\{\{\s*([^\s.{}]+)((?:\.[^\s.{}]+)*)\s*\}\}")
_MENTION: Final = re.compile(r"\{\{\s*([^\s{}][^{}]{0,199})")
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


def mentions(arguments: str, keys: Iterable[str]) -> bool:
    """Tell whether a call refers to results in a way in which they cannot be filled in.

    Args:
        arguments: JSON text of an object.
        keys: Keys of the plan's tasks.

    Returns:
        True if a longer text holds what would be a reference if it stood alone, or what begins like
        one: the tool would be given the braces.
    """
    if "{{" not in arguments:
        return False
    known = tuple(keys)
    left: list[object] = []
    try:
        left.append(json.loads(arguments))
    except (ValueError, RecursionError):
        return True
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(cast("dict[str, object]", value).values())
        elif isinstance(value, list):
            left.extend(cast("list[object]", value))
        elif isinstance(value, str) and _mentions(value, known):
            return True
    return False


def filled(arguments: str, results: Mapping[str, str]) -> str | None:
    """Return a call's arguments with the results in their places.

    Args:
        arguments: JSON text of an object.
        results: Results of tasks, by key.

    Returns:
        JSON text; None if a result is not there, has no such part, or may not be passed on
        unseen because a credential's handle is in it, or if the results are too long together.
    """
    if "{{" not in arguments:
        return arguments
    is_whole, room = True, MAX_FILLED_CHARS

    def value_of(key: str, path: list[str]) -> object:
        nonlocal is_whole, room
        result = results.get(key)
        room -= len(result or "")
        value = _MISSING if result is None or room < 0 else _part(result, path)
        if value is _MISSING or HANDLE_SCHEME in json.dumps(value, ensure_ascii=False):
            is_whole = False
            return None
        return value

    try:
        text = json.dumps(_replaced(json.loads(arguments), value_of), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text if is_whole else None


def _mentions(text: str, keys: Sequence[str]) -> bool:
    """Tell whether braces in a text begin with a key, as a word, and are not the whole of it."""
    if _REFERENCE.fullmatch(text):
        return False
    begun = [found[1] for found in _MENTION.finditer(text)]
    return any(
        rest.startswith(key) and not re.match(r"[\w-]", rest[len(key) :])
        for rest in begun
        for key in keys
    )


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

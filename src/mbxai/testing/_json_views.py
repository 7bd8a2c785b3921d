"""Typed looks into JSON that somebody else wrote: a value of the wrong kind reads as empty."""

from typing import TypeAlias, TypeGuard

Json: TypeAlias = dict[str, object]
"""A JSON object whose values are not known."""


def is_object(value: object) -> TypeGuard[Json]:
    """Return whether the value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Return whether the value is a JSON array."""
    return isinstance(value, list)


def as_object(value: object) -> Json:
    """Return the value if it is a JSON object, else an empty one."""
    return value if is_object(value) else {}


def as_list(value: object) -> list[object]:
    """Return the value if it is a JSON array, else an empty one."""
    return value if is_list(value) else []


def as_text(value: object) -> str:
    """Return the value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_number(value: object) -> float | int | None:
    """Return the value if it is a JSON number, else None; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value

"""A snapshot as JSON, made anew only where it changed.

A snapshot shares with the one before it whatever an input did not touch, and so does its JSON; the
journal then sees at a glance what is the same.
"""

from enum import Enum
from typing import Any, Final, cast

from pydantic import BaseModel

from mbxai.agent.machine._snapshot import AgentSnapshot, TaskRun

_MESSAGES: Final = "messages"


class StateDump:
    """Turns one session's snapshots into JSON, one after the other."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._made: dict[str, tuple[object, object]] = {}  # by field: its value, and as JSON

    def dump(self, snapshot: AgentSnapshot) -> dict[str, Any]:  # Any: JSON
        """Return a snapshot as JSON.

        Args:
            snapshot: The state.

        Returns:
            An object whose values may be shared with earlier ones; not to be changed.
        """
        fields = dict(snapshot)
        before = self._made
        self._made = {
            name: before[name]
            if name in before and before[name][0] is value
            else (value, _dumped(value, before.get(name)))
            for name, value in fields.items()
        }
        return {name: made for name, (_, made) in self._made.items()}


def _dumped(value: object, before: tuple[object, object] | None) -> object:
    """Return a field as JSON, its parts as they were made before where they are the same."""
    old, made = before or (None, None)
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        olds = cast("dict[str, object]", old if isinstance(old, dict) else {})
        known = cast("dict[str, object]", made if isinstance(old, dict) else {})
        return {
            key: known[key] if key in olds and olds[key] is item else _json(item)
            for key, item in items.items()
        }
    if isinstance(value, tuple):
        parts = cast("tuple[object, ...]", old if isinstance(old, tuple) else ())
        of_parts = cast("list[object]", made if isinstance(old, tuple) else [])
        by_part = {id(part): json for part, json in zip(parts, of_parts, strict=True)}
        return [
            by_part[id(item)] if id(item) in by_part else _json(item)
            for item in cast("tuple[object, ...]", value)
        ]
    return _json(value)


def _json(value: object) -> object:
    if isinstance(value, TaskRun):
        # The messages are JSON already, and each of them stays the same object for good.
        dumped = value.model_dump(mode="json", exclude={_MESSAGES})
        return {**dumped, _MESSAGES: list(value.messages)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.value if isinstance(value, Enum) else value

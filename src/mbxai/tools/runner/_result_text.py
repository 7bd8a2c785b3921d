"""What a tool returned as text: itself, or JSON; pure. Huge values are written as far as asked.

The JSON writer holds the interpreter's lock while it works, also in a worker thread. So a large
value is written piece by piece, and no further than anybody will read.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import sys
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias, cast

import pydantic_core
from pydantic import BaseModel

Binary: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 16_384
_MAX_DEPTH: Final = 100
_MAX_BASE64_BYTES: Final = 3_000
_LEAVES: Final = (
    int,
    float,
    bool,
    type(None),
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    enum.Enum,
    uuid.UUID,
)


def result_text(value: object) -> str:
    """Return a tool's result as text, whole.

    Args:
        value: Text stays as it is; bytes become a note; all else becomes JSON, with what JSON
            does not know as its `str`.
    """
    return text_of(value, sys.maxsize)[0]


def text_of(value: object, max_chars: int) -> tuple[str, int | None]:
    """Return a tool's result as text, at least its first characters.

    Args:
        value: As for `result_text`.
        max_chars: How much is needed; more may come.

    Returns:
        The text, and how long all of it is: None if it was not written to its end.
    """
    if isinstance(value, str):
        return sendable(str(value[:max_chars])), len(value)
    if value is None:
        return "null", 4
    if isinstance(value, (bytes, bytearray, memoryview)):
        text = bytes_note(cast("Binary", value))
        return text, len(text)
    try:
        if max_chars == sys.maxsize or is_small(value):
            text = _json(value)
            return text, len(text)
        return _Writer(max_chars).text(value)
    except (ValueError, TypeError, RecursionError):
        # A structure that holds itself, or keys that JSON has no form for; repr copes with both.
        text = _represented(value)
        return sendable(text[:max_chars]), len(text)


def sendable(text: str) -> str:
    """Return text that UTF-8 can hold: half a surrogate pair, as in file names, cannot be sent."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def bytes_note(data: Binary) -> str:
    """Return a note that stands for binary data; little of it is shown.

    Args:
        data: The data.
    """
    size = memoryview(data).nbytes
    if size > _MAX_BASE64_BYTES:
        return f"[{size} bytes of binary data, not shown]"
    encoded = pydantic_core.to_json(bytes(data), bytes_mode="base64").decode()[1:-1]
    return f"[{size} bytes of binary data, base64: {encoded}]"


def is_small(value: object) -> bool:
    """Whether a value is certainly small and plain, so that it takes no time to write it.

    Args:
        value: Anything.
    """
    weight, unread = 0, [value]
    while unread:
        item: Any = unread.pop()
        if isinstance(item, (str, bytes)):
            weight += len(item) + 8
        elif isinstance(item, dict):
            weight += 8 * len(cast("dict[Any, Any]", item)) + 8
            if weight <= _SMALL:
                unread += item
                unread += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            weight += 8 * len(cast("list[Any]", item)) + 8
            if weight <= _SMALL:
                unread += item
        elif isinstance(item, _LEAVES):
            weight += 8
        elif isinstance(item, BaseModel) or _is_plain_dataclass(item):
            unread += [item.__dict__, getattr(item, "__pydantic_extra__", None)]
        else:
            return False
        if weight > _SMALL:
            return False
    return True


class _Writer:
    """Writes JSON until there is enough of it."""

    def __init__(self, max_chars: int) -> None:
        self._room = max_chars
        self._pieces: list[str] = []
        self._above: set[int] = set()  # what holds the value that is being written

    def text(self, value: object) -> tuple[str, int | None]:
        try:
            self._write(value)
        except _FullError:
            return "".join(self._pieces), None
        text = "".join(self._pieces)
        return text, len(text)

    def _write(self, value: Any) -> None:
        if isinstance(value, (str, bytes)):
            shown = value[: self._room + 1]
            self._add(_json(str(shown) if isinstance(value, str) else shown))
        elif is_small(value):
            self._add(_json(value))
        elif isinstance(value, Mapping):
            fields = cast("Mapping[Any, Any]", value)
            self._write_all(fields, fields.items(), "{", "}")
        elif isinstance(value, (list, tuple, AbstractSet)):
            items = cast("Sequence[Any]", value)
            self._write_all(items, ((None, item) for item in items), "[", "]")
        else:
            self._add(_json(value))

    def _write_all(self, holder: object, items: Any, first: str, last: str) -> None:
        if id(holder) in self._above or len(self._above) == _MAX_DEPTH:
            raise ValueError
        self._above.add(id(holder))
        before = first
        for key, item in items:
            self._add(before)
            before = ","
            if first == "{":
                # As the writer spells a key that is no text.
                self._add(_json({key: None}).removeprefix("{").removesuffix("null}"))
            self._write(item)
        self._add(first + last if before == first else last)
        self._above.discard(id(holder))

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._room -= len(piece)
        if self._room < 0:
            raise _FullError


class _FullError(Exception):
    """Enough has been written."""


def _json(value: object) -> str:
    return pydantic_core.to_json(
        value, fallback=_fallback, bytes_mode="base64", inf_nan_mode="strings"
    ).decode()


def _fallback(value: Any) -> Any:
    """What stands for something that JSON does not know."""
    close = getattr(value, "close", None) if hasattr(value, "cr_frame") else None
    if callable(close):
        close()  # a coroutine inside a result: nobody will await it, and Python would complain
        return f"<coroutine {getattr(value, '__name__', '')}, never awaited>"
    return _called(str, value)


def _represented(value: object) -> str:
    return _called(repr, value)


def _called(show: Any, value: object) -> str:
    try:
        return str(show(value))
    except Exception:  # noqa: BLE001  # a foreign __str__ or __repr__, or too deep for Python's own
        return f"<{type(value).__name__}>"


def _is_plain_dataclass(value: object) -> bool:
    return (
        dataclasses.is_dataclass(value)
        and not isinstance(value, type)
        and hasattr(value, "__dict__")
    )

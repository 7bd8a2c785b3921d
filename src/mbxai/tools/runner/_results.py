"""What a tool returned, as the model is shown it: text and parts, cleaned, cut to size.

Pure: no thread, no loop, no tool is run here. Large values are safe to be read in a worker thread.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mbxai.tools._call import ToolCall
from mbxai.tools.runner._cleaning import Scrubber
from mbxai.tools.runner._result_parts import Part, bounded_part, content_items, part_note
from mbxai.tools.runner._result_text import is_small, result_text, sendable, text_of
from mbxai.wire import ToolResult

__all__ = [
    "Shown",
    "described",
    "finished",
    "is_light",
    "limited",
    "result_text",
    "tool_result",
]

# What is read beyond the limit, since cleaning may shorten the text; and how much of that may hold
# the first half of a secret, which nobody would recognise.
_SPARE_CHARS: Final = 1_048_576
_UNSURE_CHARS: Final = 65_536
_LIGHT_CHARS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model may be shown of a result, before it is cleaned and cut.

    Attributes:
        text: The text, or as much of it as could be needed.
        length: Characters of all of it; None if it was not written to its end.
        parts: What comes after the text.
        is_error: Whether it tells of a failure.
        is_cut: Whether somebody has cut it already.
    """

    text: str
    length: int | None
    parts: Sequence[Part] = ()
    is_error: bool = False
    is_cut: bool = False


def described(value: object, max_bytes: int, *, light: bool = False) -> Shown:
    """Return what may be shown of a tool's result.

    Args:
        value: What a function returned.
        max_bytes: How much text the model is shown in the end.
        light: Whether the value is known to be light, see `is_light`.
    """
    needed = sys.maxsize if light else 2 * max_bytes + _SPARE_CHARS
    if isinstance(value, ToolResult):
        text, length = text_of(value.content, needed)
        return Shown(text, length, value.parts, value.is_error, value.is_cut)
    items = content_items(value, needed)
    if items is None:
        return Shown(*text_of(value, needed))
    first = next((i for i, item in enumerate(items) if not isinstance(item, str)), len(items))
    text = "\n".join(str(item) for item in items[:first])
    parts = [_as_part(item) for item in items[first:]]
    if not text:
        # For whoever has no eyes: logs, events, models that take text alone.
        text = " ".join(part_note(part) for part in parts if part.get("type") != "text")
    return Shown(*text_of(text, needed), parts=parts)


def is_light(value: object) -> bool:
    """Whether describing a result takes no time worth a thread.

    Args:
        value: What a function returned.
    """
    if isinstance(value, str):
        return len(value) <= _LIGHT_CHARS
    if isinstance(value, ToolResult):
        return len(value.content) <= _LIGHT_CHARS and not value.parts
    return is_small(value)


def finished(
    call: ToolCall,
    value: object,
    shown: Shown,
    max_bytes: int,
    clean: Scrubber,
    *,
    took: tuple[float, int] = (0.0, 0),
) -> ToolResult:
    """Return the result of a call that was run.

    Args:
        call: The call.
        value: What the function returned, for the application.
        shown: What may be shown of it.
        max_bytes: How much text the model is shown.
        clean: Takes credentials out of a text.
        took: Seconds and runs that it took.
    """
    if isinstance(value, ToolResult) and value.question is not None:
        return _waiting(call, value, clean, took)
    # First cleaned, then cut: half a secret at the cut would not be recognised.
    text, length = clean(shown.text), shown.length
    if length != len(shown.text):
        text = text[: -_UNSURE_CHARS or None]
    elif length != len(text):
        length = len(text)
    text = sendable(text)
    content = _cut(text, max_bytes, length)
    parts: list[Part] = []
    is_cut = False
    if shown.parts:
        parts, is_cut = _bounded_parts(shown.parts, max_bytes - len(text.encode()), clean)
    return ToolResult(
        call_id=call.id,
        name=call.name,
        content=content,
        is_error=shown.is_error,
        value=value.value if isinstance(value, ToolResult) else value,
        raw=value.raw if isinstance(value, ToolResult) else None,
        parts=tuple(parts),
        is_cut=shown.is_cut or is_cut or content is not text,
        seconds=took[0],
        attempts=took[1],
    )


def _waiting(
    call: ToolCall, value: ToolResult, clean: Scrubber, took: tuple[float, int]
) -> ToolResult:
    """A result that waits for a person: nothing of it is cut, or the call could not go on."""
    question = value.question and replace(value.question, message=clean(value.question.message))
    return replace(
        value,
        call_id=call.id,
        name=call.name,
        content=sendable(clean(value.content)),
        question=question,
        seconds=took[0],
        attempts=took[1],
    )


def tool_result(call: ToolCall, value: object, max_bytes: int, clean: Scrubber) -> ToolResult:
    """Return whatever a tool may return as the result of a call.

    Args:
        call: The call.
        value: A `ToolResult`, or anything else.
        max_bytes: How much text the model is shown.
        clean: Takes credentials out of a text; `str` leaves it as it is.
    """
    return finished(call, value, described(value, max_bytes), max_bytes, clean)


def limited(text: str, max_bytes: int) -> str:
    """Return text of at most so many bytes in UTF-8, with a note where it was cut.

    Args:
        text: Any text.
        max_bytes: The limit; the note comes on top of it.
    """
    return _cut(text, max_bytes, len(text))


def _cut(text: str, max_bytes: int, length: int | None) -> str:
    if length == len(text):
        if len(text) * 4 <= max_bytes:
            return text
        if len(text) <= max_bytes and len(text.encode("utf-8", "replace")) <= max_bytes:
            return text
    shown = text[:max_bytes].encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
    of = (
        f"of {length} characters are shown" if length else "characters of a longer result are shown"
    )
    return f"{shown}\n[cut: {len(shown)} {of}]"


def _bounded_parts(parts: Sequence[Part], room: int, clean: Scrubber) -> tuple[list[Part], bool]:
    """Parts as they may be sent; the texts among them share the room that the first text left."""
    bounded: list[Part] = []
    is_cut = False
    for given in parts:
        part = bounded_part(given, clean)
        is_cut = is_cut or (part.get("type") != given.get("type"))
        if part.get("type") == "text":
            text = sendable(str(part.get("text", "")))
            short = limited(text, max(0, room))
            room -= len(text.encode())
            is_cut = is_cut or short is not text
            part = {**part, "text": short}
        bounded.append(part)
    return bounded, is_cut


def _as_part(item: str | Part) -> Part:
    return {"type": "text", "text": item} if isinstance(item, str) else item

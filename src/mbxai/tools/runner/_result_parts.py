"""Pictures, files and sound in what a tool returned, as content parts of a message; pure."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from mbxai.tools.runner._result_text import Binary, bytes_note, text_of

# Any in this file: a content part is open JSON of the wire.
Part: TypeAlias = Mapping[str, Any]

MAX_PART_CHARS: Final = 8 * 1_048_576
"""The largest picture, file or sound that is shown, as it is written in a request."""

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "text": (),
    "image_url": ("url",),
    "video_url": ("url",),
    "input_audio": ("data", "format"),
    "file": ("file_data", "file_id"),
}
"""Types of parts, and the fields of which an inner object has one."""

_BESIDE: Final = frozenset({"type", "cache_control", "prompt_cache_breakpoint"})
_PICTURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
_HEAD_BYTES: Final = 16


def content_items(value: object, max_chars: int) -> list[str | Part] | None:
    """Return a result as texts and parts, in their order; None if it is nothing but data.

    Args:
        value: A part, the bytes of a picture, an object that shows itself as a picture, or a list
            with any of these among other things.
        max_chars: How much text is needed.
    """
    if isinstance(value, (list, tuple)):
        values = cast("Sequence[object]", value)
        if any(_is_shown(item) for item in values):
            return [_item(item, max_chars) for item in values]
        return None
    return [_item(value, max_chars)] if _is_shown(value) else None


def bounded_part(part: Part, clean: Callable[[str], str]) -> Part:
    """Return a part as it may be sent: cleaned, and replaced by a note if it is too large.

    Args:
        part: Any part.
        clean: Takes credentials out of addresses and names; encoded data is left alone.
    """
    size = max((len(text) for text in _texts(part)), default=0)
    if part.get("type") != "text" and size > MAX_PART_CHARS:
        kind = str(part.get("type")).removesuffix("_url").removeprefix("input_")
        return {"type": "text", "text": _too_large(kind, size * 3 // 4)}
    return cast("Part", _cleaned(part, clean))


def part_note(part: Part) -> str:
    """Return a few words that stand for a part where only text can be shown.

    Args:
        part: A part that is no text.
    """
    url = max(_texts(part), key=len, default="")
    known = re.match(r"data:([\w.+/-]{1,80})[;,]", url)
    if known is None:
        return f"[{part.get('type')}]"
    return f"[{known[1]}, {len(url) * 3 // 4} bytes]"


def _is_shown(value: object) -> bool:
    if isinstance(value, dict):
        return _is_part(cast("Mapping[str, Any]", value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bool(_picture_type(cast("Binary", value)))
    return callable(getattr(type(value), "_repr_png_", None))


def _is_part(value: Part) -> bool:
    """Whether a dict is a content part, and not data that happens to have a `type`."""
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _KINDS or not value.keys() <= _BESIDE | {kind}:
        return False
    inner: object = value.get(kind)
    if kind == "text":
        return isinstance(inner, str)
    if not isinstance(inner, Mapping):
        return False
    fields = cast("Mapping[str, object]", inner)
    return any(isinstance(fields.get(name), str) for name in _KINDS[kind])


def _item(value: object, max_chars: int) -> str | Part:
    if isinstance(value, dict):
        part = cast("Part", value)
        if not _is_part(part):
            return text_of(part, max_chars)[0]
        return str(part["text"]) if part.get("type") == "text" else part
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = cast("Binary", value)
        return _picture(data) or bytes_note(data)
    drawn = _drawn(value)
    return (drawn and _picture(drawn)) or text_of(value, max_chars)[0]


def _drawn(value: object) -> bytes | None:
    """The picture that an object gives of itself, as notebooks ask for it."""
    draw = getattr(type(value), "_repr_png_", None)
    if not callable(draw):
        return None
    try:
        drawn: object = draw(value)
        if isinstance(drawn, tuple):  # with metadata
            drawn = cast("tuple[object, ...]", drawn)[0]
        drawn = base64.b64decode(drawn) if isinstance(drawn, str) else drawn
    except Exception:  # noqa: BLE001  # foreign code; the object is then shown as text
        return None
    return drawn if isinstance(drawn, bytes) else None


def _picture(data: Binary) -> str | Part | None:
    media_type = _picture_type(data)
    if not media_type:
        return None
    size = memoryview(data).nbytes
    if size * 4 // 3 > MAX_PART_CHARS:
        return _too_large(media_type, size)
    url = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _picture_type(data: Binary) -> str:
    try:
        head = bytes(memoryview(data).cast("B")[:_HEAD_BYTES])
    except TypeError:  # every second byte of something, and the like
        return ""
    return next((kind for beginning, kind in _PICTURES if beginning.match(head)), "")


def _too_large(what: str, size: int) -> str:
    return f"[{what} of {size / 1_048_576:.1f} MiB, too large to be shown]"


def _texts(part: Part) -> list[str]:
    inner: object = part.get(str(part.get("type")))
    values = (
        list(cast("Mapping[str, object]", inner).values()) if isinstance(inner, Mapping) else []
    )
    return [value for value in values if isinstance(value, str)]


def _cleaned(value: object, clean: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return value if value.startswith("data:") else clean(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return {
            name: field if name == "data" else _cleaned(field, clean)
            for name, field in fields.items()
        }
    return value

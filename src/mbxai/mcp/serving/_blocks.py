"""Content, as the protocol sends it: from what functions return to blocks of plain JSON; pure."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from mbxai.errors import ConfigurationError
from mbxai.tools.runner._result_parts import content_items
from mbxai.tools.runner._result_text import result_text
from mbxai.wire import ToolResult

# Any in this file: content parts and blocks are open JSON of the wire.
Block: TypeAlias = dict[str, Any]
Part: TypeAlias = Mapping[str, Any]

_DATA_URL: Final = re.compile(r"data:([\w.+/-]+)(?:;[\w=.-]+)*;base64,", re.ASCII)
_AUDIO: Final = {"mp3": "audio/mpeg", "m4a": "audio/mp4"}
_MANY_CHARS: Final = 64 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedResource:
    """A resource whole, inside a result or a message.

    Attributes:
        uri: Its address.
        text: What it says; None where it is data.
        data: What it holds; None where it is a text.
        mime_type: What it is; a plain text, or plain data, if left out.
    """

    uri: str
    text: str | None = None
    data: bytes | None = field(default=None, repr=False)
    mime_type: str | None = None

    def __post_init__(self) -> None:
        """Refuse to be both, or neither.

        Raises:
            ConfigurationError: There is a text and data, or neither.
        """
        if (self.text is None) == (self.data is None):
            raise ConfigurationError(f"The resource {self.uri!r:.200} needs either text or data.")

    def contents(self) -> Block:
        """Return it as the protocol writes it."""
        if self.data is None:
            return {
                "uri": self.uri,
                "mimeType": self.mime_type or "text/plain",
                "text": self.text or "",
            }
        return {
            "uri": self.uri,
            "mimeType": self.mime_type or "application/octet-stream",
            "blob": base64.b64encode(self.data).decode("ascii"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLink:
    """A resource that the client may read, named inside a result or a message.

    Attributes:
        uri: Its address.
        name: Its name.
        title: Its name for people.
        description: What it is.
        mime_type: What it holds.
        size_bytes: How large it is.
    """

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None

    def block(self) -> Block:
        """Return it as the protocol writes it."""
        known = {
            "uri": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
            "size": self.size_bytes,
        }
        return {key: value for key, value in known.items() if value is not None}


def shown_result(value: object) -> ToolResult | None:
    """Return what a function returned as a result with parts, where it holds anything but data.

    Args:
        value: A content part, the bytes of a picture, a resource, or a list with any of these among
            texts and other things.

    Returns:
        The result, with everything in its order; None where the value is text or data alone.
    """
    many = isinstance(value, (list, tuple))
    items = cast("Sequence[object]", value) if many else [value]
    parts = [_part(item) for item in items]
    if all(part is None for part in parts):
        return None
    shown = [
        part or {"type": "text", "text": result_text(item)}
        for part, item in zip(parts, items, strict=True)
    ]
    return ToolResult(call_id="", name="", content="", value=value, parts=shown)


def result_blocks(result: ToolResult) -> list[Block]:
    """Return a result's content: its text, then its parts.

    Args:
        result: The result of a call.
    """
    first = [{"type": "text", "text": result.content}] if result.content or not result.parts else []
    return [*first, *(block_of(part) for part in result.parts)]


def message_blocks(content: object) -> list[Block]:
    """Return the content of a message.

    Args:
        content: A text, a content part, a resource, or a list of these.
    """
    many = isinstance(content, (list, tuple))
    items = cast("Sequence[object]", content) if many else [content]
    return [
        {"type": "text", "text": result_text(item)} if part is None else block_of(part)
        for item, part in ((item, _part(item)) for item in items)
    ]


def block_of(part: Part) -> Block:
    """Return a content part as the protocol writes it.

    Args:
        part: A part as our clients send them, or one of `shown_result`.
    """
    kind = str(part.get("type"))
    inner = cast("Part", part.get(kind) or {})
    if kind == "text":
        return {"type": "text", "text": str(part.get("text", ""))}
    if kind == "resource":
        return {"type": "resource", "resource": dict(inner)}
    if kind == "resource_link":
        return {"type": "resource_link", **inner}
    if kind == "input_audio":
        written = str(inner.get("format", "wav"))
        media_type = _AUDIO.get(written, f"audio/{written}")
        return {"type": "audio", "data": str(inner.get("data", "")), "mimeType": media_type}
    address = str(inner.get("url") or inner.get("file_data") or inner.get("file_id") or "")
    return _addressed(kind, address, str(inner.get("filename") or ""))


def text_of_blocks(blocks: Sequence[Part]) -> str:
    """Return the texts among blocks.

    Args:
        blocks: Blocks of the protocol, as JSON.
    """
    return "\n".join(str(block["text"]) for block in blocks if block.get("type") == "text")


def _addressed(kind: str, address: str, filename: str) -> Block:
    """The block of a picture, a file or a film that is given by an address."""
    data_url = _DATA_URL.match(address)
    if data_url is None:
        name = filename or address.rpartition("/")[2][:100] or kind
        return {"type": "resource_link", "uri": address, "name": name}
    media_type, data = data_url[1], address[data_url.end() :]
    if media_type.startswith("image/"):
        return {"type": "image", "data": data, "mimeType": media_type}
    if media_type.startswith("audio/"):
        return {"type": "audio", "data": data, "mimeType": media_type}
    uri = f"file:///{filename or kind.removesuffix('_url')}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media_type, "blob": data}}


def _part(item: object) -> Part | None:
    if isinstance(item, EmbeddedResource):
        return {"type": "resource", "resource": item.contents()}
    if isinstance(item, ResourceLink):
        return {"type": "resource_link", "resource_link": item.block()}
    if item is None or isinstance(item, (str, int, float)):
        return None
    if isinstance(item, (list, tuple)):
        return None
    shown = content_items(item, _MANY_CHARS)
    if shown is None:
        return None
    first = shown[0]
    return {"type": "text", "text": first} if isinstance(first, str) else first

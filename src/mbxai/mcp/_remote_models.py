"""What a server has besides tools: resources and prompts, as the caller sees them; no I/O.

Lists are read leniently: an entry that cannot be used is left out with a warning, and costs nothing
of the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, cast

from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbxai._redaction import get_logger
from mbxai.errors import MCPProtocolError
from mbxai.mcp.registry._content import content_items
from mbxai.mcp.registry._content_media import Item, bytes_item, decoded, fenced
from mbxai.tools.runner._result_text import result_text
from mbxai.wire import MessageParam, WireModel, WireObject

logger = get_logger(__name__)

# Any in this file: JSON of the protocol, and open JSON of messages.

LogLevel: TypeAlias = Literal[
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"
]
"""How grave a log message is, as in syslog."""


class _Listed(WireModel):
    """Base of what servers list; the fields are camelCase on the wire."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class Resource(_Listed):
    """Something that can be read from a server.

    Attributes:
        uri: By what it is read.
        name: Its name; servers need not keep it unique.
        title: Its name for people; empty where there is none.
        description: What it is; empty where the server says nothing.
        mime_type: For example `text/markdown`; empty where the server says nothing.
        size: Bytes, before any encoding; None where it is not known.
        annotations: For whom it is (`audience`), how important (`priority`), and the like.
        meta: What the server adds for its own clients.
    """

    uri: str
    name: str = ""
    title: str = ""
    description: str = ""
    mime_type: str = ""
    size: int | None = None
    annotations: WireObject = Field(default_factory=dict)
    meta: WireObject = Field(default_factory=dict, alias="_meta")


class ResourceTemplate(_Listed):
    """A pattern of addresses at which a server has resources.

    Attributes:
        uri_template: With names in braces, as in RFC 6570: `file:///logs/{day}`.
        name: Its name.
        title: Its name for people; empty where there is none.
        description: What is there; empty where the server says nothing.
        mime_type: The type of all that match; empty where it differs or is not said.
        annotations: As for a `Resource`.
        meta: What the server adds for its own clients.
    """

    uri_template: str
    name: str = ""
    title: str = ""
    description: str = ""
    mime_type: str = ""
    annotations: WireObject = Field(default_factory=dict)
    meta: WireObject = Field(default_factory=dict, alias="_meta")


class PromptArgument(_Listed):
    """What a prompt wants to be told.

    Attributes:
        name: Its name.
        title: Its name for people; empty where there is none.
        description: What it is; empty where the server says nothing.
        required: Whether the prompt cannot be had without it.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    required: bool = False


class Prompt(_Listed):
    """Messages that a server has ready for a conversation.

    Attributes:
        name: By what it is fetched.
        title: Its name for people; empty where there is none.
        description: What it is for; empty where the server says nothing.
        arguments: What it wants to be told.
        meta: What the server adds for its own clients.
    """

    name: str
    title: str = ""
    description: str = ""
    arguments: list[PromptArgument] = Field(default_factory=list[PromptArgument])
    meta: WireObject = Field(default_factory=dict, alias="_meta")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceContent:
    """A resource as it was read, or one of several under the same address.

    Attributes:
        uri: Its own address; of a folder that was read, that of a file in it.
        content: Text as text, all else as bytes.
        mime_type: What the server calls it; empty where it says nothing.
        meta: What the server adds for its own clients.
    """

    uri: str
    content: str | bytes = field(repr=False)
    mime_type: str = ""
    meta: WireObject = field(default_factory=dict[str, Any], repr=False)

    def to_part(self) -> dict[str, Any]:
        """Return it as a content part of a message, under its address.

        Text stands between fences; a picture, sound or a PDF is sent as such; of anything else the
        model is told only what it is.
        """
        if isinstance(self.content, str):
            return _as_part(fenced(self.content, uri=self.uri, media_type=self.mime_type))
        return _as_part(bytes_item(self.content, media_type=self.mime_type, uri=self.uri))


M = TypeVar("M", bound=_Listed)


def read_list(cls: type[M], items: Sequence[object], server: str) -> list[M]:
    """Return listed objects as models.

    Args:
        cls: The model.
        items: The objects as JSON.
        server: Name of the server, for the log.
    """
    found: list[M] = []
    for item in items:
        try:
            found.append(cls.from_object(item))
        except ValidationError:
            logger.warning("MCP server %s lists a %s that cannot be used", server, cls.__name__)
    return found


def read_contents(result: Mapping[str, Any], server: str) -> list[ResourceContent]:
    """Return what was read from a resource.

    Args:
        result: A `ReadResourceResult` as JSON.
        server: Name of the server, for errors.

    Raises:
        MCPProtocolError: A content is neither text nor base64.
    """
    return [_content(item, server) for item in _mappings(result.get("contents"))]


def read_messages(result: Mapping[str, Any]) -> list[MessageParam]:
    """Return the messages of a prompt as a chat takes them.

    Args:
        result: A `GetPromptResult` as JSON.
    """
    messages: list[MessageParam] = []
    for message in _mappings(result.get("messages")):
        # A server speaks as one of the two; nothing it sends becomes a system message.
        role = "assistant" if message.get("role") == "assistant" else "user"
        content: object = message.get("content")
        blocks = cast("list[object]", content) if isinstance(content, list) else [content]
        items = content_items(_mappings(blocks))
        if all(isinstance(item, str) for item in items):
            messages.append({"role": role, "content": "\n".join(map(str, items))})
        else:
            messages.append({"role": role, "content": [_as_part(item) for item in items]})
    return messages


def read_values(result: Mapping[str, Any], server: str) -> list[str]:
    """Return the proposals of a completion, likeliest first.

    Args:
        result: A `CompleteResult` as JSON.
        server: Name of the server, for errors.

    Raises:
        MCPProtocolError: There is no list of them.
    """
    completion: object = result.get("completion")
    values: object = None
    if isinstance(completion, Mapping):
        values = cast("Mapping[str, object]", completion).get("values")
    if not isinstance(values, list):
        raise MCPProtocolError(
            f"MCP server {server!r} answered a completion without values.", server=server
        )
    return [value for value in cast("list[object]", values) if isinstance(value, str)]


def argument_texts(arguments: Mapping[str, object] | None) -> dict[str, str]:
    """Return a prompt's arguments as the protocol takes them: texts.

    Args:
        arguments: Texts, or values that are written as JSON; None is not given.
    """
    given = (arguments or {}).items()
    return {name: result_text(value) for name, value in given if value is not None}


def _content(item: Mapping[str, Any], server: str) -> ResourceContent:
    text = item.get("text")
    content = text if isinstance(text, str) else decoded(item.get("blob"))
    uri = str(item.get("uri") or "")
    if content is None:
        raise MCPProtocolError(
            f"MCP server {server!r} sent a resource that is neither text nor base64.", server=server
        )
    meta: object = item.get("_meta")
    return ResourceContent(
        uri=uri,
        content=content,
        mime_type=str(item.get("mimeType") or ""),
        meta=dict(cast("Mapping[str, Any]", meta)) if isinstance(meta, Mapping) else {},
    )


def _mappings(items: object) -> list[Mapping[str, Any]]:
    if not isinstance(items, list):
        return []
    return [
        cast("Mapping[str, Any]", item)
        for item in cast("list[object]", items)
        if isinstance(item, Mapping)
    ]


def _as_part(item: Item) -> dict[str, Any]:
    return {"type": "text", "text": item} if isinstance(item, str) else dict(item)

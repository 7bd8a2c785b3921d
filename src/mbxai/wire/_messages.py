"""What callers send as messages and tool definitions."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, Required, TypeAlias, TypedDict

from mbxai.wire._completion import Message
from mbxai.wire._content_parts import ContentPart, TextPart

MessageParam: TypeAlias = Mapping[str, Any]  # Any: content parts are open JSON of the wire
"""One message: `role` and `content`, as chat completions take them; unknown keys are sent too."""

Messages: TypeAlias = Sequence[MessageParam | Message]
"""A conversation, oldest message first; an earlier answer's `message` may stand in it."""


class FunctionDefinition(TypedDict, total=False):
    """A function as it is offered to a model."""

    name: str
    description: str
    parameters: dict[str, Any]  # Any: JSON Schema
    strict: bool


class ToolDefinition(TypedDict):
    """A tool as it is offered to a model (`tools` of a request)."""

    type: str
    function: FunctionDefinition


# The messages below are for callers who want their editor to know the fields; each may stand
# wherever a `MessageParam` is taken. `| Mapping[str, Any]`: parts that OpenRouter adds tomorrow.


class SystemMessageParam(TypedDict, total=False):
    """What the model is told before the conversation."""

    role: Required[Literal["system"]]
    content: Required[str | Sequence[TextPart | Mapping[str, Any]]]
    name: str


class DeveloperMessageParam(TypedDict, total=False):
    """What the model is told before the conversation, in OpenAI's newer word."""

    role: Required[Literal["developer"]]
    content: Required[str | Sequence[TextPart | Mapping[str, Any]]]
    name: str


class UserMessageParam(TypedDict, total=False):
    """What a person says; text, or parts with pictures, files, sound and films."""

    role: Required[Literal["user"]]
    content: Required[str | Sequence[ContentPart | Mapping[str, Any]]]
    name: str


class FunctionCallParam(TypedDict):
    """Which function the model called; `arguments` is the JSON text as the model wrote it."""

    name: str
    arguments: str


class ToolCallParam(TypedDict):
    """A call that the model made."""

    id: str
    type: Literal["function"]
    function: FunctionCallParam


class AssistantMessageParam(TypedDict, total=False):
    """What the model said; `Message.to_param()` makes it from an answer.

    Attributes:
        content: None where it only called tools.
        reasoning_details: As they came, in the same order; some providers refuse anything else.
        reasoning: The thinking as text, for models that know no details.
        reasoning_content: Another word for `reasoning`.
        annotations: As they came; they spare a second reading of the same file.
    """

    role: Required[Literal["assistant"]]
    content: str | Sequence[ContentPart | Mapping[str, Any]] | None
    tool_calls: Sequence[ToolCallParam | Mapping[str, Any]]
    reasoning_details: Sequence[Mapping[str, Any]]
    reasoning: str | None
    reasoning_content: str | None
    annotations: Sequence[Mapping[str, Any]]
    refusal: str | None
    name: str


class ToolMessageParam(TypedDict, total=False):
    """The result of a tool call."""

    role: Required[Literal["tool"]]
    tool_call_id: Required[str]
    content: Required[str | Sequence[ContentPart | Mapping[str, Any]]]


def with_preamble(messages: Sequence[Mapping[str, Any]], text: str) -> list[Any]:  # Any: JSON
    """Return messages with one more system message behind those that come first.

    Args:
        messages: A conversation; it is not changed.
        text: What is said in addition; empty adds nothing.
    """
    if not text:
        return list(messages)
    leading = list(takewhile(lambda m: m.get("role") in ("system", "developer"), messages))
    added = {"role": "system", "content": text}
    return [*leading, added, *messages[len(leading) :]]

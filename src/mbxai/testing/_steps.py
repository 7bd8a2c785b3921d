"""What a scripted fake server does, one step a request, and how steps travel to its process."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, cast

from mbxai._types import UNSET, Unset
from mbxai.testing._json_views import Json, as_list, as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a step is for; every given field must fit.

    Attributes:
        schema: Name of the request's JSON Schema (`response_format.json_schema.name`).
        contains: Text that stands in one of the messages, upper and lower case as written.
        tool: Name of a tool that the request offers.
        path: End of the request's path, for example `/models`. Without it a step is only for
            chat completions.
        stream: Whether the request wants a stream.
    """

    schema: str | None = None
    contains: str | None = None
    tool: str | None = None
    path: str | None = None
    stream: bool | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with this message.

    Attributes:
        content: Text of the message; None beside `tool_calls` or `json`.
        tool_calls: Calls, each a mapping with `name`, `arguments` (an object, or a string that is
            sent as it is) and, if wanted, `id`; other keys are sent beside them.
        json: A value that is sent as JSON text, for requests with a JSON Schema.
        finish_reason: Default: `tool_calls` if there are any, else `stop`.
        usage: Fields that replace the counted ones, for example `{"cost": 0.5}`.
        extra: More fields of the message, for example `reasoning_details` or `refusal`.
        when: Which request it is for; None takes the requests in their order.
    """

    content: str | None = None
    tool_calls: Sequence[Mapping[str, object]] = field(default=(), kw_only=True)
    json: object | Unset = field(default=UNSET, kw_only=True)
    finish_reason: str | None = field(default=None, kw_only=True)
    usage: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)
    when: Match | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Failure:
    """Answer with an error in OpenRouter's shape.

    Attributes:
        status: HTTP status; 200 puts the error into the body of a success.
        code: The error's own code; default: the status.
        message: The error's text.
        headers: More headers, for example `{"Retry-After": "1"}`.
        metadata: The error's `metadata`, for example `{"provider_name": "Fake"}`.
        after_content: Text that is sent before the error: HTTP 200, in a stream an error chunk
            after the text, otherwise an error in the choice.
        when: Which request it is for; None takes the requests in their order.
    """

    status: int = 500
    code: int | str | None = None
    message: str = "Provider returned error"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)
    after_content: str | None = field(default=None, kw_only=True)
    when: Match | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Raw:
    """Answer with exactly these bytes.

    Attributes:
        body: The body; several pieces are sent one by one, `chunk_delay` seconds apart.
        status: HTTP status.
        headers: Headers; default content type: `application/json`.
        when: Which request it is for; None takes the requests in their order.
    """

    body: bytes | Sequence[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    when: Match | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection in the middle of the automatic answer.

    Attributes:
        after_bytes: Bytes of the body that are sent first, after the whole head; 0 sends nothing
            at all, not even the head.
        when: Which request it is for; None takes the requests in their order.
    """

    after_bytes: int = 0
    when: Match | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Stall:
    """Fall silent for a while, then go on with the automatic answer.

    Attributes:
        seconds: How long.
        after_bytes: Bytes of the body that are sent before, after the whole head; 0 is silent
            from the start.
        when: Which request it is for; None takes the requests in their order.
    """

    seconds: float
    after_bytes: int = 0
    when: Match | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Auto:
    """Give the automatic answer.

    Attributes:
        times: For how many requests; None is for any number, also none.
        when: Which request it is for; None takes the requests in their order.
    """

    times: int | None = field(default=1, kw_only=True)
    when: Match | None = field(default=None, kw_only=True)


Step: TypeAlias = Reply | Failure | Raw | Drop | Stall | Auto
"""One entry of a script."""

_KINDS: Mapping[str, type[Step]] = {
    kind.__name__: kind for kind in (Reply, Failure, Raw, Drop, Stall, Auto)
}


def to_json(step: Step) -> Json:
    """Return the step as a JSON object; bytes are written in base64."""
    result: Json = {"kind": type(step).__name__}
    for item in fields(step):
        value: object = getattr(step, item.name)
        if value is UNSET:
            continue
        if isinstance(value, Match):
            value = {one.name: getattr(value, one.name) for one in fields(value)}
        if isinstance(value, Mapping):
            value = dict(cast("Mapping[str, object]", value))
        result[item.name] = value
    if isinstance(step, Reply):
        result["tool_calls"] = [dict(call) for call in step.tool_calls]
    if isinstance(step, Raw):
        pieces = [step.body] if isinstance(step.body, bytes) else step.body
        result["body"] = [base64.b64encode(piece).decode() for piece in pieces]
    return result


def from_json(data: Json) -> Step:
    """Return the step that `to_json` wrote.

    Raises:
        KeyError: The object names no step.
    """
    values = {name: value for name, value in data.items() if name != "kind"}
    kind = _KINDS[as_text(data["kind"])]
    if kind is Raw:
        values["body"] = [base64.b64decode(as_text(piece)) for piece in as_list(values["body"])]
    if values.get("when") is not None:
        values["when"] = Match(**cast("dict[str, Any]", values["when"]))
    return kind(**cast("dict[str, Any]", values))  # Any: whatever the fields are

"""Tool calls as constrained JSON, for models that never start a call themselves; no I/O."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mbxai.local._view import ARGUMENT, Schema, bounded_schema

# Any in this file: requests and answers are open JSON of the wire.

_NO_PARAMETERS: Final[Schema] = {"type": "object", "properties": {}, "additionalProperties": False}


def offered_tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions of which the next message must call one.

    A call is asked for when a person spoke last; after a tool's result the model answers in words,
    unless `tool_choice` demands a call.

    Args:
        body: A chat completion request.

    Returns:
        Function definitions; empty where the model is to write text. A named `tool_choice` leaves
        that function only.
    """
    tools = cast("Sequence[Mapping[str, Any]]", body.get("tools") or ())
    functions = [cast("Mapping[str, Any]", tool.get("function") or {}) for tool in tools]
    choice: object = body.get("tool_choice")
    if choice == "none":
        return []
    if isinstance(choice, Mapping):
        named = cast("Mapping[str, Any]", choice).get("function")
        wanted = cast("Mapping[str, Any]", named or {})
        return [f for f in functions if f.get("name") == wanted.get("name")]
    messages = cast("Sequence[Mapping[str, Any]]", body.get("messages") or ())
    has_result = bool(messages) and messages[-1].get("role") == "tool"
    return functions if choice == "required" or not has_result else []


def call_schema(
    functions: Sequence[Mapping[str, Any]], *, text_pattern: str | None = ARGUMENT
) -> Schema:
    """Return the schema of one call: `name` and `arguments` of one of the functions.

    Args:
        functions: Function definitions; at least one.
        text_pattern: As for `bounded_schema`.
    """
    branches: list[Schema] = []
    for function in functions:
        parameters = cast("Schema", function.get("parameters") or {"type": "object"})
        if parameters == {"type": "object"} or parameters.get("properties") == {}:
            # A function without parameters; an open object would invent some.
            parameters = _NO_PARAMETERS
        branches.append(
            {
                "type": "object",
                "properties": {
                    "name": {"const": function.get("name", "")},
                    "arguments": bounded_schema(parameters, text_pattern=text_pattern),
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def with_tool_call(completion: Mapping[str, Any], *, call_id: str) -> dict[str, Any]:
    """Return a completion whose JSON text has become a tool call.

    Args:
        completion: The server's answer to a request with the schema of `call_schema`.
        call_id: Fresh id of the call.

    Returns:
        The completion with `tool_calls` and the finish reason `tool_calls`. Text that is no whole
        call, because it was cut at the token limit, stays text with its own finish reason.
    """
    choices = [dict(choice) for choice in cast("list[dict[str, Any]]", completion["choices"])]
    for choice in choices:
        message = cast("dict[str, Any]", choice.get("message") or {})
        call = _call_in(str(message.get("content") or ""))
        if call is None:
            continue
        index = int(choice.get("index") or 0)
        part = {
            "index": 0,
            "id": f"{call_id}_{index}" if index else call_id,
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        }
        choice["message"] = {**message, "content": None, "tool_calls": [part]}
        choice["finish_reason"] = "tool_calls"
    return {**completion, "choices": choices}


def as_chunks(completion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a whole completion as the chunks of a stream.

    Args:
        completion: A completion.

    Returns:
        For each choice one chunk with its whole delta and one with its finish reason, then one with
        the usage.
    """
    head = {
        **{key: completion.get(key) for key in ("id", "created", "model") if key in completion},
        "object": "chat.completion.chunk",
    }
    chunks: list[dict[str, Any]] = []
    for choice in cast("list[dict[str, Any]]", completion["choices"]):
        index = choice.get("index", 0)
        reason = choice.get("finish_reason")
        delta = {"index": index, "delta": choice["message"], "finish_reason": None}
        chunks.append({**head, "choices": [delta]})
        chunks.append({**head, "choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
    chunks.append({**head, "choices": [], "usage": completion.get("usage")})
    return chunks


def _call_in(text: str) -> dict[str, Any] | None:
    try:
        value: object = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    call = cast("dict[str, Any]", value)
    is_whole = isinstance(call.get("name"), str) and isinstance(call.get("arguments"), dict)
    return call if is_whole else None

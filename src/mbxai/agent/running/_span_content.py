"""What was said, as spans may hold it if the application wants that. Pure.

The shape is that of OpenTelemetry's conventions for generative AI: messages of parts, as JSON text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from mbxai._redaction import redact

_Message = Mapping[str, Any]  # Any: a message of the wire


def messages_text(messages: Sequence[_Message]) -> str:
    """Return a conversation as JSON text, without what looks like a secret.

    Args:
        messages: Messages of the wire; handles of credentials may stand in them.
    """
    said = [
        {"role": str(message.get("role", "")), "parts": _parts(message)} for message in messages
    ]
    return redact(json.dumps(said, ensure_ascii=False))


def answer_text(value: Mapping[str, Any], finish_reason: str | None) -> str:  # Any: JSON
    """Return a model's answer as JSON text, without what looks like a secret.

    Args:
        value: An assistant message, or a structured value.
        finish_reason: Why the model stopped.
    """
    is_message = value.get("role") == "assistant"
    parts = _parts(value) if is_message else [_text(json.dumps(value, ensure_ascii=False))]
    said = [{"role": "assistant", "parts": parts, "finish_reason": finish_reason or ""}]
    return redact(json.dumps(said, ensure_ascii=False))


def _parts(message: _Message) -> list[dict[str, Any]]:
    content: object = message.get("content")
    if message.get("role") == "tool":
        return [
            {
                "type": "tool_call_response",
                "id": message.get("tool_call_id", ""),
                "response": content,
            }
        ]
    texts: list[object] = []
    if isinstance(content, str):
        texts = [content]
    elif isinstance(content, list):
        items = cast("list[object]", content)
        texts = [cast("_Message", item).get("text") for item in items if isinstance(item, Mapping)]
    parts = [_text(text) for text in texts if isinstance(text, str) and text]
    for call in message.get("tool_calls") or ():
        function: _Message = call.get("function") or {}
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id", ""),
                "name": function.get("name", ""),
                "arguments": function.get("arguments", ""),
            }
        )
    return parts


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}

"""What the server says and every client must hand back; for the server, of plain Python only."""

import json
from typing import Any

from lookups import ROUNDS, completed, mark

MESSAGES = [{"role": "user", "content": "What is known about paper clips?"}]
TEXT = "Paper clips hold sheets together by friction. " * 16
PIECE = " clips"
"""What each chunk of a stream adds."""

_WORDS = "A paper clip holds sheets together by torsion and friction of its wire. "
REPORT: dict[str, Any] = {
    **{f"text_{number}": _WORDS * 4 for number in range(10)},
    **{f"count_{number}": 1000 + number for number in range(3)},
    **{f"share_{number}": 0.25 + number for number in range(2)},
    "is_reviewed": True,
    "is_public": False,
    "keywords": ["clip", "wire", "paper", "friction"] * 5,
    "sources": [{"title": f"Source {number}", "year": 1990 + number} for number in range(12)],
    "language": "en",
}
"""The typed answer: 20 fields, 4 KB."""

_USAGE = {"prompt_tokens": 12, "completion_tokens": 160, "total_tokens": 172, "cost": 0.0007}


def completion(text: str | None, tool_calls: list[dict[str, Any]] | None = None) -> bytes:
    """A whole answer, as OpenRouter words it."""
    message = {"role": "assistant", "content": text, "refusal": None, "reasoning": None}
    if tool_calls:
        message["tool_calls"] = tool_calls
    finish_reason = "tool_calls" if tool_calls else "stop"
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finish_reason,
        "native_finish_reason": finish_reason,
        "logprobs": None,
    }
    return json.dumps(
        {
            "id": "gen-1751000000-benchmark",
            "object": "chat.completion",
            "created": 1751000000,
            "model": "openai/gpt-4.1",
            "provider": "OpenAI",
            "system_fingerprint": None,
            "choices": [choice],
            "usage": _USAGE,
        }
    ).encode()


def events(chunks: int) -> list[bytes]:
    """A streamed answer, one server-sent event an item; `chunks` of them carry text."""
    last = chunks - 1
    pieces = [_chunk({"role": "assistant", "content": PIECE})] * last
    return [
        b": OPENROUTER PROCESSING\n\n",
        *pieces,
        _chunk({"role": "assistant", "content": PIECE}, finish_reason="stop"),
        _chunk({"role": "assistant", "content": ""}, usage=_USAGE),
        b"data: [DONE]\n\n",
    ]


def tool_calls(number: int) -> list[dict[str, Any]]:
    """What the model calls in one round, counted from 0."""
    return [
        {
            "index": place,
            "id": f"call_{number}_{place}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for place, (name, arguments) in enumerate(ROUNDS[number])
    ]


def tool_call_events(number: int) -> list[bytes]:
    """The same streamed: each call's name first, then its arguments in three pieces."""
    pieces: list[bytes] = []
    for call in tool_calls(number):
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = ""
        pieces.append(_chunk({"role": "assistant", "content": None, "tool_calls": [call]}))
        third = len(arguments) // 3 + 1
        for start in range(0, len(arguments), third):
            piece = {"arguments": arguments[start : start + third]}
            delta = {"index": call["index"], "function": piece}
            pieces.append(_chunk({"content": None, "tool_calls": [delta]}))
    return [
        b": OPENROUTER PROCESSING\n\n",
        *pieces,
        _chunk({"role": "assistant", "content": ""}, finish_reason="tool_calls"),
        _chunk({"role": "assistant", "content": ""}, usage=_USAGE),
        b"data: [DONE]\n\n",
    ]


def rounds_done(messages: list[dict[str, Any]]) -> int | None:
    """How many rounds of calls a conversation has answered; None unless each got its own result."""
    results = {m["tool_call_id"]: str(m["content"]) for m in messages if m["role"] == "tool"}
    number = 0
    while results and number < len(ROUNDS):
        for place, (name, arguments) in enumerate(ROUNDS[number]):
            result = results.pop(f"call_{number}_{place}", "")
            if mark(name, completed(name, arguments)) not in result:
                return None
        number += 1
    return None if results else number


def _chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": finish_reason,
        "native_finish_reason": finish_reason,
        "logprobs": None,
    }
    chunk = {
        "id": "gen-1751000000-benchmark",
        "object": "chat.completion.chunk",
        "created": 1751000000,
        "model": "openai/gpt-4.1",
        "provider": "OpenAI",
        "choices": [choice],
        **fields,
    }
    return b"data: %s\n\n" % json.dumps(chunk, separators=(",", ":")).encode()

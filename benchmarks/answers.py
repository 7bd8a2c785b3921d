"""What the server says and every client must hand back; for the server, of plain Python only."""

import json
from typing import Any

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


def completion(text: str) -> bytes:
    """A whole answer, as OpenRouter words it."""
    message = {"role": "assistant", "content": text, "refusal": None, "reasoning": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "stop",
        "native_finish_reason": "stop",
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


def _chunk(delta: dict[str, str], finish_reason: str | None = None, **fields: Any) -> bytes:
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

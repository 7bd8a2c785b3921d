"""An answer in OpenRouter's words: the JSON of a completion and the events of a stream."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mbxai.testing._auto_model import Answer
from mbxai.testing._json_views import Json

COST_PER_TOKEN: Final = 0.000001
"""USD; prompt and completion tokens cost the same."""

PROCESSING: Final = b": OPENROUTER PROCESSING\n\n"
DONE: Final = b"data: [DONE]\n\n"

_PIECES: Final = re.compile(r".{1,12}", re.DOTALL)
_NATIVE: Final = {"tool_calls": "tool_use", "stop": "end_turn", "length": "max_tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What every answer tells of its generation.

    Attributes:
        generation_id: OpenRouter's id of the generation.
        model: The model that answers.
        created: Unix time in seconds.
        prompt: The request's messages as text, to count tokens.
    """

    generation_id: str
    model: str
    created: int
    prompt: str


def completion(answer: Answer, origin: Origin) -> Json:
    """Return the whole answer as one JSON object."""
    message: Json = {"role": "assistant", "content": answer.content, "refusal": None}
    message |= {"reasoning": None, **answer.extra}
    if answer.calls:
        message["tool_calls"] = [
            {
                **call.extra,
                "index": at,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for at, call in enumerate(answer.calls)
        ]
    choice: Json = {
        "index": 0,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
        "native_finish_reason": _NATIVE.get(answer.finish_reason, answer.finish_reason),
        "message": message,
    }
    head = _head(origin, "chat.completion")
    return {**head, "choices": [choice], "usage": usage_of(answer, origin)}


def stream_events(answer: Answer, origin: Origin) -> Iterator[bytes]:
    """Yield the server-sent events of a stream, comments and the end mark included."""
    yield PROCESSING
    for delta in _deltas(answer):
        yield _event(_chunk(origin, delta))
    last = _chunk(
        origin,
        {"role": "assistant", "content": ""},
        finish_reason=answer.finish_reason,
        native_finish_reason=_NATIVE.get(answer.finish_reason, answer.finish_reason),
    )
    yield _event(last)
    head = _head(origin, "chat.completion.chunk")
    yield _event({**head, "choices": [], "usage": usage_of(answer, origin)})
    yield DONE


def failing_events(text: str, error: Json, origin: Origin) -> Iterator[bytes]:
    """Yield a stream that breaks off with an error after some text."""
    yield PROCESSING
    for piece in _PIECES.findall(text):
        yield _event(_chunk(origin, {"role": "assistant", "content": piece}))
    delta: Json = {"role": "assistant", "content": ""}
    chunk = _chunk(origin, delta, finish_reason="error", native_finish_reason="error")
    yield _event({**chunk, "error": error})


def usage_of(answer: Answer, origin: Origin) -> Json:
    """Return the counted tokens (four characters each) and their cost in USD."""
    said = (answer.content or "") + "".join(call.name + call.arguments for call in answer.calls)
    prompt, written = max(1, len(origin.prompt) // 4), max(1, len(said) // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "cost": round((prompt + written) * COST_PER_TOKEN, 9),
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": round(prompt * COST_PER_TOKEN, 9),
            "upstream_inference_completions_cost": round(written * COST_PER_TOKEN, 9),
        },
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
        **answer.usage,
    }


def _head(origin: Origin, kind: str) -> Json:
    return {
        "id": origin.generation_id,
        "provider": "Fake",
        "model": origin.model,
        "object": kind,
        "created": origin.created,
        "system_fingerprint": "fp_fake",
    }


def _deltas(answer: Answer) -> Iterator[Json]:
    if answer.extra:
        yield {"role": "assistant", "content": "", **answer.extra}
    pieces: list[str] = _PIECES.findall(answer.content or "")
    for piece in pieces:
        yield {"role": "assistant", "content": piece}
    for at, call in enumerate(answer.calls):
        first = {"name": call.name, "arguments": ""}
        opening = {**call.extra, "index": at, "id": call.id, "type": "function", "function": first}
        yield {"role": "assistant", "content": None, "tool_calls": [opening]}
        parts: list[str] = _PIECES.findall(call.arguments)
        for part in parts:
            piece_of_call = {"index": at, "type": "function", "function": {"arguments": part}}
            yield {"role": "assistant", "content": None, "tool_calls": [piece_of_call]}


def _chunk(
    origin: Origin,
    delta: Json,
    *,
    finish_reason: str | None = None,
    native_finish_reason: str | None = None,
) -> Json:
    choice: Json = {
        "index": 0,
        "delta": delta,
        "finish_reason": finish_reason,
        "native_finish_reason": native_finish_reason,
        "logprobs": None,
    }
    return {**_head(origin, "chat.completion.chunk"), "choices": [choice]}


def _event(data: Json) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"

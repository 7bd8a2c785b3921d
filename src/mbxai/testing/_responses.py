"""Responses of the fake server: completions, errors in OpenRouter's shape, scripted messages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mbxai._types import UNSET
from mbxai.testing._answers import Origin, completion, failing_events, stream_events
from mbxai.testing._auto_model import Answer, Call, call_id
from mbxai.testing._conversation import Conversation
from mbxai.testing._http import Response
from mbxai.testing._json_views import Json, as_list, as_object, as_text
from mbxai.testing._steps import Drop, Failure, Raw, Reply, Stall, Step

_CALL_WORDS: Final = frozenset({"id", "name", "arguments"})
_JSON: Final = {"Content-Type": "application/json"}
_EVENTS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
_ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    413: "payload_too_large",
    429: "rate_limit_exceeded",
    500: "server",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
}


def spoken(answer: Answer, origin: Origin, *, stream: bool, chunk_delay: float) -> Response:
    """Return the response that carries an answer.

    Args:
        answer: What the model says.
        origin: What the answer tells of its generation.
        stream: Whether it is sent as server-sent events.
        chunk_delay: Seconds between two events.
    """
    headers = {"X-Generation-Id": origin.generation_id}
    if not stream:
        return json_response(completion(answer, origin), headers=headers)
    return Response(
        headers={**_EVENTS, **headers},
        pieces=list(stream_events(answer, origin)),
        chunked=True,
        piece_delay=chunk_delay,
    )


def failed(step: Failure) -> Response:
    """Return the response of a failure that says nothing before."""
    reason = error_body(step.status, step.message, code=step.code, metadata=step.metadata)
    body = {"error": reason, "user_id": "user_fake"}
    return json_response(body, status=step.status, headers=step.headers)


def failed_after(
    step: Failure, text: str, origin: Origin, *, stream: bool, chunk_delay: float
) -> Response:
    """Return the response of a failure in the middle of an answer: HTTP 200 and some text.

    Args:
        step: What goes wrong.
        text: What is said before.
        origin: What the answer tells of its generation.
        stream: Whether it is sent as server-sent events.
        chunk_delay: Seconds between two events.
    """
    reason = error_body(step.status, step.message, code=step.code, metadata=step.metadata)
    headers = {"X-Generation-Id": origin.generation_id, **step.headers}
    if stream:
        return Response(
            headers=_replacing(_EVENTS, headers),
            pieces=list(failing_events(text, reason, origin)),
            chunked=True,
            piece_delay=chunk_delay,
        )
    whole = completion(Answer(content=text, finish_reason="error"), origin)
    for choice in map(as_object, as_list(whole["choices"])):
        choice["error"] = reason
    return json_response(whole, headers=headers)


def faulty(step: Step, automatic: Response, *, chunk_delay: float) -> Response:
    """Return the automatic response, or what a step makes of it.

    Args:
        step: `Raw` replaces it, `Drop` cuts it, `Stall` delays it, others leave it.
        automatic: The response without the step.
        chunk_delay: Seconds between two pieces of a raw body.
    """
    if isinstance(step, Drop):
        return replace(automatic, cut_after=step.after_bytes)
    if isinstance(step, Stall):
        return replace(automatic, stall_after=step.after_bytes, stall_seconds=step.seconds)
    if not isinstance(step, Raw):
        return automatic
    pieces = [step.body] if isinstance(step.body, bytes) else step.body
    return Response(
        status=step.status,
        headers=_replacing(_JSON, step.headers),
        pieces=pieces,
        chunked=len(pieces) > 1,
        piece_delay=chunk_delay,
    )


def error_body(
    status: int,
    message: str,
    *,
    code: int | str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Json:
    """Return an `error` object as OpenRouter writes it."""
    kind = _ERROR_TYPES.get(status)
    known: Json = {"error_type": kind} if kind else {}
    return {
        "code": status if code is None else code,
        "message": message,
        "metadata": {**known, **(metadata or {})},
    }


def error(status: int, message: str) -> Response:
    """Return an error response."""
    body = {"error": error_body(status, message), "user_id": "user_fake"}
    return json_response(body, status=status)


def json_response(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response whose body is JSON."""
    return Response(
        status=status,
        headers=_replacing(_JSON, headers or {}),
        pieces=[json.dumps(body, ensure_ascii=False).encode()],
    )


def _replacing(defaults: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Lay headers over others; names are equal in any case."""
    given = {name.lower() for name in headers}
    kept = {name: value for name, value in defaults.items() if name.lower() not in given}
    return {**kept, **headers}


def scripted_answer(step: Reply, talk: Conversation) -> Answer:
    """Return what a step lets the model say."""
    content = step.content
    data = step.json
    if content is None and data is not UNSET:
        content = json.dumps(data, ensure_ascii=False)
    calls = tuple(_scripted_calls(step.tool_calls, talk))
    return Answer(
        content=content if content is not None or calls else "",
        calls=calls,
        finish_reason=step.finish_reason or ("tool_calls" if calls else "stop"),
        usage=step.usage,
        extra=step.extra,
    )


def _scripted_calls(calls: Sequence[Mapping[str, object]], talk: Conversation) -> list[Call]:
    result: list[Call] = []
    for at, call in enumerate(calls):
        name = as_text(call.get("name"))
        given = call.get("arguments", {})
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        identifier = as_text(call.get("id")) if "id" in call else call_id(talk.body, name, at)
        extra = {key: value for key, value in call.items() if key not in _CALL_WORDS}
        result.append(Call(id=identifier, name=name, arguments=arguments, extra=extra))
    return result

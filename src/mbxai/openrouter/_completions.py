"""A successful answer's bytes become a completion, or the error that hides in them; pure."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json

from mbxai._redaction import redact
from mbxai.errors import InvalidResponseError, OpenRouterAPIError
from mbxai.openrouter._faults import api_error, error_in, origin_of
from mbxai.wire import ChatCompletion, Choice, with_unique_call_ids

C = TypeVar("C", bound=ChatCompletion)


def completion_of(body: bytes, headers: Mapping[str, str], kind: type[C], *, media_type: str) -> C:
    """Return the completion in a body that came with status 200.

    Args:
        body: The whole body.
        headers: Response headers, names in lower case.
        kind: `ChatCompletion` or `ParsedChatCompletion`.
        media_type: As the server named it; used in error texts.

    Raises:
        OpenRouterAPIError: The body tells of an error.
        InvalidResponseError: The body is no completion.
    """
    try:
        completion = kind.from_wire(body)
    except ValidationError as error:
        payload = _object(body)
        if payload is not None and (told := error_in(payload)) is not None:
            raise api_error(told, headers) from None
        what = "empty" if not body.strip() else "no completion"
        origin = origin_of(headers)
        if not _is_json(body):
            origin["hint"] = "Check base_url; a proxy may have answered."
        named = redact(media_type)[:60] or "no media type"
        raise InvalidResponseError(
            f"The answer is {what} ({named}, {len(body)} bytes).", **origin
        ) from error
    check_told_errors(completion, headers)
    if not completion.choices:
        raise InvalidResponseError("The answer has no choices.", **origin_of(headers))
    if not all(_has_message(choice) for choice in completion.choices):
        raise InvalidResponseError("The answer has no message.", **origin_of(headers))
    ensure_call_ids(completion)
    return completion


def check_told_errors(completion: ChatCompletion, headers: Mapping[str, str]) -> None:
    """Raise what a body says went wrong, at its top or in one of its choices."""
    told = error_in(completion.model_extra or {})
    if told is not None:
        raise api_error(told, headers)
    for choice in completion.choices:
        if (told := error_in({"error": choice.error})) is not None:
            raise _with_provider(api_error(told, headers), completion.provider)
        if choice.finish_reason == "error":
            message = {"message": "The provider stopped with an error.", "code": 502}
            raise _with_provider(api_error(message, headers), completion.provider)


def ensure_call_ids(completion: ChatCompletion) -> None:
    """Give a tool call an id of its own where the provider sent none or the same one twice."""
    for choice in completion.choices:
        choice.message = with_unique_call_ids(choice.message, seed=completion.id)


def _with_provider(error: OpenRouterAPIError, provider: str | None) -> OpenRouterAPIError:
    error.provider = error.provider or provider
    return error


def _has_message(choice: Choice) -> bool:
    # Not by content: a message of tool calls or of reasoning alone has none.
    return "message" in choice.model_fields_set and bool(choice.message.model_fields_set)


def _is_json(body: bytes) -> bool:
    try:
        from_json(body)
    except ValueError:
        return False
    return True


def _object(body: bytes) -> dict[str, Any] | None:  # Any: open JSON
    try:
        value: object = from_json(body)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None

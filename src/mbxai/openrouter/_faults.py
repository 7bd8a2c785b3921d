"""What an answer that is no success means: status, headers and body become a typed error.

Pure functions; nothing here sends, waits or logs.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from pydantic_core import from_json

from mbxai._redaction import redact
from mbxai.errors import (
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    NotFoundError,
    OpenRouterAPIError,
    PermissionDeniedError,
    ProviderUnavailableError,
    RateLimitError,
    RequestOrigin,
)

# Any in this file: error bodies are open JSON.
_MAX_MESSAGE_CHARS: Final = 1000
_MAX_BODY_CHARS: Final = 2000
_MAX_DIGITS: Final = 16
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 50

# May repeat what the caller wrote, or tell of other people.
_PRIVATE_FIELDS: Final = frozenset({"flagged_input", "headers", "user_id", "file_annotations"})

_CLASSES: Final[dict[int, type[OpenRouterAPIError]]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    # Neither a refusal of the request nor the provider's failure.
    408: OpenRouterAPIError,
    409: OpenRouterAPIError,
    425: OpenRouterAPIError,
}

_HINTS: Final = {
    401: "Check OPENROUTER_API_KEY or token=.",
    402: "Add credits at https://openrouter.ai/credits or raise the limit of the key.",
    403: "The key, a guardrail, moderation or a region forbids it.",
    404: "Check the model's name, and whether its providers support the tools and parameters.",
    413: "Send less at a time.",
    429: "Send less often, or add credits or a provider key of your own.",
}

_STATUS_OF_WORD: Final = {
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "payload_too_large": 413,
    "unprocessable": 422,
    "rate_limit_exceeded": 429,
    "server": 500,
    "server_error": 500,
    "unmapped": 500,
    "provider_unavailable": 502,
    "provider_overloaded": 503,
    "timeout": 504,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "string_too_long": 400,
    "content_policy_violation": 400,
    # Anthropic's words, in answers of `messages`.
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "invalid_request_error": 400,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def origin_of(headers: Mapping[str, str]) -> RequestOrigin:
    """Return what the headers say of the request; names are in lower case."""
    return {
        "request_id": headers.get("x-request-id") or headers.get("cf-ray"),
        "generation_id": headers.get("x-generation-id"),
    }


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> OpenRouterAPIError:
    """Return the error that an answer with an error status means.

    Args:
        status: HTTP status, 300 or more.
        headers: Response headers, names in lower case.
        body: The body, whole or its beginning.
    """
    error = error_in(_json_object(body))
    if error is not None:
        return api_error(error, headers, status=status)
    text = redact(body[:_MAX_BODY_CHARS].decode("utf-8", "replace")).strip()
    kind = headers.get("content-type", "").partition(";")[0] or "no type"
    error_body = {"message": f"HTTP {status} with a body of {kind}.", "text": text}
    return api_error(error_body, headers, status=status)


def error_in(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error object of a body, a chunk or a choice; None if it tells of none."""
    error: object = payload.get("error")
    if not error:
        return None
    if isinstance(error, Mapping):
        return dict(cast("Mapping[str, Any]", error))
    return {"message": str(error)}


def api_error(
    error: Mapping[str, Any], headers: Mapping[str, str], *, status: int | None = None
) -> OpenRouterAPIError:
    """Return the typed error for an error object.

    Args:
        error: The object under `error`.
        headers: Response headers, names in lower case.
        status: HTTP status; None where the body came with 200.
    """
    code = error_code(error)
    status = status or _status_of(error, code)
    cls = _class_of(status)
    origin = origin_of(headers)
    origin["hint"] = _HINTS.get(status or 0, "")
    failure = cls(
        error_message(error),
        status=status,
        code=code,
        provider=provider_of(error),
        retry_after=retry_after(headers, error),
        body=cast("Mapping[str, Any]", _shown(error)),
        **origin,
    )
    # These headers come with OpenRouter's own refusals only.
    failure.is_account_limit = "x-ratelimit-limit" in headers
    return failure


def error_code(error: Mapping[str, Any]) -> int | str | None:
    """Return the error's own code; digits are a number."""
    code: object = error.get("code")
    if isinstance(code, bool) or not isinstance(code, int | float | str):
        return None
    if isinstance(code, float):
        return int(code) if code.is_integer() else str(code)
    if isinstance(code, str):
        is_number = code.isascii() and code.isdigit() and len(code) < _MAX_DIGITS
        return int(code) if is_number else _shown_text(code)
    return None if _is_huge(code) else code


def provider_of(error: Mapping[str, Any]) -> str | None:
    """Return the name of the provider that failed, if the error says."""
    name: object = _object(error.get("metadata")).get("provider_name")
    return _shown_text(name) if isinstance(name, str) and name else None


def error_message(error: Mapping[str, Any]) -> str:
    """Return one readable sentence: OpenRouter's message and what the provider said.

    OpenRouter's own message is often only "Provider returned error"; the truth is in
    `metadata.raw`, as text, as JSON inside text, or as an object.
    """
    message = _text(error.get("message")) or _text(error.get("code")) or "Unknown error"
    raw = _raw_message(_object(error.get("metadata")).get("raw"))
    provider = provider_of(error)
    if raw and raw not in message:
        message = f"{message.rstrip('.')} ({provider}): {raw}" if provider else f"{message}: {raw}"
    return _shown_text(message)


def retry_after(headers: Mapping[str, str], error: Mapping[str, Any] | None = None) -> float | None:
    """Return the seconds that the server asks to wait.

    In this order: `retry-after-ms`, `Retry-After` in seconds or as a date (measured against the
    answer's own `Date`, so that a wrong clock does not matter), the body's
    `availability.retry_after`, `X-RateLimit-Reset`.

    Args:
        headers: Response headers, names in lower case.
        error: The error object, if there is one.

    Returns:
        Seconds, 0 or more; None where the server asks for nothing that can be understood.
    """
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _seconds(value)
    if seconds is None:
        seconds = _until(_date(value), headers)
    if seconds is None and error is not None:
        seconds = _seconds(_object(error.get("availability")).get("retry_after"))
    if seconds is None:
        reset = _seconds(headers.get("x-ratelimit-reset"))  # milliseconds since 1970
        if reset is not None and reset < 1e14:
            seconds = _until(datetime.fromtimestamp(reset / 1000, UTC), headers)
    return seconds


def is_final(error: OpenRouterAPIError) -> bool:
    """Whether OpenRouter itself says that sending again is useless."""
    availability = _object((error.body or {}).get("availability"))
    return availability.get("retryable") is False


def _status_of(error: Mapping[str, Any], code: int | str | None) -> int | None:
    if isinstance(code, int):
        return code if 400 <= code <= 599 else None
    for word in (code, _object(error.get("metadata")).get("error_type"), error.get("type")):
        if isinstance(word, str) and word in _STATUS_OF_WORD:
            return _STATUS_OF_WORD[word]
    return None


def _class_of(status: int | None) -> type[OpenRouterAPIError]:
    if status is None:
        return OpenRouterAPIError
    if status in _CLASSES:
        return _CLASSES[status]
    return ProviderUnavailableError if status >= 500 else BadRequestError


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value: object = from_json(body)
    except ValueError:
        return {}
    return _object(value)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) and not _is_huge(value) else ""


def _is_huge(value: object) -> bool:
    """Whether it is a number that cannot be written, since Python refuses very long ones."""
    return isinstance(value, int) and value.bit_length() > 64


def _raw_message(raw: object) -> str:
    if isinstance(raw, str):
        inner = _json_object(raw.encode("utf-8", "replace"))
        return _raw_message(inner) if inner else raw.strip()
    found = _object(raw)
    nested = found.get("error")
    if isinstance(nested, dict):
        return _raw_message(cast("object", nested))
    for name in ("message", "detail", "error", "msg"):
        if text := _text(found.get(name)):
            return text
    return ""


def _shown(value: object, depth: int = 0) -> object:
    """Copy of an error object without private fields and secrets, and bounded in size."""
    if isinstance(value, str):
        return _capped(redact(value), _MAX_BODY_CHARS)
    if _is_huge(value) or (isinstance(value, Mapping | list) and depth >= _MAX_DEPTH):
        return "..."
    if isinstance(value, Mapping):
        fields = list(cast("Mapping[str, object]", value).items())[:_MAX_ITEMS]
        return {
            _shown_text(name): _shown(item, depth + 1)
            for name, item in fields
            if name not in _PRIVATE_FIELDS
        }
    if isinstance(value, list):
        return [_shown(item, depth + 1) for item in cast("list[object]", value)[:_MAX_ITEMS]]
    return value


def _shown_text(text: str) -> str:
    return _capped(redact(text), _MAX_MESSAGE_CHARS)


def _capped(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the second one for a time zone without measure
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _until(then: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = _date(headers.get("date", ""))
    if then is None:
        return None
    seconds = (then - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds)

"""What a caller asked for becomes the bytes of a request; pure, nothing is sent here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict, cast

from pydantic_core import PydanticSerializationError, to_json

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._checks import HEADER_OPTIONS, check_body, option_headers
from mbxai.openrouter._headers import HeaderFields, with_headers
from mbxai.wire import MAX_EVENT_BYTES, Message

MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024

# Any in this file: parameters are open JSON of the wire.
_NOT_IN_BODY: Final = frozenset(
    {
        *("extra_body", "extra_headers", "timeout", "attempt_timeout", "retry_on_timeout"),
        *("first_token_timeout", "idle_timeout"),
    }
)
CHAT_PATH: Final = "chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall:
    """A request that is ready to be sent, as often as needed.

    Attributes:
        method: HTTP method.
        path: Relative to the base address.
        query: Parameters of the address.
        body: Encoded once; None where there is none.
        headers: All headers but the key's.
        model: Slug that the request names; empty where it names none.
        timeout: Seconds for the whole call; None for ever.
        attempt_timeout: Seconds for one attempt, with a stream until its first chunk; None for no
            limit of its own.
        first_token_timeout: Seconds until the first chunk of a stream; None for no limit.
        idle_timeout: Seconds between two chunks of a stream; None for no limit.
        is_repeatable: Whether the request may be sent again although it may have run.
        is_effect: Whether it changes something on the server, and is repeated only where it
            provably did not run.
        is_stream: Whether the answer comes as events.
        max_response_bytes: Most bytes of the answer after decompression.
        max_event_bytes: Most bytes of one event of a stream.
    """

    method: str = "POST"
    path: str = CHAT_PATH
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    headers: HeaderFields
    model: str = ""
    timeout: float | None = None
    attempt_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    is_repeatable: bool = False
    is_effect: bool = False
    is_stream: bool = False
    max_response_bytes: int = MAX_RESPONSE_BYTES
    max_event_bytes: int = MAX_EVENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDefaults:
    """What holds for every call of a client that does not say otherwise.

    Attributes:
        headers: Headers of every request.
        stream_headers: The same, for a request whose answer is streamed.
        timeout: Seconds for a whole call; None for ever.
        attempt_timeout: Seconds for one attempt; None for no limit of its own.
        first_token_timeout: Seconds until the first chunk of a stream; None for no limit.
        idle_timeout: Seconds between two chunks of a stream; None for no limit.
        retry_on_timeout: Whether a request that timed out, and may have been billed, is repeated.
        max_request_bytes: Most bytes of a request's body.
        max_response_bytes: Most bytes of an answer.
        max_event_bytes: Most bytes of one event of a stream.
    """

    headers: HeaderFields
    stream_headers: HeaderFields
    timeout: float | None = 600.0
    attempt_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    retry_on_timeout: bool = False
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_response_bytes: int = MAX_RESPONSE_BYTES
    max_event_bytes: int = MAX_EVENT_BYTES


def prepare_chat(
    messages: object,
    *,
    model: str,
    stream: bool,
    params: Mapping[str, Any],
    defaults: CallDefaults,
) -> PreparedCall:
    """Return the request for what a caller asked.

    Args:
        messages: The conversation, checked here.
        model: Slug.
        stream: Whether the answer shall be streamed.
        params: Parameters of the call, defaults already merged below them.
        defaults: Of the client.

    Raises:
        OpenRouterConfigurationError: A parameter cannot be sent; the message names it.
    """
    body: dict[str, Any] = {"model": model, "messages": checked_messages(messages)}
    if stream:
        body["stream"] = True
    outside: dict[str, Any] = {}
    for name, value in params.items():
        if name in _NOT_IN_BODY or name in HEADER_OPTIONS:
            outside[name] = value
        else:
            body[name] = value
    if outside:
        body.update(checked_mapping("extra_body", outside.get("extra_body")) or {})
    if bool(body.get("stream")) is not stream:
        raise OpenRouterConfigurationError(
            "stream contradicts the kind of call.",
            hint="Use create(stream=True) or stream(), and leave it out of other parameters.",
        )
    check_body(body)
    return PreparedCall(
        body=encode_body(body, max_bytes=defaults.max_request_bytes),
        headers=_headers_of(outside, defaults.stream_headers if stream else defaults.headers),
        model=str(body["model"]),
        is_stream=stream,
        max_event_bytes=_max_event_bytes(body, defaults),
        **_limits_of(outside, defaults),
    )


def _max_event_bytes(body: Mapping[str, Any], defaults: CallDefaults) -> int:
    # An image or a piece of speech comes in one event, and may be all there is to the answer.
    if set(body.get("modalities") or ()) & {"image", "audio"}:
        return max(defaults.max_event_bytes, defaults.max_response_bytes)
    return defaults.max_event_bytes


class _Limits(TypedDict):
    timeout: float | None
    attempt_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    is_repeatable: bool
    max_response_bytes: int


def _limits_of(given: Mapping[str, Any], defaults: CallDefaults) -> _Limits:
    repeatable: object = given.get("retry_on_timeout", defaults.retry_on_timeout)
    if not isinstance(repeatable, bool):
        raise OpenRouterConfigurationError("retry_on_timeout must be True or False.")
    return {
        "timeout": _seconds("timeout", given, defaults.timeout),
        "attempt_timeout": _seconds("attempt_timeout", given, defaults.attempt_timeout),
        "first_token_timeout": _seconds("first_token_timeout", given, defaults.first_token_timeout),
        "idle_timeout": _seconds("idle_timeout", given, defaults.idle_timeout),
        "is_repeatable": repeatable,
        "max_response_bytes": defaults.max_response_bytes,
    }


def _seconds(name: str, given: Mapping[str, Any], default: float | None) -> float | None:
    return checked_seconds(name, given[name]) if name in given else default


def _headers_of(given: Mapping[str, Any], headers: HeaderFields) -> HeaderFields:
    if not given:
        return headers
    more = option_headers(given)
    more.update(checked_mapping("extra_headers", given.get("extra_headers")) or {})
    return with_headers(headers, more) if more else headers


def checked_messages(messages: object) -> list[Mapping[str, Any]]:
    """Return the conversation as a list of JSON objects.

    Args:
        messages: Mappings; a `Message` of an earlier answer may stand among them.

    Raises:
        OpenRouterConfigurationError: Not a list, empty, or an item is no message.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise OpenRouterConfigurationError(
            f"messages must be a list, not a {type(cast('object', messages)).__name__}.",
            hint='Pass [{"role": "user", "content": "..."}].',
        )
    items = cast("Sequence[object]", messages)
    if not items:
        raise OpenRouterConfigurationError("messages is empty.")
    return [_checked_message(item, number) for number, item in enumerate(items)]


def checked_mapping(name: str, value: object) -> Mapping[str, Any] | None:
    """Return an argument that is a mapping or None.

    Raises:
        OpenRouterConfigurationError: It is neither; the message names it.
    """
    if value is not None and not isinstance(value, Mapping):
        raise OpenRouterConfigurationError(f"{name} must be a mapping.")
    return cast("Mapping[str, Any] | None", value)


def checked_seconds(name: str, value: object) -> float | None:
    """Return an argument that is a number of seconds above 0, or None.

    Raises:
        OpenRouterConfigurationError: It is neither; the message names it.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise OpenRouterConfigurationError(f"{name} must be a number of seconds above 0, or None.")
    return float(value)


def encode_body(body: Mapping[str, Any], *, max_bytes: int = MAX_REQUEST_BYTES) -> bytes:
    """Return the body as JSON.

    Args:
        body: Any JSON object.
        max_bytes: Most bytes of the JSON text.

    Raises:
        OpenRouterConfigurationError: A value is no JSON, or the text is larger than allowed; the
            message names the parameter.
    """
    try:
        encoded = to_json(body)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise _not_json(body, error) from error
    # JSON has no word for these; looked for as bytes first, since hardly any body holds them.
    if (b"NaN" in encoded or b"Infinity" in encoded) and (bad := _first_nonfinite(body)):
        raise OpenRouterConfigurationError(f"{bad} holds NaN or infinity, which JSON cannot say.")
    if len(encoded) > max_bytes:
        largest = max(body, key=lambda name: len(to_json(body[name])))
        raise OpenRouterConfigurationError(
            f"The request has {len(encoded)} bytes, mostly of {largest}; {max_bytes} are allowed.",
            hint="Send less, or raise max_request_bytes.",
        )
    return encoded


def _checked_message(item: object, number: int) -> Mapping[str, Any]:
    if isinstance(item, Message):
        return item.to_param()
    if not isinstance(item, Mapping):
        raise OpenRouterConfigurationError(
            f"messages[{number}] must be a mapping, not a {type(item).__name__}.",
            hint='A message looks like {"role": "user", "content": "..."}.',
        )
    message = cast("Mapping[str, Any]", item)
    if not isinstance(message.get("role"), str):
        raise OpenRouterConfigurationError(f"messages[{number}] has no role.")
    return message


def _not_json(body: Mapping[str, Any], error: Exception) -> OpenRouterConfigurationError:
    for name, value in body.items():
        parts = (
            [(f"messages[{number}]", message) for number, message in enumerate(value)]
            if name == "messages"
            else [(name, value)]
        )
        for part_name, part in parts:
            try:
                to_json(part)
            except (PydanticSerializationError, ValueError, RecursionError):
                return OpenRouterConfigurationError(f"{part_name} cannot be written as JSON.")
    return OpenRouterConfigurationError(f"The request is no JSON: {type(error).__name__}.")


def _first_nonfinite(body: Mapping[str, Any]) -> str | None:
    for name, value in body.items():
        try:
            json.dumps(value, allow_nan=False, default=_plain)
        except ValueError:
            return name
    return None


def _plain(value: object) -> object:
    """What `to_json` writes for values that the standard library does not know."""
    return json.loads(to_json(value))

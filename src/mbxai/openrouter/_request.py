"""What a caller asked for becomes the bytes of a request; pure, nothing is sent here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_core import PydanticSerializationError, to_json

from mbxai.errors import OpenRouterConfigurationError
from mbxai.wire import Message

# Any in this file: parameters are open JSON of the wire.
_NOT_IN_BODY: Final = frozenset(
    {"extra_body", "extra_headers", "timeout", "first_token_timeout", "idle_timeout"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall:
    """A request that is ready to be sent, as often as needed.

    Attributes:
        body: JSON, encoded once.
        headers: Headers of this call only.
        timeout: Seconds for the whole call; None for ever.
        first_token_timeout: Seconds until the first chunk of a stream; None for no limit.
        idle_timeout: Seconds between two chunks of a stream; None for no limit.
    """

    body: bytes
    headers: Mapping[str, str] | None
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None


def prepare_call(
    messages: object,
    *,
    model: str,
    stream: bool,
    params: Mapping[str, Any],
    default_timeout: float | None,
) -> PreparedCall:
    """Return the request for what a caller asked.

    Args:
        messages: The conversation, checked here.
        model: Slug.
        stream: Whether the answer shall be streamed.
        params: Parameters of the call, defaults already merged below them.
        default_timeout: Seconds where the call names no timeout.

    Raises:
        OpenRouterConfigurationError: A parameter cannot be sent; the message names it.
    """
    body: dict[str, Any] = {"model": model, "messages": checked_messages(messages)}
    if stream:
        body["stream"] = True
    body.update({name: value for name, value in params.items() if name not in _NOT_IN_BODY})
    body.update(checked_mapping("extra_body", params.get("extra_body")) or {})
    return PreparedCall(
        body=encode_body(body),
        headers=checked_mapping("extra_headers", params.get("extra_headers")),
        timeout=checked_seconds("timeout", params.get("timeout", default_timeout)),
        first_token_timeout=checked_seconds(
            "first_token_timeout", params.get("first_token_timeout")
        ),
        idle_timeout=checked_seconds("idle_timeout", params.get("idle_timeout")),
    )


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


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Return the body as JSON.

    Raises:
        OpenRouterConfigurationError: A value is no JSON; the message names its parameter.
    """
    try:
        encoded = to_json(body)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise _not_json(body, error) from error
    # JSON has no word for these; looked for as bytes first, since hardly any body holds them.
    if (b"NaN" in encoded or b"Infinity" in encoded) and (bad := _first_nonfinite(body)):
        raise OpenRouterConfigurationError(f"{bad} holds NaN or infinity, which JSON cannot say.")
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

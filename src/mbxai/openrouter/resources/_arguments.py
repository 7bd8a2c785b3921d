"""What callers of the resources gave, checked by name before anything is sent."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, cast

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._requester import RequestOptions

# Any in this file: arguments become open JSON of the wire.
Check: TypeAlias = Callable[[str, Any], Any]
"""Takes an argument's name and value, never None; returns what to send, or raises."""

_OPTIONS: Final = frozenset(RequestOptions.__annotations__)


def split_arguments(
    given: Mapping[str, Any], checks: Mapping[str, Check]
) -> tuple[dict[str, Any], RequestOptions]:
    """Return what belongs into the request, and the options of the call.

    Args:
        given: Keyword arguments of a call.
        checks: By argument; None is never checked.

    Raises:
        OpenRouterConfigurationError: An argument is impossible, or nothing has its name.
    """
    fields = {name: value for name, value in given.items() if name not in _OPTIONS}
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    return checked(fields, checks), cast("RequestOptions", options)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a call that nobody reads, since they are mistyped.

    Raises:
        OpenRouterConfigurationError: Nothing has this name.
    """
    for name in options:
        if name not in _OPTIONS:
            raise _unknown(name)


def checked(fields: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Return arguments as they are sent.

    Args:
        fields: By name; None stays None.
        checks: By name.

    Raises:
        OpenRouterConfigurationError: A value is impossible, or nothing has its name.
    """
    for name in fields:
        if name not in checks:
            raise _unknown(name)
    return {
        name: None if value is None else checks[name](name, value) for name, value in fields.items()
    }


def text(name: str, value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise OpenRouterConfigurationError(f"{name} must be text that is not empty.")
    return str(value)


def words(name: str, value: object) -> str:
    """Return one word, or several joined by commas."""
    if isinstance(value, str):
        return text(name, value)
    return ",".join(names(name, value))


def names(name: str, value: object) -> list[str]:
    """Return a list of texts, at least one."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise OpenRouterConfigurationError(f"{name} must be a list of texts.")
    items = list(cast("Sequence[object]", value))
    if not items:
        raise OpenRouterConfigurationError(f"{name} is empty.", hint=f"Leave {name} out.")
    return [text(f"{name}[{number}]", item) for number, item in enumerate(items)]


def flag(name: str, value: object) -> bool:
    """Return a yes or no."""
    if not isinstance(value, bool):
        raise OpenRouterConfigurationError(f"{name} must be True or False.")
    return value


def number(low: float, high: float = math.inf) -> Check:
    """Return the check for a finite number within a range."""

    def check(name: str, value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or not low <= value <= high
        ):
            raise OpenRouterConfigurationError(f"{name} must be a number {_range(low, high)}.")
        return value

    return check


def whole(low: int, high: float = math.inf) -> Check:
    """Return the check for a whole number within a range."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OpenRouterConfigurationError(
                f"{name} must be a whole number {_range(low, high)}."
            )
        return value

    return check


def one_of(*choices: str) -> Check:
    """Return the check for a word of a closed list."""

    def check(name: str, value: object) -> str:
        if value not in choices:
            raise OpenRouterConfigurationError(f"{name} must be one of {', '.join(choices)}.")
        return cast("str", value)

    return check


def moment(name: str, value: object) -> str:
    """Return a time as ISO 8601 in UTC; a text goes through."""
    if not isinstance(value, datetime):
        return text(name, value)
    if value.tzinfo is None:
        raise OpenRouterConfigurationError(
            f"{name} has no time zone.", hint="Pass datetime(..., tzinfo=UTC)."
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def day(name: str, value: object) -> str:
    """Return a date as YYYY-MM-DD; a text goes through."""
    if isinstance(value, datetime):
        raise OpenRouterConfigurationError(
            f"{name} must be a date without a time.", hint="Pass moment.date(), in UTC."
        )
    return value.isoformat() if isinstance(value, date) else text(name, value)


def mapping(name: str, value: object) -> dict[str, Any]:
    """Return a JSON object that is not empty."""
    if not isinstance(value, Mapping) or not value:
        raise OpenRouterConfigurationError(f"{name} must be a mapping that is not empty.")
    return dict(cast("Mapping[str, Any]", value))


def mappings(name: str, value: object) -> list[dict[str, Any]]:
    """Return a list of JSON objects."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise OpenRouterConfigurationError(f"{name} must be a list of mappings.")
    items = cast("Sequence[object]", value)
    return [mapping(f"{name}[{position}]", item) for position, item in enumerate(items)]


def _unknown(name: str) -> OpenRouterConfigurationError:
    return OpenRouterConfigurationError(
        f"{name} is no argument of this call.",
        hint="Pass what the API takes besides as extra_body or extra_query.",
    )


def _range(low: float, high: float) -> str:
    return f"of at least {low}" if high == math.inf else f"from {low} to {high}"

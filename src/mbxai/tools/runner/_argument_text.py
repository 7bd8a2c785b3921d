"""The JSON text that a model writes as arguments, read as far as its meaning is beyond doubt.

Models put fences around it, write line breaks into strings, leave a comma behind, encode it twice.
What was cut off is never completed: nobody knows what was to come.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import pydantic_core

from mbxai.errors import ConfigurationError, ToolArgumentError

MAX_ARGUMENT_BYTES: Final = 1_048_576
"""The longest arguments that are read."""

_MAX_RULE_CHARS: Final = 200
_MAX_OBJECTS: Final = 16
_MAX_ENCODINGS: Final = 2
_FENCE: Final = "```"
_LANGUAGE: Final = re.compile(r"[A-Za-z][\w-]*")
# A string, closed or not, or a comma that nothing follows.
_MENDABLE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|,(?=[ \t\r\n]*[}\]])', re.DOTALL)
_CONTROLS: Final = {code: f"\\u{code:04x}" for code in range(0x20)}
# Only such numbers can be too large for a float; JSON has no other way to write infinity.
_HUGE_NUMBER: Final = re.compile(r"[eE]\+?\d{3}|\d{200}")


def read_object(arguments: str) -> dict[str, Any]:  # Any: JSON of the wire
    """Read the arguments of a call.

    Args:
        arguments: JSON text as the model wrote it; blank text and `null` mean no arguments.

    Raises:
        ToolArgumentError: The text is not JSON, or not an object.
    """
    return read_arguments(arguments)[0]


def read_arguments(arguments: str) -> tuple[dict[str, Any], str]:  # Any: JSON of the wire
    """Read the arguments of a call, and say the same in proper JSON.

    Args:
        arguments: JSON text as the model wrote it; blank text and `null` mean no arguments.

    Returns:
        The arguments, and the given text if it was a JSON object, else the JSON text of what was
        meant.

    Raises:
        ToolArgumentError: The text is not JSON, or not an object.
    """
    if not arguments or arguments.isspace():
        return {}, "{}"
    _check_size(arguments)
    value, is_proper = _decoded(arguments)
    for _ in range(_MAX_ENCODINGS):
        if not isinstance(value, str):
            break
        value, is_proper = _inner(value), False
    if value is None:
        return {}, "{}"
    if not isinstance(value, dict):
        raise ToolArgumentError("The arguments must be one JSON object.")
    if _HUGE_NUMBER.search(arguments) and _has_infinity([value]):
        raise ToolArgumentError("The arguments are not valid JSON (a number is too large).")
    read = cast("dict[str, Any]", value)
    return read, arguments if is_proper else pydantic_core.to_json(read).decode()


def as_text(arguments: str | Mapping[str, object]) -> str:
    """Return arguments as a model would write them.

    Args:
        arguments: JSON text, which stays as it is, or the object.

    Raises:
        ConfigurationError: They are neither, or no JSON.
    """
    if isinstance(arguments, str):
        return arguments
    if not isinstance(arguments, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigurationError(
            f"arguments must be a mapping or JSON text, not a {type(arguments).__name__}."
        )
    try:
        return pydantic_core.to_json(arguments).decode()
    except ValueError as error:
        raise ConfigurationError(f"The arguments cannot be written as JSON: {error}") from error


def mended(arguments: str) -> str:
    """Return the JSON object that a text was meant to be.

    Args:
        arguments: JSON text as the model wrote it.

    Raises:
        ValueError: Nobody can tell.
    """
    try:
        return read_arguments(arguments)[1]
    except ToolArgumentError as cause:
        raise ValueError(cause.message) from cause


def json_container(text: str) -> dict[str, Any] | list[Any] | None:  # Any: JSON of the wire
    """Return the object or array that a string holds as JSON text; None if it holds none.

    Args:
        text: Any text.
    """
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = _from_json(text)
    except ValueError:
        return None
    return cast("dict[str, Any] | list[Any]", value) if not _has_infinity([value]) else None


def _check_size(arguments: str) -> None:
    if len(arguments) * 4 <= MAX_ARGUMENT_BYTES:
        return
    size = len(arguments)
    if size <= MAX_ARGUMENT_BYTES:
        size = len(arguments.encode(errors="replace"))
    if size > MAX_ARGUMENT_BYTES:
        raise ToolArgumentError(
            f"The arguments are too long: more than {MAX_ARGUMENT_BYTES // 2**20} MiB of JSON text."
        )


def _decoded(text: str) -> tuple[object, bool]:
    """What the text holds, and whether it is proper JSON as it stands."""
    try:
        return _from_json(text), True
    except ValueError as cause:
        reason = str(cause).splitlines()[0][:_MAX_RULE_CHARS]
    if "recursion limit" in reason:
        raise ToolArgumentError("The arguments are nested too deeply.")
    mended = _MENDABLE.sub(_mend, _without_fence(text))
    try:
        return _only_object(_objects(mended)), False
    except (ValueError, RecursionError):
        raise ToolArgumentError(f"The arguments are not valid JSON ({reason}).") from None


def _without_fence(text: str) -> str:
    """The text inside a fence; a pattern would take for ever where a model writes only spaces."""
    bare = text.strip()
    if len(bare) < 2 * len(_FENCE) or not (bare.startswith(_FENCE) and bare.endswith(_FENCE)):
        return text
    inside = bare[len(_FENCE) : -len(_FENCE)]
    language = _LANGUAGE.match(inside)
    return inside[language.end() :] if language else inside


def _inner(text: str) -> object:
    """What a text inside the JSON text holds; nothing useful if that is no JSON."""
    try:
        return _decoded(text)[0] if text.strip() else None
    except ToolArgumentError:
        return ()


def _from_json(text: str) -> object:
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except TypeError:  # half a surrogate pair
        raise ValueError("a character is not valid Unicode") from None


def _mend(found: re.Match[str]) -> str:
    text = found[0]
    if text == ",":
        return ""
    return text if text.isprintable() else text.translate(_CONTROLS)


def _objects(text: str) -> list[object]:
    """Read values that stand one after the other."""
    values: list[object] = []
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        if len(values) == _MAX_OBJECTS:
            raise ValueError
        _, end = decoder.raw_decode(text)
        values.append(_from_json(text[:end]))
        text = text[end:].lstrip()
    return values


def _only_object(values: list[object]) -> object:
    """The one value that is meant: some models write `{}` first, or say the same twice."""
    if not values:
        raise ValueError
    *others, last = values
    if all(other == {} for other in others) or all(other == last for other in others):
        return last
    raise ValueError


def _has_infinity(values: Iterable[Any]) -> bool:
    for value in values:
        if isinstance(value, float) and math.isinf(value):
            return True
        if isinstance(value, dict) and _has_infinity(cast("dict[str, Any]", value).values()):
            return True
        if isinstance(value, list) and _has_infinity(cast("list[Any]", value)):
            return True
    return False

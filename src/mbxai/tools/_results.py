"""What a tool returned, or what it raised, as text for a model.

Pure: no thread, no loop, no tool is run here.
"""

from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import Any, Final, cast

import pydantic_core

from mbxai._redaction import redact
from mbxai.tools._context import DOTS, Secret

_MAX_BASE64_BYTES: Final = 3_000
_MAX_ERROR_CHARS: Final = 1_000
_MAX_READ_CHARS: Final = 100_000
_MIN_SCRUBBED_CHARS: Final = 4


def result_text(value: object) -> str:
    """Return a tool's result as text.

    Args:
        value: Text stays as it is; bytes become a note; all else becomes JSON, with what JSON
            does not know as its `str`.
    """
    if isinstance(value, str):
        # Half a surrogate pair, as in `os.fsdecode`d file names, cannot be sent.
        return value.encode(errors="replace").decode()
    if value is None:
        return "null"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_note(bytes(cast("bytes", value)))
    try:
        return pydantic_core.to_json(
            value, fallback=_fallback, bytes_mode="base64", inf_nan_mode="strings"
        ).decode()
    except (ValueError, TypeError, RecursionError):
        # A structure that holds itself, or keys that JSON has no form for; repr copes with both.
        return repr(value)


def collected(value: object) -> object:
    """Return the items of a generator as a list, and anything else as it is."""
    if isinstance(value, GeneratorType):
        return list(cast("Iterable[object]", value))
    return value


def limited(text: str, max_bytes: int) -> str:
    """Return text of at most so many bytes in UTF-8, with a note where it was cut.

    Args:
        text: Any text.
        max_bytes: The limit; the note comes on top of it.
    """
    if len(text) * 4 <= max_bytes:
        return text
    head = text[:max_bytes].encode("utf-8", "replace")
    if len(text) <= max_bytes and len(head) <= max_bytes:
        return text
    shown = head[:max_bytes].decode("utf-8", "ignore")
    return f"{shown}\n[cut: {len(shown)} of {len(text)} characters are shown]"


def scrubbed(text: str, secrets: Iterable[Secret]) -> str:
    """Return text with these secrets replaced by dots, also in their JSON-escaped form.

    Args:
        text: Text of a result or an error.
        secrets: What the call was given; values shorter than 4 characters are left alone, since
            they would be found in ordinary words.
    """
    for secret in secrets:
        value = secret.reveal()
        if len(value) >= _MIN_SCRUBBED_CHARS:
            escaped = pydantic_core.to_json(value).decode()[1:-1]
            text = text.replace(value, DOTS).replace(escaped, DOTS)
    return text


def failure_text(name: str, error: BaseException, clean: Callable[[str], str] = str) -> str:
    """Return what a model should know of an exception: what failed, without a traceback.

    Args:
        name: The tool's name.
        error: What its function raised.
        clean: Takes credentials out of the message, before it is cut to size.
    """
    leaf = _only_leaf(error)
    try:
        message = str(leaf).strip()
    except Exception:  # noqa: BLE001  # a foreign __str__
        message = ""
    text = f"{name} failed: {type(leaf).__name__}"
    if message:
        text = f"{text}: {message}"
    # First cleaned, then cut: half a secret at the cut would not be recognised.
    return cut(redact(clean(text)[:_MAX_READ_CHARS]), _MAX_ERROR_CHARS)


def cut(text: str, max_chars: int) -> str:
    """Return text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


def _only_leaf(error: BaseException) -> BaseException:
    """The one exception inside a group of one: a tool with a task group fails like any other."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return _only_leaf(inner[0]) if len(inner) == 1 else cast("BaseException", error)


def _bytes_note(data: bytes) -> str:
    if len(data) > _MAX_BASE64_BYTES:
        return f"[{len(data)} bytes of binary data, not shown]"
    encoded = pydantic_core.to_json(data, bytes_mode="base64").decode()[1:-1]
    return f"[{len(data)} bytes of binary data, base64: {encoded}]"


def _fallback(value: Any) -> Any:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # a foreign __str__
        return f"<{type(value).__name__}>"

"""An assistant message as it may be sent back: what providers refuse is put into a form they take.

Pure. What is in order goes back byte for byte; the calls are run as the model wrote them.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

import pydantic_core

from mbxai.wire._completion import Message

INVALID_ARGUMENTS: Final = "invalid_json_arguments"
"""Under this key goes back what a model wrote in place of arguments."""

INVALID_NAME: Final = "invalid_"
"""Begins a name that no tool can have, in the form in which it goes back."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def sendable_param(
    message: Message, mend: Callable[[str], str] | None = None
) -> dict[str, Any]:  # Any: a JSON object of the wire
    """Return an assistant message as it goes back in the next request.

    A provider that has to read the arguments of an earlier call refuses a conversation in which
    they are no JSON object; others refuse names that no tool could have.

    Args:
        message: The message as it came.
        mend: Returns the JSON object that a text was meant to be, or raises `ValueError`; None
            mends nothing.

    Returns:
        `message.to_param()`, with arguments that are no object mended or wrapped in one, and with
        names that cannot be those of a tool changed.
    """
    param = message.to_param()
    for call in cast("list[dict[str, Any]]", param.get("tool_calls") or []):
        function: dict[str, Any] = call["function"]
        if not _NAME.fullmatch(function["name"]):
            # Never the name of another tool, which might be run when the conversation is taken up.
            proper = _NOT_IN_A_NAME.sub("_", function["name"])
            function["name"] = f"{INVALID_NAME}{proper}"[:64]
        function["arguments"] = _object_text(function["arguments"], mend)
    return param


def _object_text(text: str, mend: Callable[[str], str] | None) -> str:
    if _is_object(text):
        return text
    if not text.strip() or text.strip() == "null":
        return "{}"
    if mend is not None:
        try:
            return mend(text)
        except ValueError:
            pass
    return json.dumps({INVALID_ARGUMENTS: text}, ensure_ascii=False)


def unreadable_text(arguments: str) -> str | None:
    """Return the text that `sendable_param` has wrapped because it is no JSON object.

    Args:
        arguments: JSON text of a call that was sent back.

    Returns:
        The model's own text; None if it was readable.
    """
    if INVALID_ARGUMENTS not in arguments:
        return None
    try:
        value: object = pydantic_core.from_json(arguments)
    except (ValueError, TypeError):
        return None
    if not isinstance(value, dict):
        return None
    wrapped = cast("dict[str, object]", value)
    text = wrapped.get(INVALID_ARGUMENTS)
    return text if isinstance(text, str) and len(wrapped) == 1 else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(pydantic_core.from_json(text), dict)
    except (ValueError, TypeError):
        return False

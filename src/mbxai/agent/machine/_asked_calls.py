"""The calls of tools that an assistant message asks for, and what is too much of them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import mbxai.agent.machine._prompts as prompts

MAX_CALLS: Final = 50
"""Most calls in one message; of a message with more, none is run."""

MAX_ARGUMENT_CHARS: Final = 262_144
"""Longest JSON text of a call's arguments; a longer one is not kept either."""

_NO_ARGUMENTS: Final = "{}"


class AskedCall(NamedTuple):
    """One call.

    Attributes:
        call_id: An id that no other call of the message has.
        arguments: JSON text as the model wrote it.
        refusal: Why it cannot be run, for the model; empty if nothing speaks against it.
    """

    call_id: str
    name: str
    arguments: str
    refusal: str = ""


def asked_calls(message: Mapping[str, Any]) -> list[AskedCall]:  # Any: a message of the wire
    """Return the calls in an assistant message, in its order.

    Args:
        message: The message as it goes back to the model.

    Returns:
        At most `MAX_CALLS` calls; if there were more, all are refused.
    """
    given = list(message.get("tool_calls") or ())
    refusal = prompts.TOO_MANY_CALLS if len(given) > MAX_CALLS else ""
    first = given[:MAX_CALLS]
    return [_asked(*pair, refusal) for pair in zip(first, _unique_ids(first), strict=True)]


def kept(message: Mapping[str, Any], calls: list[AskedCall]) -> dict[str, Any]:
    """Return an assistant message as it stays in the conversation.

    Args:
        message: The message as it goes back to the model.
        calls: Its calls, as `asked_calls` gives them.

    Returns:
        The message with these calls alone, under their own ids, and with nothing else changed.
    """
    given = message.get("tool_calls") or ()
    if all(
        not call.refusal and call.call_id == raw["id"]
        for raw, call in zip(given, calls, strict=False)
    ):
        return dict(message)
    shortened: list[dict[str, Any]] = [
        {
            **raw,
            "id": call.call_id,
            "function": {**raw["function"], "arguments": call.arguments},
        }
        for raw, call in zip(given, calls, strict=False)
    ]
    return {**message, "tool_calls": shortened}


def _unique_ids(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the calls' ids; one that came before gets a number, lest one result end both calls."""
    taken = {str(call["id"]) for call in calls}
    ids: list[str] = []
    for call in calls:
        given = call_id = str(call["id"])
        number = 2
        while call_id in ids or (call_id != given and call_id in taken):
            call_id, number = f"{given}_{number}", number + 1
        ids.append(call_id)
    return ids


def _asked(call: Mapping[str, Any], call_id: str, refusal: str) -> AskedCall:
    function = call["function"]
    name, arguments = str(function.get("name") or ""), str(function.get("arguments") or "")
    if len(arguments) > MAX_ARGUMENT_CHARS:
        refusal, arguments = refusal or prompts.TOO_LONG_ARGUMENTS, _NO_ARGUMENTS
    return AskedCall(call_id, name, arguments, refusal)

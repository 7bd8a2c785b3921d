"""Ids of tool calls that tell the calls of a conversation apart; pure."""

import hashlib
import json
from collections.abc import Collection
from typing import TypeVar

from mbxai.wire._completion import Message, ToolCallPart

M = TypeVar("M", bound=Message)


def with_unique_call_ids(message: M, taken: Collection[str] = (), *, seed: str = "") -> M:
    """Return a message whose tool calls have ids that nothing else has.

    Providers leave ids out, give the same one twice, or count from zero in every answer; the
    results could then not be told apart.

    Args:
        message: An assistant message; it is not changed.
        taken: Ids of earlier calls of the same conversation.
        seed: What tells this answer from others, such as its own id. The same arguments always
            give the same ids.

    Returns:
        The message itself if all is well, else a copy in which calls without an id, or with one
        that is taken, have a new one.
    """
    known = set(taken)
    calls: list[ToolCallPart] = []
    for index, call in enumerate(message.tool_calls or ()):
        call_id = call.id
        if not call_id or call_id in known:
            call_id = _free_id(call, f"{seed}:{index}", known)
        known.add(call_id)
        calls.append(call if call_id == call.id else call.model_copy(update={"id": call_id}))
    if all(new is old for new, old in zip(calls, message.tool_calls or (), strict=True)):
        return message
    return message.model_copy(update={"tool_calls": calls})


def _free_id(call: ToolCallPart, place: str, known: set[str]) -> str:
    for number in range(len(known) + 1):
        facts = [place, number, call.function.name, call.function.arguments]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        if (call_id := f"call_{digest[:24]}") not in known:
            return call_id
    raise AssertionError  # more tries than ids are taken

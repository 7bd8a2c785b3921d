"""Where a conversation that was given to us stopped: calls that have no result yet; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mbxai.errors import ConfigurationError
from mbxai.tools._call import ToolApproval, ToolCall
from mbxai.wire import ChatCompletion, Choice, Message


def unanswered_calls(messages: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """Return the calls at the end of a conversation that have no result.

    Args:
        messages: The conversation, oldest message first.

    Returns:
        Calls of the last assistant message, in its order; none if anything but results follows it.
    """
    assistant, answered = _last_round(messages)
    if assistant is None:
        return []
    calls = cast("Sequence[Mapping[str, Any]]", assistant.get("tool_calls") or ())
    open_calls: list[ToolCall] = []
    for call in calls:
        function = cast("Mapping[str, Any]", call.get("function") or {})
        call_id = str(call.get("id") or "")
        if call_id not in answered:
            name, arguments = function.get("name"), function.get("arguments")
            open_calls.append(ToolCall(call_id, str(name or ""), str(arguments or "")))
    return open_calls


def last_answer(messages: Sequence[Mapping[str, Any]]) -> ChatCompletion:
    """Return the model's last message as the answer that it once was.

    Args:
        messages: A conversation whose last assistant message calls tools.
    """
    assistant, _ = _last_round(messages)
    message = Message.from_object(dict(assistant or {}))
    return ChatCompletion(choices=[Choice(message=message, finish_reason="tool_calls")])


def check_answers(
    calls: Sequence[ToolCall], results: Mapping[str, object], approvals: Sequence[ToolApproval]
) -> None:
    """Refuse answers to calls that do not wait for one.

    Args:
        calls: What waits.
        results: By call id.
        approvals: Words of people.

    Raises:
        ConfigurationError: A result or an approval belongs to no call that waits.
    """
    waiting = {call.id for call in calls}
    strangers = [name for name in results if name not in waiting]
    strangers += [word.call_id for word in approvals if word.call_id not in waiting]
    if strangers:
        raise ConfigurationError(
            f"No call waits for {', '.join(map(repr, strangers))[:300]}.",
            hint="The messages must end with the calls: pass `answer.run.messages`.",
        )


def _last_round(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[Mapping[str, Any] | None, set[str]]:
    answered: set[str] = set()
    for message in reversed(messages):
        if message.get("role") == "tool":
            answered.add(str(message.get("tool_call_id")))
        elif message.get("role") == "assistant" and message.get("tool_calls"):
            return message, answered
        else:
            break
    return None, answered

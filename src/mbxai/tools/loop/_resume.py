"""Where a conversation that was given to us stopped: calls that have no result yet; pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mbxai.errors import ConfigurationError
from mbxai.tools._call import ToolApproval, ToolCall
from mbxai.wire import ChatCompletion, Choice, Message, unreadable_text


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
    return [_call_of(call) for call in calls if str(call.get("id") or "") not in answered]


def last_answer(messages: Sequence[Mapping[str, Any]]) -> ChatCompletion:
    """Return the model's last message as the answer that it once was.

    Args:
        messages: A conversation whose last assistant message calls tools.
    """
    assistant, _ = _last_round(messages)
    message = Message.from_object(dict(assistant or {}))
    return ChatCompletion(choices=[Choice(message=message, finish_reason="tool_calls")])


def check_messages(messages: Sequence[object]) -> None:
    """Refuse what is no conversation, and calls that were passed over.

    Args:
        messages: What the caller gave.

    Raises:
        ConfigurationError: It is no list of messages, a call in the middle has no result, or two
            calls that wait cannot be told apart.
    """
    given: Any = messages  # callers without a type checker pass anything
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"messages must be a list of messages, not a {type(messages).__name__}.",
            hint='Write [{"role": "user", "content": "..."}].',
        )
    waiting: dict[str, int] = {}
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ConfigurationError(
                f"messages[{number}] is a {type(message).__name__}, and no message."
            )
        said = cast("Mapping[str, Any]", message)
        if said.get("role") == "tool":
            waiting.pop(str(said.get("tool_call_id")), None)
            continue
        if waiting:
            raise ConfigurationError(
                f"messages[{number}] comes before the result of a call in"
                f" messages[{next(iter(waiting.values()))}].",
                hint="Let the next call take the waiting calls up first, with `approvals` or"
                " `tool_results`.",
            )
        ids = [str(call.get("id") or "") for call in said.get("tool_calls") or ()]
        if len(set(ids)) < len(ids) or "" in ids:
            raise ConfigurationError(
                f"Two calls in messages[{number}] have one id, or a call has none.",
                hint="Pass the messages of `answer.run`, in which all calls have their own.",
            )
        waiting = dict.fromkeys(ids, number)


def check_answers(
    calls: Sequence[ToolCall],
    results: Mapping[str, object],
    approvals: Sequence[ToolApproval],
    is_external: Callable[[str], bool],
) -> None:
    """Refuse answers to calls that do not wait for one.

    Args:
        calls: What waits.
        results: By call id.
        approvals: Words of people.
        is_external: Says of a tool's name whether the application runs it.

    Raises:
        ConfigurationError: A result or an approval belongs to no call that waits, or a call that
            waits for its result was approved.
    """
    for word in approvals:
        name = next((call.name for call in calls if call.id == word.call_id), None)
        if name is not None and is_external(name):
            raise ConfigurationError(
                f"Calls of {name} wait for their result, not for an approval.",
                hint='Pass `tool_results` for calls whose `reason` is "external".',
            )
    waiting = {call.id for call in calls}
    strangers = [name for name in results if name not in waiting]
    strangers += [word.call_id for word in approvals if word.call_id not in waiting]
    if strangers:
        raise ConfigurationError(
            f"No call waits for {', '.join(map(repr, strangers))[:300]}.",
            hint="The messages must end with the calls: pass `answer.run.messages`.",
        )


def _call_of(call: Mapping[str, Any]) -> ToolCall:
    function = cast("Mapping[str, Any]", call.get("function") or {})
    given: object = function.get("arguments")
    # Some servers send an object where the protocol has its text.
    arguments = json.dumps(given) if isinstance(given, Mapping) else str(given or "")
    own = unreadable_text(arguments)
    return ToolCall(
        str(call.get("id") or ""),
        str(function.get("name") or ""),
        arguments if own is None else own,
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

"""Compares what became of a conversation with what was planned; raises AssertionError."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from support.tool_world_plan import Answer, Plan, Told, Turn, expected_outcome, plain
from support.tool_world_player import Record, Summary, TurnRecord

Message = Mapping[str, Any]


def judge(plan: Plan, record: Record) -> None:
    """Compare everything.

    Args:
        plan: What was planned.
        record: What happened.
    """
    expected = expected_outcome(plan)
    difference = Counter(record.runs)
    difference.subtract(Counter(expected.runs))
    surplus = {key: n for key, n in difference.items() if n}
    assert surplus == {}, f"other runs than were meant: {surplus}"
    state = plain(record.state)
    assert state == expected.state, f"another final state: {state}, not {expected.state}"
    told = iter(expected.told)
    for turn, played in zip(plan.turns, record.turns, strict=True):
        _judge_requests(turn, played)
        _judge_answer(plan, turn, played)
        assert played.kept == played.before, "the caller's messages were changed"
        assert [*played.before, *played.new] == list(played.after)
        _judge_messages(turn, played.new, told)
    _judge_ids(record.turns[-1].after)
    assert next(told, None) is None


def _judge_answer(plan: Plan, turn: Turn, played: TurnRecord) -> None:
    last = turn.answers[-1]
    assert played.completion is not None
    if turn.wants_data:
        assert played.parsed == Summary(**last.data)
    else:
        assert played.completion.text == last.text
        said = "\n\n".join(answer.text for answer in turn.answers if answer.text)
        assert played.heard == (said if plan.is_streamed else last.text)
    usage = played.usage
    assert usage is not None
    prompt, said_tokens, cost = (sum(a.usage[i] for a in turn.answers) for i in range(3))
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, said_tokens)
    assert (usage.total_tokens, usage.cost) == (prompt + said_tokens, cost / 1024)


# --- requests -------------------------------------------------------------------------------------


def _judge_requests(turn: Turn, played: TurnRecord) -> None:
    """Each request is the one before and what came since; a failed one is repeated as it was."""
    bodies = iter(played.bodies)
    length = len(played.before)
    for index, answer in enumerate(turn.answers):
        body = next(bodies)
        if answer.trouble:
            assert next(bodies) == body, "a repeated request differs"
        sent = body["messages"]
        assert sent == list(played.after[:length]), "earlier messages were changed"
        is_typed = turn.wants_data and index == len(turn.answers) - 1
        assert ("tools" in body) is not is_typed
        assert ("response_format" in body) is is_typed
        if turn.tool_choice is not None and not is_typed:
            assert body["tool_choice"] == ("auto" if index else turn.tool_choice)
        if answer.calls:
            length += 1 + len(answer.calls)
    assert next(bodies, None) is None, "more requests than answers"
    assert len(played.after) == length + 1, "the answer is not the last message"


# --- messages -------------------------------------------------------------------------------------


def _judge_messages(turn: Turn, new: Sequence[Message], told: Any) -> None:
    messages = iter(new)
    for answer in turn.rounds:
        assistant = next(messages)
        _judge_assistant(answer, assistant)
        results = [next(messages) for _ in answer.calls]
        for call, result in zip(assistant["tool_calls"], results, strict=True):
            assert result["role"] == "tool"
            assert result["tool_call_id"] == call["id"], "a result answers another call"
        _judge_results(answer, results, [next(told) for _ in answer.calls])
    last = next(messages)
    answer = turn.answers[-1]
    assert last["role"] == "assistant"
    assert not last.get("tool_calls")
    if turn.wants_data:
        assert json.loads(last["content"]) == answer.data
    else:
        assert last["content"] == answer.text
        assert last.get("reasoning_details", []) == list(answer.details)
    assert next(messages, None) is None


def _judge_assistant(answer: Answer, message: Message) -> None:
    assert message["role"] == "assistant"
    assert (message["content"] or "") == answer.text
    assert message.get("reasoning_details", []) == list(answer.details), "reasoning was changed"
    for call, sent in zip(answer.calls, _calls(message), strict=True):
        # A name that no tool can have is refused by servers, and goes back as one that can be.
        proper = re.sub(r"[^a-zA-Z0-9_-]", "_", call.tool)
        proper = proper if proper == call.tool else f"invalid_{proper}"
        assert sent["function"]["name"] == proper, "a name was changed"
        text = sent["function"]["arguments"]
        # Servers read the arguments again; what is no object may go back as one.
        is_mended = not _is_object(call.text) and _is_object(text)
        assert text == call.text or is_mended, "arguments were changed"
    for call, given in zip(_calls(message), answer.ids, strict=True):
        if given.startswith("toolu_"):  # unique and not empty
            assert call["id"] == given, "an id was changed"


def _judge_results(answer: Answer, results: Sequence[Message], told: Sequence[Told]) -> None:
    # The same call twice in one round: nobody knows which of the two came first.
    by_call: dict[tuple[str, str], tuple[list[str], list[Told]]] = {}
    for call, result, one in zip(answer.calls, results, told, strict=True):
        op = call.op
        key = (op.tool, repr(sorted(op.arguments.items()))) if op else (call.tool, call.text)
        texts, values = by_call.setdefault(key, ([], []))
        texts.append(result["content"])
        values.append(one)
    for key, (texts, values) in by_call.items():
        left = list(texts)
        for one in values:
            fitting = [text for text in left if _fits(text, one)]
            assert fitting, f"{key} was told {left}, not {one}"
            left.remove(fitting[0])


def _fits(text: str, told: Told) -> bool:
    if told.is_failure:
        return told.value in text
    if isinstance(told.value, str):
        return text == told.value
    try:
        return bool(json.loads(text) == told.value)
    except ValueError:
        return False


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _judge_ids(messages: Sequence[Message]) -> None:
    ids = [call["id"] for message in messages for call in _calls(message)]
    assert all(ids), "a call has no id"
    assert len(set(ids)) == len(ids), "two calls have the same id"


def _calls(message: Message) -> Sequence[Mapping[str, Any]]:
    return message.get("tool_calls") or ()

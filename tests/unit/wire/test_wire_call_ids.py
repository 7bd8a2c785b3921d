"""Ids of tool calls: unique in a conversation, and the same each time they are made."""

from typing import Any

from mbxai.wire import Message, ParsedMessage, with_unique_call_ids


def message(*ids: str | None, kind: Any = Message) -> Message:
    calls = [{"id": i, "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return kind.from_object({"tool_calls": calls, "content": "text", "other": 1})


def ids_of(message: Message) -> list[str]:
    return [call.id for call in message.tool_calls or ()]


def test_missing_and_repeated_ids_become_unique_and_the_message_stays_as_it_was() -> None:
    given = message(None, "x", "x", "")
    unique = with_unique_call_ids(given)
    ids = ids_of(unique)
    assert ids[1] == "x"
    assert len(set(ids)) == 4
    assert all(ids)
    assert ids_of(given) == ["", "x", "x", ""]
    assert unique.model_extra == {"other": 1}


def test_ids_of_earlier_calls_are_not_used_again() -> None:
    first = ids_of(with_unique_call_ids(message("", "a")))
    second = ids_of(with_unique_call_ids(message("", "a"), first))
    assert not set(first) & set(second)
    assert ids_of(with_unique_call_ids(message("b"), first)) == ["b"]


def test_the_same_answer_has_the_same_ids_and_another_answer_has_others() -> None:
    once = with_unique_call_ids(message("", ""), seed="gen-1")
    assert with_unique_call_ids(message("", ""), seed="gen-1") == once
    assert not set(ids_of(with_unique_call_ids(message("", ""), seed="gen-2"))) & set(ids_of(once))


def test_what_needs_no_change_is_given_back_itself() -> None:
    for given in (message("a", "b"), message(), Message(content="text")):
        assert with_unique_call_ids(given) is given
    parsed = with_unique_call_ids(message("", kind=ParsedMessage))
    assert type(parsed) is ParsedMessage
    assert parsed.parsed is None

import json

import pytest

from mbxai.wire._anthropic_messages import MessageBuilder, MessageEvent, MessageResult

START = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "anthropic/claude-sonnet-4",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "provider": "Anthropic",
    "usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 9},
}


def delta(index, **fields):
    return {"type": "content_block_delta", "index": index, "delta": fields}


def block(index, **fields):
    return {"type": "content_block_start", "index": index, "content_block": fields}


EVENTS = [
    {"type": "message_start", "message": START},
    {"type": "ping"},
    block(0, type="thinking", thinking="", signature=""),
    delta(0, type="thinking_delta", thinking="h"),
    delta(0, type="thinking_delta", thinking="m"),
    delta(0, type="signature_delta", signature="sig=="),
    {"type": "content_block_stop", "index": 0},
    block(1, type="text", text=""),
    delta(1, type="text_delta", text="Hel"),
    delta(1, type="text_delta", text="lo"),
    delta(1, type="citations_delta", citation={"type": "char_location", "cited_text": "x"}),
    {"type": "content_block_stop", "index": 1},
    block(2, type="tool_use", id="t1", name="f", input={}),
    delta(2, type="input_json_delta", partial_json=""),
    delta(2, type="input_json_delta", partial_json='{"b" : 1,'),
    delta(2, type="input_json_delta", partial_json=' "a":"\\u00e4"}'),
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 20, "cost": 0.001, "cache_read_input_tokens": None},
    },
    {"type": "message_stop", "openrouter_metadata": {"attempt": 1}},
]
WHOLE = {
    **START,
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {
            "type": "text",
            "text": "Hello",
            "citations": [{"type": "char_location", "cited_text": "x"}],
        },
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": "ä"}},
    ],
    "stop_reason": "tool_use",
    "usage": {
        "input_tokens": 3,
        "output_tokens": 20,
        "cache_read_input_tokens": 9,
        "cost": 0.001,
    },
    "openrouter_metadata": {"attempt": 1},
}


def builder_of(*events):
    builder = MessageBuilder()
    for event in events:
        builder.add(MessageEvent.from_wire(json.dumps(event).encode()))
    return builder


def test_the_events_add_up_to_the_message_that_came_without_a_stream():
    builder = builder_of(*EVENTS)
    message = builder.build()
    assert message.to_dict() == WHOLE
    assert message.to_dict() == MessageResult.from_wire(json.dumps(WHOLE).encode()).to_dict()
    assert builder.is_whole
    assert message.text == "Hello"
    assert message.usage.cost == 0.001
    assert message.provider == "Anthropic"


def test_arguments_stay_byte_for_byte_as_the_pieces_came():
    [call] = builder_of(*EVENTS).build().tool_uses
    assert call.input_json == '{"b" : 1, "a":"\\u00e4"}'
    assert call.input == {"b": 1, "a": "ä"}


def test_a_message_that_broke_off_is_not_complete_and_keeps_what_came():
    builder = builder_of(*EVENTS[:15])
    message = builder.build()
    assert not builder.is_whole
    assert not message.is_complete()
    assert message.text == "Hello"
    assert message.tool_uses[0].input == {}
    assert message.tool_uses[0].input_json == '{"b" : 1,'


def test_adding_goes_on_after_a_message_was_built():
    builder = builder_of(*EVENTS[:9])
    assert builder.build().text == "Hel"
    for event in EVENTS[9:]:
        builder.add(MessageEvent.from_object(event))
    assert builder.build().to_dict() == WHOLE


@pytest.mark.parametrize(
    ("reason", "is_complete"),
    [
        ("end_turn", True),
        ("tool_use", True),
        ("stop_sequence", True),
        ("max_tokens", False),
        ("pause_turn", False),
        (None, False),
    ],
)
def test_a_message_that_was_cut_is_not_complete(reason, is_complete):
    assert MessageResult.from_object(START | {"stop_reason": reason}).is_complete() is is_complete


def test_odd_and_unknown_fields_come_back_as_they_were():
    odd = {
        **START,
        "content": [{"type": "of_tomorrow", "text": 5}, {"type": "text", "text": "a"}],
        "usage": {"input_tokens": None, "server_tool_use": {"web_search_requests": 1}},
        "container": None,
    }
    message = MessageResult.from_wire(json.dumps(odd).encode())
    assert message.to_dict() == odd
    assert message.text == "a"
    assert message.to_param() == {"role": "assistant", "content": odd["content"]}


def test_deltas_of_tomorrow_are_kept():
    message = builder_of(
        *EVENTS[:1],
        block(0, type="compaction", content=None),
        delta(0, type="compaction_delta", content="short"),
        delta(0, type="score_delta", score=3),
        {"type": "message_delta", "delta": {"container": {"id": "c"}}, "context_management": {}},
        {"type": "message_stop"},
    ).build()
    fields = message.to_dict()
    assert fields["content"] == [{"type": "compaction", "content": "short", "score": 3}]
    assert fields["container"] == {"id": "c"}
    assert fields["context_management"] == {}


def test_arguments_of_a_message_that_came_whole_are_json_of_its_input():
    [call] = MessageResult.from_object(WHOLE).tool_uses
    assert call.input_json == '{"b":1,"a":"ä"}'

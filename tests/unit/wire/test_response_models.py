import json

import pytest

from mbxai.wire._response_events import ResponseBuilder, ResponseEvent
from mbxai.wire._responses import Response

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a" :1}'}


def response(**fields):
    return {"id": "gen-1", "object": "response", "created_at": 1, "output": [MESSAGE], **fields}


def built(*events):
    builder = ResponseBuilder()
    for event in events:
        builder.add(ResponseEvent.from_wire(json.dumps(event).encode()))
    return builder.build()


def test_text_is_joined_over_parts_and_messages_but_not_from_thoughts_or_tools():
    thoughts = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    fetched = {"type": "openrouter:web_fetch", "content": "a page"}
    result = Response.from_object(response(output=[thoughts, MESSAGE, fetched, MESSAGE]))
    assert result.output_text == "HelloHello"
    assert result.output[2].text == "a page"


def test_an_empty_output_text_on_the_wire_does_not_hide_the_text_and_is_kept():
    payload = response(output_text="")
    result = Response.from_object(payload)
    assert result.output_text == "Hello"
    assert result.to_dict() == payload


@pytest.mark.parametrize(
    ("fields", "is_complete"),
    [
        ({}, True),
        ({"status": "completed"}, True),
        ({"status": "completed", "incomplete_details": None}, True),
        ({"status": "a word of tomorrow"}, True),
        ({"status": "incomplete"}, False),
        ({"status": "in_progress"}, False),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, False),
    ],
)
def test_an_answer_that_was_cut_is_not_complete(fields, is_complete):
    assert Response.from_object(response(**fields)).is_complete() is is_complete


def test_odd_fields_cost_nothing_and_come_back_as_they_were():
    odd = response(
        usage={"input_tokens": None, "output_tokens": 2, "cost": "free"},
        output=[{**MESSAGE, "content": 7}, {**CALL, "arguments": {"a": 1}}],
        model=None,
        of_tomorrow={"a": [1]},
    )
    result = Response.from_wire(json.dumps(odd).encode())
    assert result.to_dict() == odd
    assert result.usage.output_tokens == 2
    assert result.function_calls[0].name == "f"


def test_items_go_back_as_they_came_and_a_message_gets_the_status_it_needs():
    thoughts = {"type": "reasoning", "id": "rs", "summary": [], "signature": "s", "format": "x"}
    bare = {key: value for key, value in MESSAGE.items() if key != "status"}
    result = Response.from_object(response(output=[thoughts, bare, CALL]))
    assert result.to_input() == [thoughts, MESSAGE, CALL]
    assert "status" not in result.to_dict()["output"][1]


def test_the_last_event_is_the_whole_response_also_where_a_field_is_odd():
    whole = response(status="completed", usage={"input_tokens": "many"}, model=None)
    result = built(
        {"type": "response.created", "response": response(output=[], status="in_progress")},
        {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        {"type": "response.completed", "response": whole},
    )
    assert result.to_dict() == whole


def test_a_last_event_without_output_gets_the_items_that_came_before_it():
    result = built(
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.completed", "response": response(output=[], status="completed")},
    )
    assert result.output_text == "Hello"
    assert result.is_complete()


def test_deltas_add_up_where_the_stream_broke_off():
    delta = {"type": "response.output_text.delta", "output_index": 1, "content_index": 0}
    result = built(
        {"type": "response.created", "response": response(output=[], status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
        {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "long"},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}},
        delta | {"delta": "Hel"},
        delta | {"delta": "lo"},
        delta | {"content_index": 1, "delta": "!"},
        {"type": "response.output_item.added", "output_index": 2, "item": CALL | {"arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": " :1"},
    )
    assert result.status == "in_progress"
    assert not result.is_complete()
    assert result.output_text == "Hello!"
    assert result.output[0].summary[0].text == "hm"
    assert result.output[0].content[0].text == "long"
    assert result.function_calls[0].arguments == '{"a" :1'
    assert result.function_calls[0].call_id == "c1"


def test_whole_arguments_replace_the_pieces_and_a_whole_item_replaces_both():
    added = {"type": "response.output_item.added", "output_index": 0, "item": CALL}
    piece = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{"}
    done = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{} "}
    assert built(added, piece, done).output[0].arguments == "{} "
    whole = {"type": "response.output_item.done", "output_index": 0, "item": CALL}
    assert built(added, piece, done, whole).output[0].arguments == CALL["arguments"]


def test_a_delta_of_an_item_that_nobody_announced_makes_one():
    result = built({"type": "response.output_text.delta", "delta": "Hi"})
    assert result.output_text == "Hi"
    text = {"type": "response.reasoning_text.delta", "output_index": 4, "delta": "hm"}
    assert built(text).output[0].type == "reasoning"
    piece = {"type": "response.custom_tool_call_input.delta", "delta": "x"}
    assert built(piece).output[0].input == "x"

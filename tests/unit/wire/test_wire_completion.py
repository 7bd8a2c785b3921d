import json
import pickle

import pytest
from pydantic import ValidationError

from mbxai.wire import Attempt, ChatCompletion, Message, ParsedChatCompletion, ResponseInfo


def test_fields_that_come_as_null_count_as_absent():
    answer = ChatCompletion.from_object(
        {
            "id": None,
            "choices": [
                {
                    "index": None,
                    "message": {
                        "role": None,
                        "content": None,
                        "tool_calls": [
                            {"id": None, "type": None, "function": {"name": "f", "arguments": None}}
                        ],
                    },
                }
            ],
            "usage": {"prompt_tokens": None},
        }
    )
    assert answer.choices[0].message.tool_calls[0].function.arguments == ""
    assert answer.usage.prompt_tokens == 0
    assert ChatCompletion.from_wire(b'{"choices": null}').choices == []


def test_content_parts_are_joined_to_text():
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert Message.from_object({"content": parts}).content == "ab"


def test_a_message_goes_back_with_its_argument_text_and_reasoning_unchanged():
    message = Message.from_object(
        {
            "content": "",
            "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"b": 1,  "a":2}'}}],
            "reasoning_details": [{"type": "new", "x": {"y": [1, None]}}],
        }
    )
    param = message.to_param()
    assert param["content"] is None
    assert param["tool_calls"][0]["function"]["arguments"] == '{"b": 1,  "a":2}'
    assert param["reasoning_details"] == [{"type": "new", "x": {"y": [1, None]}}]


def test_a_completion_survives_pickle_with_its_origin():
    answer = ChatCompletion(id="x")
    once = Attempt(1, "POST", "chat/completions", 0.0, 0.5, 429, "RateLimitError", 1.0)
    twice = Attempt(2, "POST", "chat/completions", 1.5, 0.5, 200)
    headers = {"x-request-id": "r", "x-generation-id": "g"}
    answer.set_response(ResponseInfo(200, headers, (once, twice)))
    again = pickle.loads(pickle.dumps(answer))
    assert (again.request_id, again.generation_id, again.attempts) == ("r", "g", 2)
    assert again.history == (once, twice)
    assert again.response.elapsed == 2.0


def test_a_parsed_completion_needs_no_type_argument_at_run_time():
    assert ParsedChatCompletion.model_validate({"choices": [{}]}).choices[0].message.parsed is None


def test_what_came_can_be_read_back_even_where_a_field_could_not_hold_it():
    came = {
        "id": None,
        "created": "yesterday",
        "new": {"deep": [1, None]},
        "choices": [{"message": {"content": [{"type": "text", "text": "a"}]}, "logprobs": [1]}],
    }
    answer = ChatCompletion.from_wire(json.dumps(came).encode())
    assert (answer.id, answer.created, answer.text) == ("", None, "a")
    assert answer.to_dict() == came


def test_an_answer_without_oddities_gives_back_what_came():
    came = {"id": "x", "choices": [{"message": {"content": "a", "refusal": None}}], "usage": None}
    assert ChatCompletion.from_wire(json.dumps(came).encode()).to_dict() == came


def test_half_a_surrogate_pair_does_not_cost_the_answer():
    answer = ChatCompletion.from_wire(b'{"choices": [{"message": {"content": "a\\ud83d b"}}]}')
    assert answer.text == "a\ufffd b"


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b'"text"', b"[" * 10_000, b"\xff\xfe"])
def test_what_is_no_object_is_no_model(body):
    with pytest.raises(ValidationError):
        ChatCompletion.from_wire(body)


def test_one_odd_place_does_not_take_its_neighbours_along():
    body = b'{"usage": {"prompt_tokens": 1, "cost": {"a": 1}}, "choices": [{"error": [1]}]}'
    answer = ChatCompletion.from_wire(body)
    assert answer.usage.prompt_tokens == 1
    assert answer.usage.cost is None
    assert len(answer.choices) == 1

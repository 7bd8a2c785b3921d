import pickle

from mbxai.wire import ChatCompletion, Message, ParsedChatCompletion


def test_fields_that_come_as_null_count_as_absent():
    answer = ChatCompletion.model_validate(
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
    assert ChatCompletion.model_validate({"choices": None}).choices == []


def test_content_parts_are_joined_to_text():
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert Message(content=parts).content == "ab"


def test_a_message_goes_back_with_its_argument_text_and_reasoning_unchanged():
    message = Message.model_validate(
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
    answer.set_origin(request_id="r", generation_id="g", attempts=2, headers={"a": "b"})
    again = pickle.loads(pickle.dumps(answer))
    assert (again.request_id, again.generation_id, again.attempts) == ("r", "g", 2)


def test_a_parsed_completion_needs_no_type_argument_at_run_time():
    assert ParsedChatCompletion.model_validate({"choices": [{}]}).choices[0].message.parsed is None

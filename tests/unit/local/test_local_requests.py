"""What a request becomes for the local server."""

import json

import pytest

from mbxai.local._prompt import plain_messages, shortened, with_tools
from mbxai.local._requests import RequestRules, prepared
from mbxai.local._tool_calls import as_chunks, call_schema, offered_tools, with_tool_call

READ = {
    "name": "read_file",
    "description": "Read a file.\nSecond line.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    },
}
NOW = {"name": "now"}
TOOLS = [{"type": "function", "function": READ}, {"type": "function", "function": NOW}]
ASK = {"role": "user", "content": "Read a.txt"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "one\n\ntwo"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
WANTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


def rules(**changes) -> RequestRules:
    given = {
        "is_constrained": True,
        "has_llguidance": True,
        "temperature": 0.0,
        "max_tokens": 512,
        "context_tokens": 4096,
    }
    return RequestRules(**{**given, **changes})


def test_a_request_that_says_everything_keeps_it():
    body = {"messages": [ASK], "temperature": 0.7, "max_tokens": 9, "stop": ["x"]}
    request = prepared(body, rules()).body
    assert (request["temperature"], request["max_tokens"], request["stop"]) == (0.7, 9, ["x"])


def test_a_request_that_says_nothing_gets_the_settings():
    request = prepared({"messages": [ASK], "temperature": None}, rules(temperature=0.3)).body
    assert request["temperature"] == 0.3
    assert request["max_tokens"] == 200
    assert request["cache_prompt"] is True


def test_streams_end_with_their_usage():
    request = prepared({"messages": [ASK], "stream": True}, rules()).body
    assert request["stream_options"] == {"include_usage": True}


def test_max_completion_tokens_counts_as_a_limit():
    request = prepared({"messages": [ASK], "max_completion_tokens": 7}, rules()).body
    assert "max_tokens" not in request


def test_native_requests_go_through_with_their_tools_and_schemas():
    body = {"messages": [ASK], "tools": TOOLS, "response_format": WANTED}
    change = prepared(body, rules(is_constrained=False))
    assert change.body == {**body, "temperature": 0.0, "max_tokens": 512, "cache_prompt": True}
    assert not change.is_tool_call


def test_a_wanted_schema_becomes_a_grammar():
    request = prepared({"messages": [ASK], "response_format": WANTED}, rules()).body
    assert "response_format" not in request
    assert request["grammar"].startswith("%llguidance")
    assert request["max_tokens"] == 512


def test_without_llguidance_the_short_schema_is_sent():
    body = {"messages": [ASK], "response_format": WANTED}
    request = prepared(body, rules(has_llguidance=False)).body
    assert "grammar" not in request
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["a"]["maxLength"] == 100


def test_json_without_a_schema_is_left_to_the_engine():
    body = {"messages": [ASK], "response_format": {"type": "json_object"}}
    request = prepared(body, rules()).body
    assert request["response_format"] == {"type": "json_object"}
    assert "stop" not in request


def test_a_person_who_asks_with_tools_gets_a_call():
    change = prepared({"messages": [ASK], "tools": TOOLS, "response_format": WANTED}, rules())
    assert change.is_tool_call
    assert not {"tools", "tool_choice", "response_format"} & set(change.body)
    assert "read_file(path): Read a file." in change.body["messages"][-1]["content"]
    assert "Task: Read a.txt" in change.body["messages"][-1]["content"]
    assert "Second line" not in change.body["messages"][-1]["content"]


def test_after_a_result_the_model_answers_in_words():
    change = prepared({"messages": [ASK, CALL, RESULT], "tools": TOOLS}, rules())
    assert not change.is_tool_call
    assert "grammar" not in change.body
    assert "tools" not in change.body
    roles = [message["role"] for message in change.body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert change.body["messages"][-1]["content"].startswith("The tool read_file says:\none\ntwo\n")


def test_a_wanted_schema_is_met_after_a_result():
    body = {"messages": [ASK, CALL, RESULT], "tools": TOOLS, "response_format": WANTED}
    change = prepared(body, rules())
    assert not change.is_tool_call
    assert "grammar" in change.body


@pytest.mark.parametrize(
    ("choice", "messages", "names"),
    [
        (None, [ASK], ["read_file", "now"]),
        ("auto", [ASK, CALL, RESULT], []),
        ("required", [ASK, CALL, RESULT], ["read_file", "now"]),
        ("none", [ASK], []),
        ({"type": "function", "function": {"name": "now"}}, [ASK], ["now"]),
        ({"type": "function", "function": {"name": "other"}}, [ASK], []),
        ("auto", [], ["read_file", "now"]),
    ],
)
def test_tool_choice_decides_which_tools_are_offered(choice, messages, names):
    body = {"messages": messages, "tools": TOOLS, "tool_choice": choice}
    assert [function["name"] for function in offered_tools(body)] == names


def test_no_tools_are_no_offer():
    assert offered_tools({"messages": [ASK]}) == []


def test_the_schema_of_a_call_names_the_tool_and_bounds_its_arguments():
    schema = call_schema([READ, NOW])
    first, second = schema["anyOf"]
    assert first["properties"]["name"] == {"const": "read_file"}
    assert first["properties"]["arguments"]["properties"]["path"]["maxLength"] == 100
    assert second["properties"]["arguments"]["properties"] == {}
    assert call_schema([READ]) == first


def test_json_becomes_a_tool_call():
    text = json.dumps({"name": "read_file", "arguments": {"path": "a.txt"}})
    completion = answer(text)
    changed = with_tool_call(completion, call_id="call_1")
    choice = changed["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["id"] == "call_1"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {
        "path": "a.txt"
    }
    assert completion == answer(text)


@pytest.mark.parametrize("text", ['{"name": "read_f', "[1]", '{"name": 1, "arguments": {}}', ""])
def test_a_cut_call_stays_text(text):
    choice = with_tool_call(answer(text, "length"), call_id="x")["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == text


def test_calls_of_several_choices_have_ids_of_their_own():
    text = json.dumps({"name": "now", "arguments": {}})
    completion = answer(text)
    completion["choices"].append({**completion["choices"][0], "index": 1})
    ids = [
        choice["message"]["tool_calls"][0]["id"]
        for choice in with_tool_call(completion, call_id="c")["choices"]
    ]
    assert ids == ["c", "c_1"]


def test_a_whole_answer_can_be_streamed():
    chunks = as_chunks(answer("hi"))
    assert [len(chunk["choices"]) for chunk in chunks] == [1, 1, 0]
    assert chunks[0]["choices"][0]["delta"]["content"] == "hi"
    assert chunks[1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[2]["usage"] == {"total_tokens": 3}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_messages_become_plain():
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": None},
    ]
    assert plain_messages(messages, max_chars=1000) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "a\n\nb"},
    ]


def test_long_messages_are_cut_and_short_ones_are_whole():
    messages = [{"role": "system", "content": "s" * 50}, {"role": "user", "content": "u" * 5000}]
    plain = plain_messages(messages, max_chars=500)
    assert plain[0]["content"] == "s" * 50
    assert 400 < len(plain[1]["content"]) <= 450
    assert sum(len(message["content"]) for message in plain) <= 500


def test_the_beginning_and_the_end_of_a_cut_text_stay():
    text = shortened("a" * 100 + "b" * 100, 60)
    assert len(text) == 60
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert "[...]" in text


def test_long_results_are_cut():
    result = {"role": "tool", "tool_call_id": "c1", "content": "x" * 10_000}
    plain = plain_messages([ASK, CALL, result], max_chars=100_000)
    assert len(plain[-1]["content"]) < 900


def test_tools_are_offered_also_where_nobody_asked():
    assert "now(): " in with_tools([], [NOW])[-1]["content"]
    messages = with_tools([{"role": "assistant", "content": "Hm."}], [NOW])
    assert [message["role"] for message in messages] == ["assistant", "user"]


def test_what_is_no_conversation_is_left_to_the_engine():
    assert prepared({"prompt": "x"}, rules()).body["prompt"] == "x"


def test_the_conversation_leaves_room_for_the_answer():
    body = {"messages": [{"role": "user", "content": "x" * 9000}], "max_tokens": 256}
    request = prepared(body, rules(context_tokens=512)).body
    assert len(request["messages"][0]["content"]) < 600


def answer(text: str, reason: str = "stop") -> dict:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"total_tokens": 3},
    }

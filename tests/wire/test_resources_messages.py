"""`POST /messages` and its streams, over sockets."""

import json

import anyio
import pytest
from support.published_schema import properties_of, request_problems
from support.raw_server import RawServer, answer, drop, end, events, hang, part, sse_head, stream

from mbxai.errors import (
    BadRequestError,
    InvalidResponseError,
    OpenRouterAPIError,
    OpenRouterConfigurationError,
    ProviderStreamError,
    RateLimitError,
    StreamInterruptedError,
    StreamTruncatedError,
)
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.wire._anthropic_params import MessagesParams

USER = [{"role": "user", "content": "hi"}]
START = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "anthropic/claude-sonnet-4",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
WHOLE = {
    **START,
    "content": [
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 3, "output_tokens": 20, "cost": 0.001},
}
MESSAGE_START = {"type": "message_start", "message": {**START, "provider": "Anthropic"}}
PING = {"type": "ping"}
TEXT_START = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
TOOL_START = {
    "type": "content_block_start",
    "index": 1,
    "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
}


def text(piece):
    delta = {"type": "text_delta", "text": piece}
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def arguments(piece):
    delta = {"type": "input_json_delta", "partial_json": piece}
    return {"type": "content_block_delta", "index": 1, "delta": delta}


MESSAGE_DELTA = {
    "type": "message_delta",
    "delta": {"stop_reason": "tool_use", "stop_sequence": None},
    "usage": {"output_tokens": 20, "cost": 0.001},
}
STOP = {"type": "message_stop"}
EVENTS = [
    MESSAGE_START,
    PING,
    TEXT_START,
    text("Hel"),
    text("lo"),
    {"type": "content_block_stop", "index": 0},
    TOOL_START,
    arguments('{"b"'),
    arguments(" :1}"),
    {"type": "content_block_stop", "index": 1},
    MESSAGE_DELTA,
    STOP,
]


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient("sk-or-v1-m", "a/b", raw.base_url,
                                     retry_initial_delay=0.01) as made:  # fmt: skip
        yield made


@pytest.fixture
def messages(client):
    return client.messages


def named(*payloads):
    """Steps of a stream as Anthropic writes it: named events, and no `[DONE]`."""
    blocks = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in payloads]
    return [sse_head(), part("".join(blocks).encode()), end()]


def last_body(raw):
    return json.loads(raw.seen().requests[-1]["body"])


async def test_an_answer_comes_back_typed_and_whole(raw, messages):
    raw.script(answer(WHOLE, headers={"X-Generation-Id": "gen-9"}))
    result = await messages.create(USER, 100)
    assert result.to_dict() == WHOLE
    assert result.text == "Hello"
    assert result.tool_uses[0].input == {"b": 1}
    assert result.usage.cost == 0.001
    assert result.generation_id == "gen-9"
    assert result.is_complete()
    assert raw.seen().requests[0]["start"].startswith("POST /api/v1/messages ")


async def test_every_parameter_is_sent_as_the_published_schema_says(raw, messages):
    raw.script(answer(WHOLE))
    await messages.create(
        USER,
        2000,
        model="c/d",
        system="Be brief.",
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "low"},
        stop_sequences=["END"],
        temperature=1.0,
        top_p=0.9,
        top_k=4,
        stop_server_tools_when=[{"type": "step_count_is", "step_count": 2}],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        models=["e/f"],
        fallbacks=[{"model": "g/h"}],
        provider={"order": ["anthropic"]},
        plugins=[{"id": "web"}],
        route="fallback",
        service_tier="auto",
        speed="standard",
        cache_control={"type": "ephemeral"},
        session_id="s",
        user="u",
        metadata={"user_id": "u"},
        trace={"trace_id": "t"},
        include_metadata=True,
        extra_query={"beta": True},
    )
    body = last_body(raw)
    assert request_problems("/messages", body) == []
    assert set(body) == properties_of("MessagesRequest") - {"stream"}
    assert set(body) - {"model", "max_tokens", "messages"} <= set(MessagesParams.__annotations__)
    [request] = raw.seen().requests
    assert request["start"].startswith("POST /api/v1/messages?beta=true ")
    assert request["headers"]["x-openrouter-metadata"] == "enabled"


async def test_an_answer_goes_into_the_next_request(raw, messages):
    raw.script(answer(WHOLE))
    first = await messages.create(USER, 100)
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "2"}
    await messages.create([*USER, first, {"role": "user", "content": [result]}], 100)
    sent = last_body(raw)["messages"]
    assert sent[1] == {"role": "assistant", "content": WHOLE["content"]}
    assert request_problems("/messages", last_body(raw)) == []


async def test_a_cut_answer_is_a_result_that_is_not_complete(raw, messages):
    raw.script(answer({**WHOLE, "stop_reason": "max_tokens"}))
    assert not (await messages.create(USER, 1)).is_complete()


async def test_an_error_in_anthropics_shape_is_typed(raw, messages):
    told = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "Too long."},
        "request_id": None,
    }
    raw.script(answer(told, status=400))
    with pytest.raises(BadRequestError, match="Too long"):
        await messages.create(USER, 100)
    raw.script(answer(told))
    with pytest.raises(OpenRouterAPIError, match="Too long"):
        await messages.create(USER, 100)


async def test_an_answer_without_content_is_no_message(raw, messages):
    raw.script(answer({"type": "message", "content": None}))
    with pytest.raises(InvalidResponseError, match="content"):
        await messages.create(USER, 100)


@pytest.mark.parametrize(
    ("given", "max_tokens", "params", "named_argument"),
    [
        ([], 9, {}, "messages"),
        ("hi", 9, {}, "messages"),
        (None, 9, {}, "messages"),
        ([{"content": "hi"}], 9, {}, r"messages\[0\]"),
        (USER, 0, {}, "max_tokens"),
        (USER, -1, {}, "max_tokens"),
        (USER, None, {}, "max_tokens"),
        (USER, 1.5, {}, "max_tokens"),
        (USER, 9, {"stop_sequences": "END"}, "stop_sequences"),
        (USER, 9, {"top_p": 2}, "top_p"),
        (USER, 9, {"session_id": "s" * 257}, "session_id"),
        (USER, 9, {"system": object()}, "system"),
    ],
)
@pytest.mark.parametrize("method", ["create", "stream"])
async def test_what_cannot_be_sent_is_named_before_anything_is_sent(
    raw, messages, method, given, max_tokens, params, named_argument
):
    raw.script(answer(WHOLE))
    with pytest.raises(OpenRouterConfigurationError, match=named_argument):
        await getattr(messages, method)(given, max_tokens, **params)
    assert raw.seen().requests == []


@pytest.mark.parametrize("script", [named(*EVENTS), stream(": OPENROUTER PROCESSING", *EVENTS)])
async def test_a_stream_gives_every_event_and_adds_up_to_the_answer(raw, messages, script):
    raw.script(script)
    async with await messages.stream(USER, 100) as opened:
        assert [event.to_dict() async for event in opened] == EVENTS
        final = await opened.get_final_message()
    assert final.to_dict() == {**WHOLE, "provider": "Anthropic"}
    assert final.tool_uses[0].input_json == '{"b" :1}'
    assert final.history == opened.history
    assert opened.generation_id == "msg_1"
    assert last_body(raw)["stream"] is True
    assert request_problems("/messages", last_body(raw)) == []


async def test_the_text_comes_as_it_grows(raw, messages):
    raw.script(named(*EVENTS))
    opened = await messages.stream(USER, 100)
    assert [piece async for piece in opened.text_stream] == ["Hel", "lo"]
    assert opened.snapshot.text == "Hello"


async def test_a_stream_without_its_last_event_is_truncated(raw, messages):
    raw.script(named(*EVENTS[:-1]))
    opened = await messages.stream(USER, 100)
    with pytest.raises(StreamTruncatedError) as caught:
        await opened.get_final_message()
    assert caught.value.partial.text == "Hello"


async def test_a_stream_that_was_left_has_no_final_message(raw, messages):
    raw.script([sse_head(), part(events(*EVENTS[:4], done=False)), hang()])
    async with await messages.stream(USER, 100) as opened:
        pass
    with pytest.raises(StreamTruncatedError, match="closed"):
        await opened.get_final_message()
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.disconnects == 1)


async def test_a_broken_connection_is_an_interruption_with_what_came(raw, messages):
    raw.script([sse_head(), part(events(*EVENTS[:8], done=False)), drop(reset=True)])
    opened = await messages.stream(USER, 100)
    with pytest.raises(StreamInterruptedError) as caught:
        await opened.get_final_message()
    assert caught.value.partial.tool_uses[0].input_json == '{"b"'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "overloaded_error", "message": "Busy."}, "overloaded_error"),
        ({"type": "api_error", "message": "Busy.", "error_type": "timeout"}, "timeout"),
        ({"message": "Busy.", "code": 502}, 502),
    ],
)
async def test_an_error_inside_a_stream_is_typed_and_has_what_came(raw, messages, error, code):
    raw.script(named(*EVENTS[:4], {"type": "error", "error": error}))
    opened = await messages.stream(USER, 100)
    with pytest.raises(ProviderStreamError, match="Busy") as caught:
        await opened.get_final_message()
    assert caught.value.code == code
    assert caught.value.partial.text == "Hel"


async def test_an_error_before_any_content_is_tried_again(raw, client, messages):
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow."}}
    raw.script(named(MESSAGE_START, PING, error), named(*EVENTS))
    opened = await messages.stream(USER, 100)
    assert (await opened.get_final_message()).text == "Hello"
    assert opened.attempts == 2
    raw.script(named(error))
    once = client.with_options(max_retries=0).messages
    with pytest.raises(RateLimitError, match="Slow"):
        await once.stream(USER, 100)


async def test_an_error_event_without_an_error_is_one_too(raw, messages):
    raw.script(named(*EVENTS[:4], {"type": "error"}))
    opened = await messages.stream(USER, 100)
    with pytest.raises(ProviderStreamError):
        await opened.get_final_message()

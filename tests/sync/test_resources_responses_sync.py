"""The blocking faces of `POST /responses` and `POST /messages`."""

import inspect

import pytest
from support.raw_server import RawServer, answer, events, hang, part, sse_head, stream

from mbxai.errors import (
    OpenRouterConfigurationError,
    StreamTruncatedError,
)
from mbxai.openrouter import OpenRouterClient
from mbxai.openrouter._event_stream import AsyncEventStream, EventStream
from mbxai.openrouter.resources.messages import (
    AnthropicMessages,
    AsyncAnthropicMessages,
    AsyncMessageStream,
    MessageStream,
)
from mbxai.openrouter.resources.responses import (
    AsyncResponses,
    AsyncResponseStream,
    Responses,
    ResponseStream,
)

USER = [{"role": "user", "content": "hi"}]
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
WHOLE = {"id": "gen-1", "status": "completed", "output": [ITEM]}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"}
EVENTS = [
    {"type": "response.created", "response": {**WHOLE, "status": "in_progress", "output": []}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "content": []}},
    DELTA,
    {"type": "response.completed", "response": WHOLE},
]
MESSAGE = {
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hi"},
    },
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def client(raw):
    with OpenRouterClient("sk-or-v1-f", "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


@pytest.fixture
def responses(client):
    return client.responses


@pytest.fixture
def messages(client):
    return client.messages


def test_a_response_is_what_the_async_call_gives(raw, responses):
    raw.script(answer(b"", status=503), answer(WHOLE))
    result = responses.create("hi", temperature=0.0)
    assert result.to_dict() == WHOLE
    assert result.attempts == 2
    with pytest.raises(OpenRouterConfigurationError, match="input"):
        responses.create("")


def test_a_response_stream_is_what_the_async_one_gives(raw, responses):
    raw.script(stream(*EVENTS, headers={"X-Request-Id": "r"}))
    with responses.stream("hi") as opened:
        assert [event.to_dict() for event in opened] == EVENTS
        assert opened.get_final_response().to_dict() == WHOLE
    assert (opened.request_id, opened.generation_id, opened.attempts) == ("r", "gen-1", 1)
    assert opened.headers["x-request-id"] == opened.response.headers["x-request-id"]
    assert opened.snapshot.history == opened.history
    assert list(responses.stream("hi").text_stream) == ["Hi"]


def test_a_response_stream_that_is_left_is_closed_and_has_no_final_response(raw, responses):
    raw.script([sse_head(), part(events(*EVENTS[:3], done=False)), hang()])
    with responses.stream("hi") as opened:
        assert next(opened).type == "response.created"
    raw.wait_for(lambda seen: seen.disconnects == 1)
    with pytest.raises(StreamTruncatedError):
        opened.get_final_response()


def test_a_truncated_response_stream_raises_and_has_what_came(raw, responses):
    raw.script(stream(*EVENTS[:3]))
    with pytest.raises(StreamTruncatedError) as caught:
        responses.stream("hi").get_final_response()
    assert caught.value.partial.output_text == "Hi"


def test_the_resource_that_does_the_work_is_there(client):
    assert isinstance(client.responses.async_client, AsyncResponses)
    assert isinstance(client.messages.async_client, AsyncAnthropicMessages)


def test_a_message_is_what_the_async_call_gives(raw, messages):
    raw.script(answer(MESSAGE))
    assert messages.create(USER, 9).to_dict() == MESSAGE
    with pytest.raises(OpenRouterConfigurationError, match="max_tokens"):
        messages.create(USER, 0)


def test_a_message_stream_is_what_the_async_one_gives(raw, messages):
    raw.script(stream(*MESSAGE_EVENTS))
    with messages.stream(USER, 9) as opened:
        assert list(opened.text_stream) == ["Hi"]
        assert opened.get_final_message().to_dict() == MESSAGE
    assert opened.snapshot.text == "Hi"
    assert [event.to_dict() for event in messages.stream(USER, 9)] == MESSAGE_EVENTS


PAIRS = [
    (AsyncEventStream, EventStream),
    (AsyncResponses, Responses),
    (AsyncResponseStream, ResponseStream),
    (AsyncAnthropicMessages, AnthropicMessages),
    (AsyncMessageStream, MessageStream),
]


@pytest.mark.parametrize(("cls", "twin"), PAIRS)
def test_the_twin_has_the_same_methods(cls, twin):
    renamed = {"aclose": "close"}
    for name, member in inspect.getmembers(cls):
        if name.startswith("_") or name in {"open", "set_response"}:
            continue
        other = getattr(twin, renamed.get(name, name))
        assert isinstance(member, property) == isinstance(other, property)
        if not isinstance(member, property):
            ours, theirs = inspect.signature(member), inspect.signature(other)
            assert list(ours.parameters.values()) == list(theirs.parameters.values())
            assert member.__doc__ == other.__doc__

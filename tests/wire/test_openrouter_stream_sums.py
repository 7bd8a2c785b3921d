"""A stream adds up to the answer that the same call without streaming gives."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.client_kinds import KEY, USER
from support.raw_server import RawServer, answer, stream
from support.streamed import chunks_of, completions, plain

from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
from mbxai.wire import AnswerDone, TextDelta, ToolCallArgumentsDelta, ToolCallDone


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


# The server, and what runs the client, are the same for all examples.
PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def script_both(raw, whole, chunks):
    raw.script(answer(whole), stream(*chunks))


@PROPERTY
@given(data=st.data())
def test_a_stream_adds_up_to_the_answer_that_comes_without_one(raw, runner, data):
    whole = data.draw(completions())
    script_both(raw, whole, data.draw(chunks_of(whole)))

    async def both():
        client = runner.client
        result = await client.create(USER)
        async with client.stream(USER) as chunks:
            happened = [event async for event in chunks.events()]
            return result, await chunks.get_final_completion(), happened

    result, streamed, happened = runner.run(both())
    check_both(whole, result, streamed, happened)


@PROPERTY
@given(data=st.data())
def test_a_blocking_stream_adds_up_to_the_answer_that_comes_without_one(raw, blocking, data):
    whole = data.draw(completions())
    script_both(raw, whole, data.draw(chunks_of(whole)))
    result = blocking.create(USER)
    with blocking.stream(USER) as chunks:
        happened = list(chunks.events())
        streamed = chunks.get_final_completion()
    check_both(whole, result, streamed, happened)


def check_both(whole, result, streamed, happened):
    assert result.to_dict() == whole
    assert plain(streamed.to_dict()) == plain(whole)
    assert streamed.message.to_param() == result.message.to_param()
    assert streamed.usage == result.usage
    assert happened[-1] == AnswerDone(streamed)
    for choice in result.choices:
        mine = [event for event in happened[:-1] if event.index == choice.index]
        text = "".join(event.text for event in mine if isinstance(event, TextDelta))
        assert text == (choice.message.content or "")
        calls = [event.call for event in mine if isinstance(event, ToolCallDone)]
        assert calls == (choice.message.tool_calls or [])
        grown = [event for event in mine if isinstance(event, ToolCallArgumentsDelta)]
        for position, call in enumerate(calls):
            pieces = [event for event in grown if event.position == position]
            assert "".join(event.arguments for event in pieces) == call.function.arguments
            assert {(event.id, event.name) for event in pieces} == {(call.id, call.function.name)}


class Runner:
    """An event loop with a client, for tests whose examples share both."""

    def __init__(self, base_url):
        self._runner = asyncio.Runner()
        self.client = AsyncOpenRouterClient(KEY, "a/b", base_url)

    def run(self, work):
        return self._runner.run(work)

    def close(self):
        self.run(self.client.aclose())
        self._runner.close()


@pytest.fixture
def runner(raw):
    made = Runner(raw.base_url)
    yield made
    made.close()


@pytest.fixture
def blocking(raw):
    with OpenRouterClient(KEY, "a/b", raw.base_url) as made:
        yield made

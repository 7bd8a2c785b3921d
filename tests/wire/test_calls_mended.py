"""Calls that once went wrong in rarer ways."""

import asyncio
import json
import pickle
import sys

import anyio
import pytest
from support.raw_server import (
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    end,
    events,
    part,
    send,
    sse_head,
    wait,
)

from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    StreamError,
)
from mbxai.openrouter import AsyncOpenRouterClient

USER = [{"role": "user", "content": "hi"}]
KEY = "sk-or-v1-mended"


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient(
        KEY, "a/b", raw.base_url, max_retries=3, retry_initial_delay=0.01
    ) as client:
        yield client


@pytest.mark.parametrize(
    "script",
    [
        [sse_head(), part(b"data: {oops\n\n")],
        [sse_head(), part(events(chunk(delta={"role": "assistant"}), done=False)), end()],
        [sse_head(), drop()],
    ],
    ids=["garbage", "an end after the role", "a break after the head"],
)
async def test_an_unreadable_stream_is_asked_for_once_more_and_not_four_times(raw, client, script):
    raw.script(script)
    with pytest.raises((StreamError, InvalidResponseError, OpenRouterConnectionError)):
        await client.create(USER, stream=True)
    assert len(raw.seen().requests) == 2


@pytest.mark.parametrize("extra", [{"extra_body": {"stream": True}}])
async def test_a_contradictory_stream_is_refused_before_anything_is_sent(raw, client, extra):
    raw.script(answer(completion()))
    with pytest.raises(OpenRouterConfigurationError, match="stream"):
        await client.create(USER, **extra)
    with pytest.raises(OpenRouterConfigurationError, match="stream"):
        async with client.stream(USER, extra_body={"stream": False}):
            pass
    with pytest.raises(OpenRouterConfigurationError, match="strategy"):
        client.stream(USER, strategy="tool")
    assert raw.seen().requests == []


async def test_a_typed_call_that_is_late_tells_of_its_attempts_and_of_what_it_paid_for(raw, client):
    told = []
    raw.script(answer(completion("no json")), [wait(5)])
    late = client.with_options(on_attempt=told.append)
    with pytest.raises(OpenRouterTimeoutError) as caught:
        await late.parse(USER, int, strategy="json_schema", timeout=0.5)
    assert [attempt.outcome for attempt in told] == ["ok", "OpenRouterTimeoutError"]
    assert [attempt.outcome for attempt in caught.value.history] == ["OpenRouterTimeoutError"]
    assert [earlier.text for earlier in caught.value.completions] == ["no json"]


async def test_a_slow_observer_does_not_cost_the_answer(raw, client):
    async def slow(_attempt):
        await anyio.sleep(0.95)

    raw.script(answer(completion("here")))
    result = await client.with_options(on_attempt=slow).create(USER, timeout=0.9)
    assert result.text == "here"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_changes_something_is_not_repeated_after_it_may_have_run(raw, client, method):
    raw.script([drop()], answer({"data": {}}))
    with pytest.raises(OpenRouterConnectionError):
        await client.request(method, "keys/abc", body={} if method == "POST" else None)
    assert len(raw.seen().requests) == 1


async def test_a_read_is_repeated_after_a_drop(raw, client):
    raw.script([drop()], answer({"data": {"label": "x"}}))
    assert (await client.key.get()).data.label == "x"


async def test_a_stream_that_holds_only_the_usage_is_no_answer(raw, client):
    usage = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
    only = events({"id": "x", "choices": [], "usage": usage}, done=True)
    raw.script([sse_head(), part(only), send(b"0\r\n\r\n")])
    stream = client.with_options(max_retries=0).stream(USER)
    with pytest.raises((InvalidResponseError, StreamError)):
        async with stream as opened:
            await opened.get_final_completion()


def test_the_configuration_is_not_pickled_with_its_key():
    client = AsyncOpenRouterClient(KEY, "a/b")
    with pytest.raises(OpenRouterConfigurationError, match="not pickled"):
        pickle.dumps(client.config)


async def test_an_earlier_message_may_stand_in_a_conversation(raw, client):
    raw.script(answer(completion("first")), answer(completion("second")))
    first = await client.create(USER)
    await client.create([*USER, first.message, {"role": "user", "content": "and?"}])
    sent = json.loads(raw.seen().requests[1]["body"])["messages"]
    assert sent[1] == {"role": "assistant", "content": "first"}


async def test_a_stream_may_be_opened_without_a_block(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), chunk(finish="stop"))), send(b"0\r\n\r\n")])
    stream = await client.stream(USER)
    assert (await asyncio.wait_for(stream.get_final_completion(), 5)).text == "a"


@pytest.mark.parametrize("path", ["a\nb", "http://[::1", "a" * 70_000, "\ud800", "../keys", "", 5])
async def test_a_path_that_is_no_address_is_refused(raw, client, path):
    raw.script(answer({"data": []}))
    with pytest.raises(OpenRouterConfigurationError, match="path"):
        await client.request("GET", path)
    assert raw.seen().requests == []


async def test_a_path_may_begin_with_a_slash_as_the_documentation_writes_it(raw, client):
    raw.script(answer({"data": []}))
    await client.request("GET", "/providers")
    assert raw.seen().requests[0]["start"].startswith("GET /api/v1/providers ")


def frames_of(error):
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            yield frame.tb_frame
            frame = frame.tb_next
        error = error.__cause__ or error.__context__


async def test_a_cancelled_call_keeps_no_frame_that_shows_the_key(raw, client):
    raw.script([wait(3)])
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.3):
            await client.create(USER)
    shown = [
        repr(frame.f_locals)
        for frame in frames_of(caught.value)
        if "aiohttp" in frame.f_code.co_filename
    ]
    assert shown == []


async def test_calls_from_all_worker_threads_at_once_find_a_thread_to_load_with(raw):
    raw.script(answer(completion("here")))
    program = f"""
import anyio, anyio.from_thread, anyio.to_thread
from mbxai.openrouter import AsyncOpenRouterClient

async def main():
    client = AsyncOpenRouterClient({KEY!r}, "a/b", {raw.base_url!r}, timeout=8)
    def work():
        return anyio.from_thread.run(client.create, [{{"role": "user", "content": "x"}}])
    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(anyio.to_thread.run_sync, work)
    await client.aclose()

anyio.run(main)
print("done")
"""
    done = await anyio.run_process([sys.executable, "-c", program], check=False)
    assert done.stdout == b"done\n", done.stderr

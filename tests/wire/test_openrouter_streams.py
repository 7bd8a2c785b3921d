import asyncio

import anyio
import pytest
from support.raw_server import (
    USAGE_CHUNK,
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    end,
    events,
    hang,
    part,
    send,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import (
    AuthenticationError,
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    ProviderUnavailableError,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)
from mbxai.openrouter import AsyncOpenRouterClient

KEY = "sk-or-v1-stream"
USER = [{"role": "user", "content": "hi"}]
COMMENT = ": OPENROUTER PROCESSING"


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


async def text_of(chunks) -> str:
    return "".join([piece.choices[0].delta.content or "" async for piece in chunks])


async def left(raw) -> None:
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.disconnects == 1)


async def test_a_stream_gives_its_chunks_and_adds_up_to_the_answer(raw, client):
    raw.script(
        stream(COMMENT, chunk("Hel"), COMMENT, chunk("lo"), chunk(finish="stop"), USAGE_CHUNK,
               headers={"X-Generation-Id": "gen-7"})
    )  # fmt: skip
    reply = await client.create(USER, stream=True)
    assert await text_of(reply) == "Hello"
    whole = reply.completion
    assert whole.choices[0].message.content == "Hello"
    assert whole.choices[0].finish_reason == "stop"
    assert (whole.usage.cost, whole.generation_id, whole.attempts) == (0.001, "gen-7", 1)
    with pytest.raises(StopAsyncIteration):
        await anext(reply)
    await client.create(USER, stream=True)
    assert raw.seen().connections == 1  # read to the end, so it was used again
    assert '"stream":true' in raw.seen().requests[0]["body"]


async def test_every_chunk_has_a_choice_and_the_usage_is_in_the_last(raw, client):
    raw.script(
        stream(
            {"id": "gen-1", "choices": [], "debug": {"x": 1}},
            chunk("a", finish="stop"),
            USAGE_CHUNK,
        )
    )
    chunks = [piece async for piece in await client.create(USER, stream=True)]
    assert [piece.choices[0].delta.content for piece in chunks] == [None, "a", None]
    assert chunks[-1].usage.total_tokens == 5


@pytest.mark.parametrize(
    "reply",
    [
        [sse_head(), part(events(chunk("ab"), done=False)), end()],
        [sse_head(), part(events(chunk("ab"), done=False) + b'data: {"choi'), end()],
    ],
    ids=["clean", "inside an event"],
)
async def test_an_end_without_finish_is_truncation_and_keeps_what_came(raw, client, reply):
    raw.script(reply)
    chunks = await client.create(USER, stream=True)
    with pytest.raises(StreamTruncatedError) as caught:
        await text_of(chunks)
    assert caught.value.partial.choices[0].message.content == "ab"
    assert caught.value.generation_id == "gen-1"
    assert len(raw.seen().requests) == 1


async def test_a_finish_reason_without_done_is_a_whole_answer(raw, client):
    raw.script(stream(chunk("ab", finish="stop"), done=False))
    assert await text_of(await client.create(USER, stream=True)) == "ab"


async def test_a_broken_connection_is_an_interruption_and_keeps_what_came(raw, client):
    raw.script([sse_head(), part(events(chunk("ab"), done=False)), wait(0.05), drop(reset=True)])
    chunks = await client.create(USER, stream=True)
    with pytest.raises(StreamInterruptedError) as caught:
        await text_of(chunks)
    assert caught.value.partial.choices[0].message.content == "ab"
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("reset", [False, True])
async def test_an_interruption_is_told_in_our_words(raw, client, reset):
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    data = events(chunk("ab"), done=False)
    piece = b"%x\r\n%s\r\n" % (len(data), data)
    raw.script([send(head + piece), wait(0.05), drop(reset=reset)])
    chunks = await client.create(USER, stream=True)
    with pytest.raises(StreamInterruptedError) as caught:
        await text_of(chunks)
    assert str(caught.value) == "The connection broke in the middle of the answer."
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "bad",
    [
        {"error": {"code": 502, "message": "gone"}, "choices": []},
        chunk("", finish="error", error={"code": 502, "message": "gone", "metadata": {"provider_name": "Acme"}}),
        {"choices": [{"delta": {}, "error": {"code": "server_error", "message": "gone"}}]},
        {"error": "gone"},
    ],
    ids=["top", "beside choices", "in a choice", "text"],
)  # fmt: skip
async def test_an_error_in_the_middle_is_the_providers_and_keeps_what_came(raw, client, bad):
    raw.script(stream(chunk("ab"), bad, done=False))
    chunks = await client.create(USER, stream=True)
    with pytest.raises(ProviderStreamError, match="gone") as caught:
        await text_of(chunks)
    assert caught.value.partial.choices[0].message.content == "ab"
    assert len(raw.seen().requests) == 1


async def test_finish_reason_error_alone_is_an_error(raw, client):
    raw.script(stream(chunk("ab"), chunk(finish="error")))
    with pytest.raises(ProviderStreamError):
        await text_of(await client.create(USER, stream=True))


@pytest.mark.parametrize(
    "first",
    [
        stream(COMMENT, {"error": {"code": 502, "message": "bad"}}, done=False),
        answer({"error": {"code": 503, "message": "busy"}}),
        answer({"error": {"code": 503, "message": "busy"}}, status=503),
        answer(completion()),
        stream(),
        stream(done=False),
        [sse_head(), part(b": x\n\n"), drop(reset=True)],
        stream("data: {nonsense"),
        answer(b"<html>", content_type="text/html"),
        [drop()],
    ],
    ids=["error event", "json error", "503", "json answer", "only done", "empty", "reset", "garbage", "html", "drop"],
)  # fmt: skip
async def test_what_fails_before_the_first_chunk_is_tried_again(raw, client, first):
    raw.script(first, stream(chunk("ok", finish="stop")))
    reply = await client.create(USER, stream=True)
    assert await text_of(reply) == "ok"
    assert reply.attempts == 2


async def test_final_errors_before_the_first_chunk_are_raised_by_create(raw, client):
    raw.script(stream({"error": {"code": 401, "message": "no"}}))
    with pytest.raises(AuthenticationError):
        await client.create(USER, stream=True)
    raw.script(answer(b"", status=500))
    with pytest.raises(ProviderUnavailableError) as caught:
        await client.create(USER, stream=True)
    assert caught.value.attempts == 4
    raw.script(answer(completion()))
    with pytest.raises(InvalidResponseError, match="A stream was asked for"):
        await client.create(USER, stream=True)


@pytest.mark.parametrize(
    "bad", [b"data: {oops\n\n", b"data: [1]\n\n", b"data: " + b"x" * 1_100_000 + b"\n\n"]
)
async def test_garbage_in_the_middle_is_a_protocol_error_and_closes(raw, client, bad):
    raw.script([sse_head(), part(events(chunk("ab"), done=False) + bad), hang()])
    chunks = await client.create(USER, stream=True)
    with pytest.raises(StreamProtocolError) as caught:
        await text_of(chunks)
    assert caught.value.partial.choices[0].message.content == "ab"
    await left(raw)


async def test_data_after_done_is_ignored(raw, client):
    body = events(chunk("ab", finish="stop")) + b"data: {oops\n\n"
    raw.script([sse_head(), part(body), end()])
    assert await text_of(await client.create(USER, stream=True)) == "ab"


async def test_u2028_in_a_token_is_text(raw, client):
    raw.script(
        [
            sse_head(),
            part(
                'data: {"choices":[{"delta":{"content":"a\u2028b"},"finish_reason":"stop"}]}\n\n'.encode()
            ),
            end(),
        ]
    )
    assert await text_of(await client.create(USER, stream=True)) == "a\u2028b"


async def test_leaving_the_block_closes_the_connection(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    async with await client.create(USER, stream=True) as chunks:
        async for _piece in chunks:
            break
    await left(raw)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_dropping_a_stream_closes_the_connection(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    async for piece in await client.create(USER, stream=True):
        assert piece.choices[0].delta.content == "a"
        break
    await left(raw)


async def test_closing_the_client_closes_its_streams(raw):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url) as client:
        chunks = await client.create(USER, stream=True)
    await left(raw)
    assert chunks.completion.choices[0].message.content == "a"


async def test_cancelling_a_reader_closes_the_connection(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    chunks = await client.create(USER, stream=True)
    task = asyncio.create_task(text_of(chunks))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await left(raw)


async def test_cancelling_while_the_stream_opens_closes_the_connection(raw, client):
    raw.script([sse_head(), part(b": wait\n\n"), hang()])
    with anyio.move_on_after(0.1) as scope:
        await client.create(USER, stream=True)
    assert scope.cancelled_caught
    await left(raw)


async def test_the_timeout_ends_a_stream_that_goes_on(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    chunks = await client.create(USER, stream=True, timeout=0.2)
    with pytest.raises(OpenRouterTimeoutError, match="time for the call was up"):
        await text_of(chunks)
    assert chunks.completion.choices[0].message.content == "a"
    await left(raw)


async def test_comments_do_not_count_as_a_first_token(raw, client):
    comments = [part(b": OPENROUTER PROCESSING\n\n"), wait(0.05)] * 40
    raw.script([sse_head(), *comments, hang()])
    with pytest.raises(OpenRouterTimeoutError, match="No chunk came within"):
        await client.create(USER, stream=True, first_token_timeout=0.2)
    await left(raw)
    assert len(raw.seen().requests) == 1


async def test_comments_do_not_count_as_a_further_token(raw, client):
    comments = [part(b": OPENROUTER PROCESSING\n\n"), wait(0.05)] * 40
    raw.script([sse_head(), part(events(chunk("a"), done=False)), *comments, hang()])
    chunks = await client.create(USER, stream=True, idle_timeout=0.2)
    with pytest.raises(OpenRouterTimeoutError, match="No further chunk came within"):
        await text_of(chunks)
    await left(raw)


async def test_two_readers_at_a_time_are_refused(raw, client):
    raw.script(
        [
            sse_head(),
            part(events(chunk("a"), done=False)),
            wait(0.2),
            part(events(chunk("b", finish="stop"))),
            end(),
        ]
    )
    chunks = await client.create(USER, stream=True)
    await anext(chunks)
    first = asyncio.create_task(anext(chunks))
    await asyncio.sleep(0)
    with pytest.raises(OpenRouterConfigurationError, match="another task"):
        await anext(chunks)
    assert (await first).choices[0].delta.content == "b"
    await chunks.aclose()


async def test_another_task_may_close_a_stream_that_is_being_read(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    chunks = await client.create(USER, stream=True)
    reader = asyncio.create_task(text_of(chunks))
    await asyncio.sleep(0.05)
    await chunks.aclose()
    async with asyncio.timeout(5):
        assert await reader == "a"
    await left(raw)


def test_a_stream_left_open_at_the_end_of_the_loop_closes_quietly(raw):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])

    async def careless() -> None:
        client = AsyncOpenRouterClient(KEY, "a/b", raw.base_url)
        async for _piece in await client.create(USER, stream=True):
            break

    asyncio.run(careless())
    assert raw.wait_for(lambda seen: seen.disconnects == 1).disconnects == 1

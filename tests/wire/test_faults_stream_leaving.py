"""S16, S17 and S19: readers that leave, that are slow, and that are two."""

import asyncio
import gc
import threading
import time
from contextlib import aclosing
from functools import partial

import anyio
import pytest
from support.client_kinds import KINDS, USER, in_thread, opened, text_of, wait_for
from support.memory_programs import MIB, measured
from support.raw_server import (
    RawServer,
    chunk,
    end,
    events,
    hang,
    part,
    repeat,
    sse_head,
    stream,
    wait,
)
from support.scripts import run_script

from mbxai.errors import OpenRouterConfigurationError

SECONDS = 1.0  # until the server has seen a reader leave
BEGUN = [sse_head(), part(events(chunk("a"), done=False)), hang()]


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url) as made:
        yield made


@pytest.fixture
async def async_client(raw):
    async with opened("async", raw.base_url) as made:
        yield made


async def left(raw):
    seen = await wait_for(raw, lambda seen: seen.disconnects == 1, SECONDS)
    assert len(seen.requests) == 1


async def first_of(chunks):
    async for piece in chunks:
        assert piece.choices[0].delta.content == "a"
        break


async def test_s16_a_break_inside_a_block_closes_the_connection(raw, client):
    raw.script(BEGUN)
    async with await client.create(USER, stream=True) as chunks:
        await first_of(chunks)
    await left(raw)
    assert [piece async for piece in chunks] == []
    assert chunks.snapshot.text == "a"


async def test_s16_an_exception_inside_a_block_closes_the_connection(raw, client):
    raw.script(BEGUN)

    async def fail():
        async with client.stream(USER) as chunks:
            await first_of(chunks)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await left(raw)


async def test_s16_a_block_without_a_look_closes_the_connection(raw, client):
    raw.script(BEGUN)
    async with client.stream(USER) as chunks:
        assert chunks.attempts == 1
    await left(raw)


async def test_s16_a_dropped_stream_closes_the_connection(raw, client):
    raw.script(BEGUN)
    await first_of(await client.create(USER, stream=True))
    gc.collect()
    await left(raw)
    assert raw.seen().disconnects == 1


@pytest.mark.parametrize("view", ["text_stream", "events"])
async def test_s16_a_dropped_view_of_a_stream_closes_the_connection(raw, async_client, view):
    raw.script(BEGUN)
    chunks = await async_client.create(USER, stream=True)
    view_of = chunks.text_stream if view == "text_stream" else chunks.events()
    async with aclosing(view_of) as items:
        async for _item in items:
            break
    del chunks, view_of, items
    gc.collect()
    await left(raw)


async def test_s16_closing_while_a_reader_waits_ends_the_reader(raw, client):
    raw.script(BEGUN)
    chunks = await client.create(USER, stream=True)
    texts = []
    async with anyio.create_task_group() as tasks:

        async def read():
            texts.append(await text_of(chunks))

        tasks.start_soon(read)
        await anyio.sleep(0.05)
        await chunks.aclose()
    assert texts in (["a"], [""])  # the last word may have been under way
    await left(raw)


async def test_s16_closing_the_client_closes_its_streams(raw):
    for kind in KINDS:
        raw.script(BEGUN)
        async with opened(kind, raw.base_url) as client:
            chunks = await client.create(USER, stream=True)
        await left(raw)
        del chunks


async def test_s16_a_cancelled_task_closes_the_connection(raw, async_client):
    raw.script(BEGUN)
    chunks = await async_client.create(USER, stream=True)
    task = asyncio.create_task(text_of(chunks))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await left(raw)


async def test_s16_a_timeout_of_asyncio_closes_the_connection(raw, async_client):
    raw.script(BEGUN)
    chunks = await async_client.create(USER, stream=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await text_of(chunks)
    await left(raw)


async def test_s16_a_scope_of_anyio_closes_the_connection(raw, async_client):
    raw.script(BEGUN)
    chunks = await async_client.create(USER, stream=True)
    with anyio.move_on_after(0.1) as scope:
        await text_of(chunks)
    assert scope.cancelled_caught
    await left(raw)


async def test_s16_a_cancellation_inside_the_block_closes_the_connection(raw, async_client):
    raw.script(BEGUN)
    with anyio.move_on_after(0.1) as scope:
        async with async_client.stream(USER) as chunks:
            await first_of(chunks)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await left(raw)


@pytest.mark.parametrize("how", ["task", "timeout", "scope"])
async def test_s16_a_cancellation_before_the_first_chunk_closes_the_connection(
    raw, async_client, how
):
    raw.script([sse_head(), part(b": wait\n\n"), hang()])
    if how == "scope":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(async_client.create, USER, stream=True))
            await wait_for(raw, lambda seen: seen.requests)
            tasks.cancel_scope.cancel()
    elif how == "timeout":
        opening = asyncio.wait_for(async_client.create(USER, stream=True), 0.8)
        with pytest.raises(TimeoutError):
            await opening
    else:
        task = asyncio.create_task(async_client.create(USER, stream=True))
        await wait_for(raw, lambda seen: seen.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await left(raw)


PROGRAM = """
import asyncio, gc, sys
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
user = [{"role": "user", "content": "hi"}]
url = sys.argv[1]
"""

ASYNC_ENDS = {
    "a dropped iterator": """
    async for piece in await client.create(user, stream=True):
        break
    gc.collect()
    """,
    "a dropped iterator, and the loop goes on": """
    async for piece in await client.create(user, stream=True):
        break
    gc.collect()
    await asyncio.sleep(0.1)
    """,
    "a dropped view": """
    async for text in (await client.create(user, stream=True)).text_stream:
        break
    """,
    "a held stream": """
    global held
    held = await client.create(user, stream=True)
    await anext(held)
    """,
    "a held view": """
    global held
    held = (await client.create(user, stream=True)).events()
    await anext(held)
    """,
    "a held block": """
    global held
    held = client.stream(user)
    await held.__aenter__()
    """,
    "a task that reads": """
    global task
    begun = asyncio.Event()
    async def read():
        async with client.stream(user) as chunks:
            async for piece in chunks:
                begun.set()
    task = asyncio.create_task(read())
    await begun.wait()
    """,
    "an exception": """
    async for piece in await client.create(user, stream=True):
        raise SystemExit(0)
    """,
}

SYNC_ENDS = {
    "a dropped iterator": "for piece in client.create(user, stream=True): break",
    "a dropped view": "for text in client.create(user, stream=True).text_stream: break",
    "a held stream": "held = client.create(user, stream=True); next(held)",
    "a held view": "held = client.create(user, stream=True).events(); next(held)",
    "a held block": "held = client.stream(user); held.__enter__()",
    "an exception": "for piece in client.create(user, stream=True): sys.exit()",
}


@pytest.mark.parametrize("body", ASYNC_ENDS.values(), ids=ASYNC_ENDS.keys())
def test_s16_a_loop_that_ends_with_an_open_stream_ends_without_a_word(raw, body):
    raw.script(BEGUN)
    lines = "\n".join(line.removeprefix("    ") for line in body.splitlines())
    script = (
        f"{PROGRAM}async def main():\n    client = AsyncOpenRouterClient('k', 'a/b', url)\n"
        + "\n".join(f"    {line}" for line in lines.splitlines() if line.strip())
        + "\nasyncio.run(main())\n"
    )
    assert run_script(script, raw.base_url).check() == ""
    assert raw.wait_for(lambda seen: seen.disconnects == 1, SECONDS).disconnects == 1


@pytest.mark.parametrize("body", SYNC_ENDS.values(), ids=SYNC_ENDS.keys())
def test_s16_a_program_that_ends_with_an_open_stream_ends_without_a_word(raw, body):
    raw.script(BEGUN)
    script = f"{PROGRAM}client = OpenRouterClient('k', 'a/b', url)\n{body}\n"
    assert run_script(script, raw.base_url).check() == ""
    assert raw.wait_for(lambda seen: seen.disconnects == 1, SECONDS).disconnects == 1


COUNT = 3200
WIDE = events(chunk("a", pad="x" * (16 * 1024)), done=False)  # 50 MB in all, of no lasting worth
FLOOD = [
    sse_head(),
    repeat(b"%x\r\n%s\r\n" % (len(WIDE), WIDE), COUNT),
    part(events(chunk(finish="stop"))),
    end(),
]


@pytest.mark.parametrize("kind", KINDS)
def test_s17_a_slow_reader_costs_no_memory_and_is_no_silent_server(raw, kind):
    raw.script(*[stream(chunk("a", finish="stop"))] * 3, FLOOD)
    told = measured(
        kind, raw.base_url, pause=1.5, stream=True, client={"idle_timeout": 0.5, "timeout": 15.0}
    )
    assert told.outcome == str(COUNT)
    # Sixty-four chunks at most are read ahead, beside what one read gives.
    assert told.growth < 24 * MIB


async def test_s17_a_server_waits_for_a_reader_that_sleeps(raw, client):
    raw.script(FLOOD)
    async with client.stream(USER, idle_timeout=0.3) as chunks:
        await first_of(chunks)
        await anyio.sleep(0.8)
        # The operating system holds a few megabytes between the two.
        assert (await in_thread(raw.seen)).sent_bytes < COUNT * len(WIDE) / 2
        assert await text_of(chunks) == "a" * (COUNT - 1)


async def test_s17_a_loop_that_something_else_blocks_is_no_silent_server(raw, async_client):
    tokens = [step for _ in range(14) for step in (wait(0.1), part(events(chunk("a"), done=False)))]
    raw.script([*BEGUN[:2], *tokens, part(events(chunk(finish="stop"))), end()])
    chunks = await async_client.create(USER, stream=True, idle_timeout=0.3)
    async with asyncio.timeout(5):
        reading = asyncio.create_task(text_of(chunks))
        await asyncio.sleep(0.15)
        time.sleep(0.8)  # blocks the loop, as careless code does
        assert await reading == "a" * 15


async def test_s19_a_second_reader_is_refused_and_the_first_one_unharmed(raw, async_client):
    raw.script([*BEGUN[:2], wait(0.2), part(events(chunk("b", finish="stop"))), end()])
    chunks = await async_client.create(USER, stream=True)
    await anext(chunks)
    first = asyncio.create_task(anext(chunks))
    await asyncio.sleep(0)
    views = (chunks, chunks.text_stream, chunks.events())
    for view in views:
        with pytest.raises(OpenRouterConfigurationError, match="another task"):
            await anext(view)
    with pytest.raises(OpenRouterConfigurationError, match="another task"):
        await chunks.get_final_completion()
    assert (await first).choices[0].delta.content == "b"
    assert (await chunks.get_final_completion()).text == "ab"
    assert raw.seen().connections == 1


async def test_s19_threads_that_share_a_blocking_stream_get_each_chunk_once(raw):
    count = 500
    raw.script(stream(*[chunk(f"{place},") for place in range(count)], chunk(finish="stop")))
    async with opened("sync", raw.base_url) as client:
        chunks = await client.create(USER, stream=True)
        texts: list[str] = []

        def read():
            blocking = chunks._items
            texts.extend(piece.choices[0].delta.content or "" for piece in blocking)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for reader in readers:
            await in_thread(reader.join, 5)
    numbers = [int(text.rstrip(",")) for text in texts if text]
    assert sorted(numbers) == list(range(count))

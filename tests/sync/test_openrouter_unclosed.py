"""Clients that nobody closes, collected in all the ways in which a program can lose them.

Each program runs in a process of its own, where warnings are errors and nothing may be printed: the
engine complains on the log and through warnings in finalizers, which no test could catch.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.raw_server import (
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    events,
    hang,
    part,
    sse_head,
    wait,
)

ROOT = Path(__file__).parents[2]

HEAD = """
import asyncio, gc, threading, time
from mbxai.errors import MBXAIError
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient, _pools
USER = [{"role": "user", "content": "hi"}]

def lost(client):
    client.me = client

async def nothing_is_left():
    gc.collect()
    for _ in range(200):
        if not _pools._open_pools and len(asyncio.all_tasks()) == 1:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(_pools._open_pools, asyncio.all_tasks())
"""

WHOLE = answer(completion())
REFUSED = answer({"error": {"code": 400, "message": "no"}}, status=400)
HALF = [sse_head(), part(events(chunk("a"), done=False)), hang()]
SLOW = [
    sse_head(),
    part(events(chunk("a"), done=False)),
    wait(0.2),
    part(events(chunk("b"), chunk(finish="stop"))),
    drop(),
]

PROGRAMS = {
    "a cycle on a running loop": (
        WHOLE,
        """
async def job():
    client = AsyncOpenRouterClient()
    lost(client)
    await client.create(USER)

async def main():
    for _ in range(3):
        await job()
    await nothing_is_left()

asyncio.run(main())
""",
    ),
    "a cycle at the end of the loop": (
        WHOLE,
        """
async def main():
    client = AsyncOpenRouterClient()
    lost(client)
    await client.create(USER)
    del client
    gc.collect()

asyncio.run(main())
""",
    ),
    "a cycle after the end of the loop": (
        WHOLE,
        """
async def main():
    client = AsyncOpenRouterClient()
    lost(client)
    await client.create(USER)

asyncio.run(main())
gc.collect()
assert not _pools._open_pools
""",
    ),
    "dropped at the end of the loop": (
        WHOLE,
        """
async def main():
    await AsyncOpenRouterClient().create(USER)

asyncio.run(main())
""",
    ),
    "held by a traceback": (
        REFUSED,
        """
async def job(held):
    client = AsyncOpenRouterClient()
    try:
        await client.create(USER)
    except MBXAIError as error:
        held.append(error)

async def main():
    held = []
    await job(held)
    held[0].me = held[0]
    held.clear()
    await nothing_is_left()

asyncio.run(main())
""",
    ),
    "a facade in a cycle": (
        WHOLE,
        """
def job():
    client = OpenRouterClient()
    lost(client)
    client.create(USER)

for _ in range(3):
    job()
gc.collect()
end = time.monotonic() + 5
while _pools._open_pools and time.monotonic() < end:
    time.sleep(0.01)
assert not _pools._open_pools
""",
    ),
    "a facade in a cycle at the very end": (
        WHOLE,
        """
client = OpenRouterClient()
lost(client)
client.create(USER)
del client
gc.collect()
""",
    ),
    "an open stream in the same cycle": (
        HALF,
        """
async def job():
    client = AsyncOpenRouterClient()
    lost(client)
    stream = await client.create(USER, stream=True)
    stream.client, client.stream = client, stream
    await anext(stream)

async def main():
    for _ in range(3):
        await job()
    await nothing_is_left()

asyncio.run(main())
""",
    ),
    "an open stream in a cycle while its client lives": (
        HALF,
        """
async def job(client):
    stream = await client.create(USER, stream=True)
    lost(stream)
    await anext(stream)

async def main():
    client = AsyncOpenRouterClient()
    for _ in range(3):
        await job(client)
    gc.collect()
    await asyncio.sleep(0.1)
    (pool,) = _pools._open_pools
    assert not pool._lent, pool._lent

asyncio.run(main())
""",
    ),
    "an open stream of a facade in a cycle": (
        HALF,
        """
def job():
    client = OpenRouterClient()
    lost(client)
    client.stream = client.create(USER, stream=True)
    next(client.stream)

for _ in range(3):
    job()
gc.collect()
""",
    ),
    "a stream that outlives its client": (
        SLOW,
        """
async def main():
    stream = await AsyncOpenRouterClient().create(USER, stream=True)
    gc.collect()
    await asyncio.sleep(0.1)
    text = [chunk.choices[0].delta.content async for chunk in stream]
    assert text[:2] == ["a", "b"], text
    del stream
    await nothing_is_left()

asyncio.run(main())
""",
    ),
    "several loops": (
        WHOLE,
        """
client = AsyncOpenRouterClient()
lost(client)
thread = threading.Thread(target=lambda: asyncio.run(client.create(USER)))
thread.start()
thread.join()
asyncio.run(client.create(USER))
del client
gc.collect()
assert not _pools._open_pools
""",
    ),
    "collected by another thread while its loop runs": (
        WHOLE,
        """
async def main():
    client = AsyncOpenRouterClient()
    lost(client)
    await client.create(USER)
    del client
    await asyncio.to_thread(gc.collect)
    await nothing_is_left()

asyncio.run(main())
""",
    ),
}


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_client_that_is_lost_unclosed_is_closed_without_a_word(raw, name):
    reply, source = PROGRAMS[name]
    raw.script(reply)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + source],
        env={
            **os.environ,
            "OPENROUTER_API_KEY": "sk-or-v1-unclosed",
            "OPENROUTER_BASE_URL": raw.base_url,
            "OPENROUTER_MODEL": "a/b",
            "PYTHONPATH": str(ROOT / "src"),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    raw.wait_for(lambda seen: seen.open_connections == 0)

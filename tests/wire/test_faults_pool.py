"""Faults T10, T11 and T13: one pool, many calls."""

import asyncio
import contextlib
import gc
import random
import time
from functools import partial

import anyio
import pytest
from support.fault_clients import KEY, KINDS, USER, asking
from support.raw_server import RawServer, answer, completion, wait

from mbxai.errors import MBXAIError, OpenRouterTimeoutError
from mbxai.openrouter import AsyncOpenRouterClient

OK = answer(completion("fine"))
families = pytest.mark.parametrize("family", [None, "httpx2"], ids=str)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
async def test_t10_fifty_calls_share_two_connections_and_none_gives_up(kind, raw):
    raw.script([wait(0.01), *OK])
    async with asking(kind, raw.base_url, max_connections=2, max_retries=0) as asker:
        results = await asyncio.gather(*(asker.ask(f"call {number}") for number in range(50)))
    assert {result.attempts for result in results} == {1}
    seen = raw.seen()
    assert len(seen.requests) == 50
    assert seen.connections == 2


async def test_t10_who_waits_first_is_served_first(raw):
    raw.script([wait(0.005), *OK])
    async with asking("async", raw.base_url, max_connections=2, max_retries=0) as asker:
        await asyncio.gather(*(asker.ask(f"call {number:02}") for number in range(50)))
    bodies = [request["body"] for request in raw.seen().requests]
    order = [int(body.split("call ")[1][:2]) for body in bodies]
    # Two connections serve at a time, so neighbours may change places and nobody else.
    assert all(abs(place - number) <= 2 for place, number in enumerate(order))


async def _cancelled(call):
    task = asyncio.create_task(call())
    await asyncio.sleep(random.uniform(0, 0.03))
    task.cancel()
    await task


async def _timed_out(call):
    async with asyncio.timeout(random.uniform(0, 0.03)):
        await call()


async def _waited_for(call):
    await asyncio.wait_for(call(), random.uniform(0, 0.03))


async def _moved_on(call):
    with anyio.move_on_after(random.uniform(0, 0.03)):
        await call()


WAYS = (_cancelled, _timed_out, _waited_for, _moved_on)


@families
async def test_t11_cancelled_calls_of_every_kind_leave_no_dead_slot(family, raw):
    raw.script([wait(0.01), *OK])
    random.seed(11)
    options = {"max_connections": 10} if family is None else {}
    async with asking("async", raw.base_url, family=family, max_retries=0, **options) as asker:
        numbers = iter(range(1500 if family is None else 400))
        outcomes = {"done": 0, "cancelled": 0}

        async def impatient() -> None:
            for number in numbers:
                try:
                    await WAYS[number % 4](partial(asker.ask, stream=bool(number & 4)))
                    outcomes["done"] += 1
                except (asyncio.CancelledError, TimeoutError):
                    outcomes["cancelled"] += 1
                except MBXAIError:
                    outcomes["done"] += 1  # a completion is no stream

        await asyncio.gather(*(impatient() for _ in range(50)))
        assert outcomes["cancelled"] > 80
        # All ten at once, so that a single dead slot would be missed.
        raw.script([wait(0.3), *OK])
        results = await asyncio.gather(*(asker.ask(timeout=8.0) for _ in range(10)))
        assert len(results) == 10
        held = {request["connection"] for request in raw.seen().requests}
        assert len(held) == 10
    await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)


async def test_t11_calls_of_threads_that_time_out_leave_no_dead_slot(raw):
    raw.script([wait(0.01), *OK])
    random.seed(11)
    async with asking("sync", raw.base_url, max_connections=4, max_retries=0) as asker:

        async def impatient() -> None:
            for _ in range(15):
                with contextlib.suppress(OpenRouterTimeoutError):
                    await asker.ask(timeout=random.uniform(0.001, 0.03))

        await asyncio.gather(*(impatient() for _ in range(20)))
        raw.script([wait(0.3), *OK])
        await asyncio.gather(*(asker.ask(timeout=8.0) for _ in range(4)))
        assert len(raw.seen().requests) == 4
    await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)


@pytest.mark.alone
async def test_t13_a_call_costs_no_more_among_a_thousand_than_among_twenty(raw):
    raw.script(OK)
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, max_connections=200) as client:

        async def cpu_of(calls: int, at_a_time: int) -> float:
            """CPU seconds of one call; of this thread alone, so that nothing else counts."""
            numbers = iter(range(calls))

            async def worker() -> None:
                for _ in numbers:
                    await client.create(USER)

            began = time.thread_time()
            await asyncio.gather(*(worker() for _ in range(at_a_time)))
            return (time.thread_time() - began) / calls

        await cpu_of(200, 200)  # opens all connections
        gc.collect()
        gc.freeze()  # what other tests have left in this process is not searched again and again
        try:
            few = await cpu_of(400, 20)
            many = await cpu_of(1500, 1000)
        finally:
            gc.unfreeze()
    # Twice is the promise; three times leaves room for a busy machine. A search of the pool for
    # each call would make it ten times.
    assert many <= 3 * few

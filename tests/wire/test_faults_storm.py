"""Faults R6, R14 and R15: many clients of a server in trouble, and the end of patience."""

import asyncio
import itertools
import time
from collections import Counter, defaultdict

import anyio
import pytest
from support.fault_clients import KEY, KINDS, USER, asking
from support.raw_server import RawServer, answer, completion, drop

from mbxai.errors import (
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from mbxai.openrouter import AsyncOpenRouterClient

kinds = pytest.mark.parametrize("kind", KINDS)
OK = answer(completion("fine"))
BUSY = answer({"error": {"code": 429, "message": "slow down"}}, status=429)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


def arrivals(requests) -> dict[str, list[float]]:
    """Moments at which the requests of each task came."""
    by_task = defaultdict(list)
    for request in requests:
        by_task[request["body"].split("task ")[1].split(".")[0]].append(request["at"])
    return by_task


@kinds
async def test_r06_a_storm_is_not_multiplied_and_does_not_come_in_waves(kind, raw):
    raw.script(BUSY)
    tasks, longest = 500, 1.0
    errors = {}
    async with asking(
        kind,
        raw.base_url,
        max_retries=3,
        retry_initial_delay=longest,
        retry_max_delay=longest,
        max_connections=100,
    ) as asker:

        async def one(number: int) -> None:
            with pytest.raises(RateLimitError) as caught:
                await asker.ask(f"task {number}.", timeout=30.0)
            errors[number] = caught.value

        await asyncio.gather(*(one(number) for number in range(tasks)))
    requests = raw.seen().requests
    assert tasks < len(requests) <= tasks * 1.3
    assert sum(error.attempts for error in errors.values()) == len(requests)
    waits = [attempt.wait for error in errors.values() for attempt in error.history if attempt.wait]
    assert len(waits) == len(requests) - tasks
    # A hundred waits at random: a fifth of the time holds about twenty, and no fifth holds half.
    shares = Counter(min(int(wait / longest * 5), 4) for wait in waits)
    assert set(shares) == set(range(5))
    assert max(shares.values()) < len(waits) / 2
    # The server's clock agrees: nobody comes back before the moment that chance has named.
    by_task = arrivals(requests)
    for number, error in errors.items():
        moments = by_task[str(number)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert len(gaps) == error.attempts - 1
        assert all(gap >= attempt.wait for gap, attempt in zip(gaps, error.history, strict=False))


@kinds
async def test_r06_nobody_comes_back_before_the_time_that_a_storm_names(kind, raw):
    limits = {"Retry-After": "0.5", "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"}
    raw.script(answer(b"", status=429, headers=limits))
    async with asking(kind, raw.base_url, max_retries=1) as asker:

        async def one(number: int) -> RateLimitError:
            with pytest.raises(RateLimitError) as caught:
                await asker.ask(f"task {number}.")
            return caught.value

        errors = await asyncio.gather(*(one(number) for number in range(30)))
    by_task = arrivals(raw.seen().requests)
    assert len(by_task) == 30
    assert all(later - earlier >= 0.5 for earlier, later in by_task.values())
    waits = [error.history[0].wait for error in errors]
    assert all(0.5 <= wait <= 0.55 for wait in waits)
    assert len(set(waits)) == 30
    assert {error.retry_after for error in errors} == {0.5}


async def test_r06_the_budget_belongs_to_the_client_and_is_earned_back(raw):
    raw.script(BUSY)
    async with asking(
        "async", raw.base_url, max_retries=200, retry_initial_delay=0.0, retry_max_delay=0.0
    ) as asker:
        with pytest.raises(RateLimitError) as caught:
            await asker.ask()
        assert caught.value.attempts == 101
        derived = asker.client.with_options(max_retries=3)
        with pytest.raises(RateLimitError) as dry:
            await derived.create(USER)
        assert dry.value.attempts == 1  # nothing is left to pay a retry with
        raw.script(OK)
        await derived.create(USER)
        raw.script(BUSY)
        with pytest.raises(RateLimitError) as again:
            await asker.ask()
        assert again.value.attempts == 2  # one success pays for one retry
    async with asking("async", raw.base_url, retry_initial_delay=0.0) as other:
        with pytest.raises(RateLimitError) as fresh:
            await other.ask()
        assert fresh.value.attempts == 3


@pytest.mark.alone
@kinds
@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        (answer(b"", status=503), ProviderUnavailableError),
        (BUSY, RateLimitError),
        ([drop()], OpenRouterConnectionError),
        (answer(b"", status=429, headers={"Retry-After": "0"}), RateLimitError),
    ],
    ids=["503", "429", "dropped", "wait of no length"],
)
async def test_r14_a_wait_beyond_the_time_of_the_call_ends_it_at_once(kind, reply, cls, raw):
    raw.script(reply)
    # Of waits up to a gigasecond, hardly one in a hundred million is shorter than this call.
    async with asking(kind, raw.base_url, retry_initial_delay=1e9, retry_max_delay=1e9) as asker:
        began = time.monotonic()
        with pytest.raises(OpenRouterTimeoutError, match="time for the call was up") as caught:
            await asker.ask(timeout=8.0)
        assert time.monotonic() - began < 4.0
    cause = caught.value.__cause__
    assert type(cause) is cls
    assert caught.value.attempts == 1
    assert [attempt.outcome for attempt in caught.value.history] == [cls.__name__]
    assert len(raw.seen().requests) == 1


@kinds
async def test_r14_a_wait_that_the_server_asked_for_is_told_by_its_own_error(kind, raw):
    raw.script(answer(b"", status=503, headers={"Retry-After": "30"}))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(ProviderUnavailableError) as caught:
            await asker.ask(timeout=8.0)
    assert caught.value.retry_after == 30
    assert caught.value.attempts == len(raw.seen().requests) == 1


async def _by_task(call):
    task = asyncio.create_task(call)
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _by_scope(call):
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: call)
        yield
        group.cancel_scope.cancel()


@pytest.mark.alone
@pytest.mark.parametrize("way", [_by_task, _by_scope], ids=["task", "scope"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_r15_a_cancelled_wait_ends_at_once(way, is_stream, raw):
    raw.script(answer(b"", status=429, headers={"Retry-After": "30"}), OK)
    waiting = asyncio.Event()
    async with AsyncOpenRouterClient(
        KEY, "a/b", raw.base_url, on_attempt=lambda _: waiting.set()
    ) as client:
        steps = way(client.create(USER, stream=is_stream))
        await anext(steps)
        await asyncio.wait_for(waiting.wait(), 5.0)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await anext(steps, "over") == "over"
        assert time.monotonic() - began < 1.0  # 50 ms are promised; the machine may be busy
        assert (await client.create(USER, timeout=5.0)).choices
    assert len(raw.seen().requests) == 2

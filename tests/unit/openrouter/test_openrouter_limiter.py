import asyncio
import heapq
import math
import threading
import time

import anyio
import pytest

from mbxai.errors import (
    OpenRouterAPIError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
    ProviderUnavailableError,
    RateLimitError,
)
from mbxai.openrouter import RateLimiter


class Time:
    """A clock that moves on when everybody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.sleepers = []
        self.slept = 0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.slept += 1
        wake = asyncio.Event()
        heapq.heappush(self.sleepers, (self.now + seconds, self.slept, wake))
        await wake.wait()

    async def settle(self):
        """Let everybody run until all of them sleep."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def run(self, until=math.inf):
        await self.settle()
        while self.sleepers and self.sleepers[0][0] <= until:
            self.now, _, wake = heapq.heappop(self.sleepers)
            wake.set()
            await self.settle()
        if until < math.inf:
            self.now = until


class Road:
    """Sends callers through a limiter and notes when they came out."""

    def __init__(self, *args, **kwargs):
        self.time = Time()
        self.limiter = RateLimiter(*args, clock=self.time, sleep=self.time.sleep, **kwargs)
        self.passed = []
        self.tasks = {}

    def send(self, *names, model="a/b"):
        for name in names:
            self.tasks[name] = asyncio.create_task(self._pass(name, model))

    async def _pass(self, name, model):
        await self.limiter.wait(model)
        self.passed.append((name, round(self.time.now, 6)))

    async def all_passed(self):
        await self.time.run()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return self.passed


def refused(retry_after, *, is_account_limit=False, status=429):
    error = RateLimitError("slow", status=status, retry_after=retry_after)
    error.is_account_limit = is_account_limit
    return error


async def test_requests_are_spaced_out_in_the_order_in_which_they_came():
    road = Road(60)
    road.send(*"abcde")
    assert await road.all_passed() == [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4)]


async def test_a_burst_passes_at_once_and_fills_up_again_while_nobody_comes():
    road = Road(60, burst=3)
    road.send(*"abcde")
    assert await road.all_passed() == [("a", 0), ("b", 0), ("c", 0), ("d", 1), ("e", 2)]
    await road.time.run(until=100)
    road.passed.clear()
    road.send(*"fghi")
    assert await road.all_passed() == [("f", 100), ("g", 100), ("h", 100), ("i", 101)]


async def test_without_a_number_nobody_waits():
    road = Road()
    road.send(*range(500))
    assert {moment for _, moment in await road.all_passed()} == {0}
    assert road.time.slept == 0


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "20", True, []])
def test_a_number_of_requests_that_is_none_is_refused(value):
    with pytest.raises(OpenRouterConfigurationError, match="requests_per_minute"):
        RateLimiter(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan, math.inf, "2", True, None])
def test_a_burst_that_is_none_is_refused(value):
    with pytest.raises(OpenRouterConfigurationError, match="burst"):
        RateLimiter(20, burst=value)


async def test_after_a_429_the_same_model_waits_and_others_do_not():
    road = Road()
    road.limiter.note("a/b", refused(5.0))
    road.send("same")
    road.send("other", model="c/d")
    road.send("none", model="")
    assert await road.all_passed() == [("other", 0), ("none", 0), ("same", 5)]


async def test_openrouters_own_limit_on_free_models_holds_all_of_them():
    road = Road()
    road.limiter.note("a/b:free", refused(5.0, is_account_limit=True))
    road.send("same", model="a/b:free")
    road.send("free", model="c/d:free")
    road.send("paid", model="a/b")
    assert await road.all_passed() == [("paid", 0), ("same", 5), ("free", 5)]


async def test_a_providers_limit_on_a_free_model_holds_that_one():
    road = Road()
    road.limiter.note("a/b:free", refused(5.0))
    road.send("same", model="a/b:free")
    road.send("free", model="c/d:free")
    assert await road.all_passed() == [("free", 0), ("same", 5)]


async def test_an_account_limit_on_a_paid_model_holds_that_one():
    road = Road()
    road.limiter.note("a/b", refused(5.0, is_account_limit=True))
    road.send("same")
    road.send("free", model="a/b:free")
    assert await road.all_passed() == [("free", 0), ("same", 5)]


@pytest.mark.parametrize(
    "error",
    [
        refused(None),
        refused(5.0, status=503),
        ProviderUnavailableError("x", status=503, retry_after=5.0),
        OpenRouterAPIError("x", status=None, retry_after=5.0),
        OpenRouterConnectionError("x"),
    ],
)
async def test_only_a_429_that_names_its_end_holds_anybody(error):
    road = Road()
    road.limiter.note("a/b", error)
    road.send("a")
    assert await road.all_passed() == [("a", 0)]


async def test_the_latest_end_counts_and_none_lies_further_than_a_day():
    road = Road()
    for seconds in (3.0, 7.0, 2.0):
        road.limiter.note("a/b", refused(seconds))
    road.limiter.note("c/d", refused(1e12))
    road.send("a")
    road.send("c", model="c/d")
    assert await road.all_passed() == [("a", 7), ("c", 24 * 3600)]


async def test_a_429_also_holds_those_who_have_a_place_already():
    road = Road(60)
    road.send(*"abc")
    await road.time.run(until=0.5)
    road.limiter.note("a/b", refused(9.5))
    assert await road.all_passed() == [("a", 0), ("b", 10), ("c", 11)]


async def test_those_whom_a_429_held_are_spaced_out_all_the_same():
    road = Road(60)
    road.limiter.note("a/b", refused(5.0))
    road.send(*"abc")
    assert await road.all_passed() == [("a", 5), ("b", 6), ("c", 7)]


async def test_a_wait_beyond_the_deadline_fails_at_once_and_takes_no_place():
    road = Road(60)
    road.send("a")
    await road.time.settle()
    for _ in range(3):
        with pytest.raises(RateLimitError, match="nothing was sent") as caught:
            await road.limiter.wait("a/b", deadline=anyio.current_time() + 0.5)
        assert caught.value.retry_after == pytest.approx(1.0)
        assert caught.value.status == 429
    road.send("b")
    assert await road.all_passed() == [("a", 0), ("b", 1)]


async def test_a_block_beyond_the_deadline_fails_at_once():
    road = Road()
    road.limiter.note("a/b", refused(30.0))
    with pytest.raises(RateLimitError) as caught:
        await road.limiter.wait("a/b", deadline=anyio.current_time() + 20)
    assert caught.value.retry_after == pytest.approx(30.0)
    assert road.time.slept == 0
    await road.limiter.wait("c/d", deadline=anyio.current_time() + 20)


async def test_the_places_of_those_who_give_up_are_given_to_others():
    road = Road(60)
    road.send(*"abcdef")
    await road.time.settle()
    for name in "bcef":
        road.tasks[name].cancel()
    await road.time.settle()
    road.send(*"xyz")
    assert await road.all_passed() == [("a", 0), ("x", 1), ("y", 2), ("d", 3), ("z", 4)]


async def test_places_of_the_past_are_not_made_up_for():
    road = Road(60)
    road.send(*"abcd")
    await road.time.settle()
    for name in "bcd":
        road.tasks[name].cancel()
    await road.time.run(until=50.5)
    road.passed.clear()
    road.send(*"xy")
    assert await road.all_passed() == [("x", 50.5), ("y", 51.5)]


async def test_giving_up_during_a_block_frees_nothing_that_was_not_taken():
    road = Road(60)
    road.limiter.note("a/b", refused(5.0))
    road.send("a")
    await road.time.settle()
    road.tasks["a"].cancel()
    road.send(*"bc")
    assert await road.all_passed() == [("b", 5), ("c", 6)]


async def test_what_is_known_of_models_is_bounded():
    road = Road()
    for number in range(5000):
        road.limiter.note(f"a/{number}", refused(0.5))
        road.time.now += 1.0
    assert len(road.limiter._blocked) <= 1000


def test_threads_and_event_loops_share_one_limiter():
    limiter = RateLimiter(60 / 0.005)
    moments = []

    async def pass_often():
        for _ in range(5):
            await limiter.wait("a/b")
            moments.append(time.monotonic())

    threads = [threading.Thread(target=lambda: asyncio.run(pass_often())) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(9.0)
    assert len(moments) == 20
    # Each is at its place or later, whoever it is.
    assert all(
        moment - began >= place * 0.005 - 0.001 for place, moment in enumerate(sorted(moments))
    )

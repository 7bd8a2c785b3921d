"""The rate limiter inside a client, seen by a server."""

import asyncio
import time

import pytest
from support.fault_clients import KINDS, USER, asking
from support.raw_server import RawServer, answer, completion

from mbxai.errors import RateLimitError
from mbxai.openrouter import AsyncOpenRouterClient, RateLimiter

pytestmark = pytest.mark.parametrize("kind", KINDS)
OK = answer(completion("fine"))
ACCOUNT = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"}


def refused(**headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer({"error": {"code": 429, "message": "slow"}}, status=429, headers=named)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.mark.alone
async def test_requests_leave_in_their_time(kind, raw):
    raw.script(OK)
    limiter = RateLimiter(600, burst=2)  # one each tenth of a second
    async with asking(kind, raw.base_url, rate_limiter=limiter) as asker:
        began = time.monotonic()
        await asyncio.gather(*(asker.ask() for _ in range(7)))
    moments = sorted(request["at"] - began for request in raw.seen().requests)
    assert len(moments) == 7
    for place, moment in enumerate(moments[2:], start=1):
        assert moment >= place * 0.1 - 0.01


async def test_a_retry_needs_a_place_too(kind, raw):
    raw.script(answer(b"", status=503), answer(b"", status=503), OK)
    async with asking(kind, raw.base_url, rate_limiter=RateLimiter(600)) as asker:
        assert (await asker.ask()).attempts == 3
    first, _, third = (request["at"] for request in raw.seen().requests)
    assert third - first >= 0.15


async def test_a_place_beyond_the_time_of_the_call_fails_at_once_and_sends_nothing(kind, raw):
    raw.script(OK)
    async with asking(kind, raw.base_url, rate_limiter=RateLimiter(1)) as asker:
        await asker.ask()
        for is_stream in (False, True):
            with pytest.raises(RateLimitError, match="nothing was sent") as caught:
                await asker.ask(timeout=5.0, stream=is_stream)
            assert 50 < caught.value.retry_after <= 60
            assert (caught.value.attempts, caught.value.history) == (0, ())
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("source", ["Retry-After", "retry-after-ms", "X-RateLimit-Reset"])
async def test_the_end_that_a_429_names_holds_free_models_and_no_others(kind, source, raw):
    value = {
        "Retry-After": "100",
        "retry-after-ms": "100000",
        "X-RateLimit-Reset": str(int((time.time() + 100) * 1000)),
    }[source]
    raw.script(refused(**ACCOUNT, **{source: value}), OK)
    async with asking(kind, raw.base_url, rate_limiter=RateLimiter()) as asker:
        with pytest.raises(RateLimitError) as first:
            await asker.ask(model="a/b:free")
        assert first.value.attempts == 1
        assert first.value.is_account_limit
        with pytest.raises(RateLimitError, match="nothing was sent") as second:
            await asker.ask(model="c/d:free", timeout=20.0)
        assert 80 < second.value.retry_after <= 101
        assert (await asker.ask(model="a/b", timeout=20.0)).choices
    assert len(raw.seen().requests) == 2


async def test_a_providers_429_holds_its_model_only(kind, raw):
    raw.script(refused(Retry_After="100"), OK)
    async with asking(kind, raw.base_url, rate_limiter=RateLimiter()) as asker:
        with pytest.raises(RateLimitError):
            await asker.ask(model="a/b:free")
        with pytest.raises(RateLimitError, match="nothing was sent"):
            await asker.ask(model="a/b:free", timeout=20.0)
        assert (await asker.ask(model="c/d:free", timeout=20.0)).choices
    assert len(raw.seen().requests) == 2


async def test_after_a_short_429_the_others_wait_for_its_end(kind, raw):
    raw.script(refused(Retry_After="0.5"), OK)
    async with asking(kind, raw.base_url, max_retries=0, rate_limiter=RateLimiter()) as asker:
        with pytest.raises(RateLimitError):
            await asker.ask()
        await asyncio.gather(*(asker.ask() for _ in range(3)))
    first, *others = (request["at"] for request in raw.seen().requests)
    assert all(moment - first >= 0.45 for moment in others)


async def test_derived_clients_and_other_clients_share_a_limiter(kind, raw):
    raw.script(OK)
    limiter = RateLimiter(1, burst=2)
    async with (
        asking(kind, raw.base_url, rate_limiter=limiter) as asker,
        asking(kind, raw.base_url, rate_limiter=limiter) as other,
    ):
        await asker.ask()
        await other.ask()
        derived = type(asker)(asker.client.with_options(timeout=5.0))
        with pytest.raises(RateLimitError, match="nothing was sent"):
            await derived.ask()
        free = type(asker)(asker.client.with_options(rate_limiter=None))
        await free.ask()
    assert len(raw.seen().requests) == 3


async def test_who_is_cancelled_while_waiting_leaves_its_place_to_others(kind, raw):
    raw.script(OK)
    limiter = RateLimiter(120)  # one each half second
    async with AsyncOpenRouterClient("k", "a/b", raw.base_url, rate_limiter=limiter) as client:
        await client.create(USER)
        waiting = [asyncio.create_task(client.create(USER)) for _ in range(200)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    async with asking(kind, raw.base_url, rate_limiter=limiter) as asker:
        await asker.ask(timeout=5.0)  # not after the hundred seconds of those who left
    assert len(raw.seen().requests) == 2

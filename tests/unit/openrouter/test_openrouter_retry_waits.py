import anyio
import pytest

from mbxai.errors import InvalidResponseError, OpenRouterTimeoutError, RateLimitError
from mbxai.openrouter._retry import RetryPolicy, delay_before, run_with_retry
from mbxai.openrouter._transport_error import FaultKind, TransportError

POLICY = RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=10.0)


def refused(retry_after):
    return RateLimitError("x", status=429, retry_after=retry_after)


async def waits_after(error, policy=POLICY, **kwargs):
    """Every wait of a call that always fails in the same way."""
    waits = []

    async def attempt(_number):
        raise error

    async def sleep(seconds):
        waits.append(seconds)

    with pytest.raises(type(error)):
        await run_with_retry(attempt, policy, sleep=sleep, **kwargs)
    return waits


@pytest.mark.parametrize("asked", [59.0, 60.0])
async def test_a_minute_is_waited_whatever_chance_adds(asked):
    for _ in range(20):
        waits = await waits_after(refused(asked))
        assert len(waits) == 3
        assert all(asked <= wait <= asked * 1.1 for wait in waits)


@pytest.mark.parametrize("asked", [60.01, 63.0])
async def test_more_than_a_minute_is_not_waited_whatever_chance_adds(asked):
    for _ in range(20):
        assert await waits_after(refused(asked)) == []


async def test_who_would_wait_longer_anyway_waits_that_long_for_the_server_too():
    policy = RetryPolicy(max_retries=1, initial_delay=1.0, max_delay=300.0)
    assert len(await waits_after(refused(290.0), policy)) == 1
    assert await waits_after(refused(301.0), policy) == []


@pytest.mark.parametrize("asked", [None, 0.0])
def test_a_wait_of_no_length_is_none_so_that_no_wave_comes_back_together(asked):
    assert delay_before(1, refused(asked), POLICY, uniform=lambda _low, high: high) == 1.0
    assert delay_before(2, refused(asked), POLICY, uniform=lambda _low, high: high) == 2.0


async def test_a_backoff_beyond_the_deadline_is_a_timeout_although_the_server_said_zero():
    policy = RetryPolicy(max_retries=1, initial_delay=1e9, max_delay=1e9)

    async def attempt(_number):
        raise refused(0.0)

    with pytest.raises(OpenRouterTimeoutError) as caught:
        await run_with_retry(attempt, policy, deadline=anyio.current_time() + 5)
    assert isinstance(caught.value.__cause__, RateLimitError)


async def test_an_answer_in_a_broken_coding_is_asked_for_once_more_only():
    error = InvalidResponseError("x")
    error.__cause__ = TransportError(FaultKind.GARBLED, "y")
    assert len(await waits_after(error)) == 1

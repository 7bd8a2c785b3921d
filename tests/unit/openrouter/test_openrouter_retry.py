import anyio
import pytest

from mbxai.errors import (
    AuthenticationError,
    InvalidResponseError,
    OpenRouterAPIError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    StreamTruncatedError,
)
from mbxai.openrouter._retry import (
    RetryBudget,
    RetryPolicy,
    delay_before,
    is_retryable,
    run_with_retry,
)
from mbxai.openrouter._transport_error import FaultKind, TransportError
from mbxai.openrouter.client import with_retry
from mbxai.wire import ChatCompletion

POLICY = RetryPolicy(max_retries=3, initial_delay=1.0, max_delay=10.0)


def failed(kind, cls=OpenRouterConnectionError):
    error = cls("x")
    error.__cause__ = TransportError(kind, "y")
    return error


class Sleeper:
    def __init__(self):
        self.waits = []

    async def __call__(self, seconds):
        self.waits.append(seconds)


class Attempts:
    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.numbers = []

    async def __call__(self, number):
        self.numbers.append(number)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.mark.parametrize(
    "error",
    [
        *(
            OpenRouterAPIError("x", status=status)
            for status in (408, 409, 425, 429, 500, 502, 503, 504, 520, 524, 529)
        ),
        failed(FaultKind.CONNECT),
        failed(FaultKind.DROPPED),
        failed(FaultKind.CONNECT_TIMEOUT, OpenRouterTimeoutError),
        failed(FaultKind.GARBLED, InvalidResponseError),
        InvalidResponseError("x"),
        StreamTruncatedError("x"),
        OpenRouterConnectionError("x"),
    ],
)
def test_what_may_succeed_is_sent_again(error):
    assert is_retryable(error)


@pytest.mark.parametrize(
    "error",
    [
        *(
            OpenRouterAPIError("x", status=status)
            for status in (None, 400, 401, 402, 403, 404, 413, 422)
        ),
        OpenRouterAPIError("x", status=503, body={"availability": {"retryable": False}}),
        failed(FaultKind.READ_TIMEOUT, OpenRouterTimeoutError),
        failed(FaultKind.TLS),
        failed(FaultKind.PROXY),
        failed(FaultKind.REDIRECT),
        failed(FaultKind.BROKEN),
        failed(FaultKind.TOO_LARGE, InvalidResponseError),
        OpenRouterTimeoutError("x"),
        StreamTruncatedError("x", partial=ChatCompletion()),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
)
def test_what_cannot_succeed_or_may_be_billed_twice_is_not_sent_again(error):
    assert not is_retryable(error)


def test_the_backoff_doubles_up_to_its_limit_and_is_fully_jittered():
    error = OpenRouterConnectionError("x")
    most = [
        delay_before(retry, error, POLICY, uniform=lambda _low, high: high) for retry in range(1, 7)
    ]
    least = [
        delay_before(retry, error, POLICY, uniform=lambda low, _high: low) for retry in range(1, 7)
    ]
    assert most == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert least == [0.0] * 6
    assert delay_before(10**6, error, POLICY, uniform=lambda _low, high: high) == 10.0


def test_a_wait_that_the_server_names_is_never_shortened():
    error = RateLimitError("x", status=429, retry_after=20.0)
    assert delay_before(1, error, POLICY, uniform=lambda low, _high: low) == 20.0
    assert delay_before(1, error, POLICY, uniform=lambda _low, high: high) == 22.0


async def test_the_first_success_is_returned():
    sleep = Sleeper()
    attempts = Attempts(
        ProviderUnavailableError("x", status=502), InvalidResponseError("x"), "fine"
    )
    assert await run_with_retry(attempts, POLICY, sleep=sleep) == "fine"
    assert attempts.numbers == [1, 2, 3]
    assert len(sleep.waits) == 2


async def test_the_last_error_is_raised_with_the_number_of_attempts():
    attempts = Attempts(ProviderUnavailableError("x", status=502))
    with pytest.raises(ProviderUnavailableError) as caught:
        await run_with_retry(attempts, POLICY, sleep=Sleeper())
    assert caught.value.attempts == 4
    assert len(attempts.numbers) == 4


async def test_no_retries_means_one_attempt():
    attempts = Attempts(ProviderUnavailableError("x", status=502))
    with pytest.raises(ProviderUnavailableError):
        await run_with_retry(attempts, RetryPolicy(max_retries=0), sleep=Sleeper())
    assert attempts.numbers == [1]


@pytest.mark.parametrize("asked", [61.0 * 1.2, 86400.0])
async def test_a_wait_of_more_than_a_minute_fails_now_and_says_so(asked):
    sleep = Sleeper()
    with pytest.raises(RateLimitError) as caught:
        await run_with_retry(
            Attempts(RateLimitError("x", status=429, retry_after=asked)), POLICY, sleep=sleep
        )
    assert caught.value.retry_after == asked
    assert sleep.waits == []


async def test_a_wait_beyond_the_deadline_fails_now_with_the_real_error():
    sleep = Sleeper()
    error = RateLimitError("x", status=429, retry_after=30.0)
    with pytest.raises(RateLimitError):
        await run_with_retry(
            Attempts(error), POLICY, deadline=anyio.current_time() + 10, sleep=sleep
        )
    assert sleep.waits == []


async def test_an_outage_is_not_multiplied():
    budget, sleep = RetryBudget(), Sleeper()
    for _ in range(500):
        with pytest.raises(RateLimitError):
            await run_with_retry(
                Attempts(RateLimitError("x", status=429)), POLICY, budget=budget, sleep=sleep
            )
    assert len(sleep.waits) == 100
    for _ in range(3):
        await run_with_retry(Attempts("fine"), POLICY, budget=budget, sleep=sleep)
    attempts = Attempts(RateLimitError("x", status=429), "fine")
    assert await run_with_retry(attempts, POLICY, budget=budget, sleep=sleep) == "fine"


async def test_cancelling_during_the_wait_cancels():
    with anyio.move_on_after(0.05) as scope:
        await run_with_retry(Attempts(RateLimitError("x", status=429, retry_after=30.0)), POLICY)
    assert scope.cancelled_caught


async def test_the_decorator_repeats_a_function_with_its_arguments():
    seen = []

    @with_retry(max_retries=2, retry_initial_delay=0.0)
    async def flaky(number: int, *, word: str) -> str:
        """Fails twice."""
        seen.append(number)
        if len(seen) < 3:
            raise OpenRouterConnectionError("x")
        return word

    assert await flaky(7, word="yes") == "yes"
    assert seen == [7, 7, 7]
    assert flaky.__doc__ == "Fails twice."


async def test_the_decorator_leaves_final_errors_alone():
    seen = []

    @with_retry()
    async def refused() -> None:
        seen.append(1)
        raise AuthenticationError("x", status=401)

    with pytest.raises(AuthenticationError):
        await refused()
    assert seen == [1]

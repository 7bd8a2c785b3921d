"""When a request is sent again, after how long, and how often.

The decisions are pure functions; tenacity runs them and `anyio.sleep` waits.
"""

import functools
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import anyio
import tenacity

from mbxai._redaction import get_logger
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterAPIError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterTimeoutError,
    StreamError,
)
from mbxai.openrouter._faults import is_final
from mbxai.openrouter._transport_error import FaultKind, TransportError

P = ParamSpec("P")
T = TypeVar("T")

_log = get_logger(__name__)

RETRIED_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, *range(520, 525), 529})
"""Status codes after which the same request may succeed."""

_RETRIED_KINDS: Final = frozenset(
    {FaultKind.CONNECT, FaultKind.CONNECT_TIMEOUT, FaultKind.DROPPED, FaultKind.GARBLED}
)
_NOT_SENT: Final = frozenset({FaultKind.CONNECT, FaultKind.CONNECT_TIMEOUT})
_PERHAPS_DONE: Final = frozenset({FaultKind.READ_TIMEOUT, FaultKind.BROKEN})
_MAX_SERVER_WAIT: Final = 60.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long.

    Attributes:
        max_retries: How often a request is sent again after the first time, 0 or more.
        initial_delay: Most seconds before the first retry; doubles with each further one.
        max_delay: Most seconds before any retry, unless the server asks for more (up to 60).
    """

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 10.0


def checked_policy(
    max_retries: object, retry_initial_delay: object, retry_max_delay: object
) -> RetryPolicy:
    """Return the policy that three arguments describe.

    Raises:
        OpenRouterConfigurationError: One has another type, is negative or not finite; the message
            names it.
    """
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise OpenRouterConfigurationError("max_retries must be a whole number, 0 or more.")
    return RetryPolicy(
        max_retries=max_retries,
        initial_delay=_checked_delay("retry_initial_delay", retry_initial_delay),
        max_delay=_checked_delay("retry_max_delay", retry_max_delay),
    )


class RetryBudget:
    """A bucket of tokens that keeps a client from multiplying an outage.

    Single calls never notice it: it runs dry when a hundred retries in a row found no success.
    """

    _CAPACITY: Final = 500.0
    _COST: Final = 5.0
    _REFUND: Final = 5.0

    def __init__(self) -> None:
        """Start full."""
        self._tokens = self._CAPACITY

    def take(self) -> bool:
        """Pay for a retry; false if there is nothing left to pay with."""
        if self._tokens < self._COST:
            return False
        self._tokens -= self._COST
        return True

    def refund(self) -> None:
        """Note a success."""
        self._tokens = min(self._CAPACITY, self._tokens + self._REFUND)


def is_retryable(
    error: BaseException, *, is_repeatable: bool = False, is_effect: bool = False
) -> bool:
    """Whether the same request, sent again, may succeed without being billed twice.

    Args:
        error: What the attempt raised.
        is_repeatable: Whether a request that may have run can be sent again all the same.
        is_effect: Whether the request changes something on the server, so that it is sent again
            only where it provably did not run.
    """
    if is_effect:
        return _did_not_run(error)
    if isinstance(error, StreamError):
        return error.partial is None  # not a token has been delivered
    fault = error.__cause__
    if isinstance(fault, TransportError):
        return fault.kind in _RETRIED_KINDS or (is_repeatable and fault.kind in _PERHAPS_DONE)
    if isinstance(error, OpenRouterAPIError):
        return error.status in RETRIED_STATUS and not is_final(error)
    if isinstance(error, OpenRouterTimeoutError):
        return is_repeatable
    return isinstance(error, OpenRouterConnectionError | InvalidResponseError)


def _did_not_run(error: BaseException) -> bool:
    if isinstance(error, OpenRouterAPIError):
        return error.status in {429, 503} and not is_final(error)
    fault = error.__cause__
    return isinstance(fault, TransportError) and fault.kind in _NOT_SENT


def delay_before(
    retry: int,
    error: BaseException,
    policy: RetryPolicy,
    *,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return the seconds to wait before a retry.

    Full jitter: any moment up to the backoff, so that clients that failed together do not come
    back together. A wait that the server names is kept, with up to a tenth more; one of no length
    says nothing.

    Args:
        retry: 1 for the first retry.
        error: Why there is one.
        policy: Bounds of the backoff.
        uniform: Source of chance.
    """
    if asked := _asked_wait(error):
        return asked + uniform(0.0, asked / 10)
    backoff = policy.initial_delay * 2.0 ** min(retry - 1, 32)
    return uniform(0.0, min(backoff, policy.max_delay))


async def run_with_retry(
    attempt: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    *,
    deadline: float | None = None,
    budget: RetryBudget | None = None,
    is_repeatable: bool = False,
    is_effect: bool = False,
    on_wait: Callable[[float], object] | None = None,
    sleep: Sleep = anyio.sleep,
) -> T:
    """Call until success, a final failure, or the end of patience.

    Args:
        attempt: Called with 1, then 2, and so on.
        policy: How often and how long.
        deadline: Moment of the event loop's clock past which no retry may begin.
        budget: Shared by the calls of a client.
        is_repeatable: Whether a request that may have run can be sent again.
        is_effect: Whether it is sent again only where it provably did not run.
        on_wait: Called with the seconds of each wait before it begins.
        sleep: Waits; tests pass their own.

    Returns:
        What the first successful attempt returned.

    Raises:
        OpenRouterError: What the last attempt raised, with `attempts` filled in.
        OpenRouterTimeoutError: The wait before the next attempt would pass the deadline; the last
            failure is its cause.
    """
    try:
        result = await attempt(1)
    except OpenRouterError as error:
        error.attempts = 1
        if not is_retryable(error, is_repeatable=is_repeatable, is_effect=is_effect):
            raise
        # Only now tenacity is asked: it costs more than a call that succeeds at once.
        retries = _Retries(policy, deadline, budget, error)
        result = await retries.run(
            attempt,
            is_repeatable=is_repeatable,
            is_effect=is_effect,
            on_wait=on_wait,
            sleep=sleep,
        )
    if budget is not None:
        budget.refund()
    return result


class _Retries:
    """The attempts of one call after the first has failed."""

    def __init__(
        self,
        policy: RetryPolicy,
        deadline: float | None,
        budget: RetryBudget | None,
        first: OpenRouterError,
    ) -> None:
        self._policy = policy
        self._deadline = deadline
        self._budget = budget
        self._first = first
        self._number = 1
        self._unreadable = 0  # answers that were no completion
        self._is_out_of_time = False

    async def run(
        self,
        attempt: Callable[[int], Awaitable[T]],
        *,
        is_repeatable: bool,
        is_effect: bool,
        on_wait: Callable[[float], object] | None,
        sleep: Sleep,
    ) -> T:
        async def numbered() -> T:
            if self._number == 1:
                self._number = 2
                raise self._first
            self._number += 1
            return await attempt(self._number - 1)

        def before_sleep(state: tenacity.RetryCallState) -> None:
            _log_retry(state)
            if on_wait is not None:
                on_wait(state.upcoming_sleep)

        retrying = tenacity.AsyncRetrying(
            sleep=sleep,
            retry=tenacity.retry_if_exception(
                lambda error: is_retryable(error, is_repeatable=is_repeatable, is_effect=is_effect)
            ),
            wait=lambda state: delay_before(state.attempt_number, _error_of(state), self._policy),
            stop=self._is_over,
            before_sleep=before_sleep,
            reraise=True,
        )
        try:
            result: T = await retrying(numbered)
        except OpenRouterError as error:
            error.attempts = self._number - 1
            if not self._is_out_of_time:
                raise
            raise OpenRouterTimeoutError(
                f"The time for the call was up before it could be tried again: {error.message}",
                hint="Raise timeout=.",
                request_id=error.request_id,
                generation_id=error.generation_id,
                attempts=error.attempts,
            ) from error
        return result

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        error = _error_of(state)
        wait = state.upcoming_sleep
        if state.attempt_number > self._policy.max_retries:
            return True
        if _asked_wait(error) > max(_MAX_SERVER_WAIT, self._policy.max_delay):
            return True
        # An answer that is none may be the rule here, and each of them may have been billed.
        self._unreadable += isinstance(error, InvalidResponseError | StreamError)
        if self._unreadable > 1:
            return True
        if self._deadline is not None and anyio.current_time() + wait >= self._deadline:
            # A wait that the server asked for is better told by the server's own error.
            self._is_out_of_time = not _asked_wait(error)
            return True
        return self._budget is not None and not self._budget.take()


def _asked_wait(error: BaseException) -> float:
    """Seconds that the server asks to wait; 0 where it asks for nothing."""
    return (error.retry_after or 0.0) if isinstance(error, OpenRouterAPIError) else 0.0


def with_retry(
    max_retries: int = 3, retry_initial_delay: float = 1.0, retry_max_delay: float = 10.0
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Decorate a coroutine function with the retries that the clients use.

    It is called again after the errors that a client would retry: lost connections, rate limits,
    failures of OpenRouter or a provider. Any other exception passes through at once.

    Args:
        max_retries: How often it is called again after the first time.
        retry_initial_delay: Most seconds before the first retry; doubles with each further one.
        retry_max_delay: Most seconds before any retry, unless the server asks for more.

    Raises:
        OpenRouterConfigurationError: One of them is no such number.
    """
    policy = checked_policy(max_retries, retry_initial_delay, retry_max_delay)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            async def attempt(_number: int) -> T:
                return await function(*args, **kwargs)

            return await run_with_retry(attempt, policy)

        return retrying

    return decorate


def _checked_delay(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise OpenRouterConfigurationError(f"{name} must be a number of seconds, 0 or more.")
    return float(value)


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    return error or RuntimeError("no outcome")


def _log_retry(state: tenacity.RetryCallState) -> None:
    _log.info(
        "Attempt %d failed (%s); the next one follows in %.2f s.",
        state.attempt_number,
        type(_error_of(state)).__name__,
        state.upcoming_sleep,
    )

"""One call from its first attempt to its result: deadline, retries, limiter, and what is noted."""

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeAlias, TypeVar

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import OpenRouterError, OpenRouterTimeoutError
from mbxai.openrouter._answer import Answer
from mbxai.openrouter._exchange import exchange
from mbxai.openrouter._lazy_transport import LazyTransport
from mbxai.openrouter._limiter import RateLimiter
from mbxai.openrouter._request import CallDefaults, PreparedCall
from mbxai.openrouter._retry import RetryBudget, RetryPolicy, run_with_retry
from mbxai.wire import Attempt, ResponseInfo

R = TypeVar("R")

AttemptObserver: TypeAlias = Callable[[Attempt], Awaitable[None] | None]
"""Called after each attempt, for a second at most; an exception of it is logged and no more."""

_log = get_logger(__name__)
_OBSERVER_SECONDS: Final = 1.0
_CANCELLED: Final = "cancelled"
_FOREVER: Final = float("inf")


@dataclass(slots=True)
class CallRecord:
    """What is known of a call while it runs.

    Attributes:
        deadline: Moment of the event loop's clock at which the call's time is up.
        history: Attempts that have ended.
        answer: What the running attempt got; None until it got something.
    """

    deadline: float = _FOREVER
    history: list[Attempt] = field(default_factory=list[Attempt])
    answer: Answer | None = None

    def response(self) -> ResponseInfo:
        """Return the response of the last attempt, with every attempt that has ended."""
        if self.answer is None:
            return ResponseInfo(0, {}, tuple(self.history))
        return ResponseInfo(self.answer.status, self.answer.headers, tuple(self.history))

    def note_wait(self, seconds: float) -> None:
        """Note how long the call waits after its last attempt."""
        self.history[-1] = replace(self.history[-1], wait=seconds)


@dataclass(frozen=True, slots=True)
class Received(Generic[R]):
    """What a call gave, and the response that it came with."""

    value: R
    response: ResponseInfo


class Caller:
    """Makes the calls of one client; clients made by `with_options` share what it stands on."""

    def __init__(
        self,
        transport: LazyTransport,
        *,
        defaults: CallDefaults,
        policy: RetryPolicy,
        budget: RetryBudget,
        limiter: RateLimiter | None = None,
        on_attempt: AttemptObserver | None = None,
    ) -> None:
        """Keep the parts; nothing is sent.

        Args:
            transport: Sends.
            defaults: What holds for every call.
            policy: How often and how long to retry.
            budget: Keeps retries from multiplying an outage.
            limiter: Holds requests back; None for no limit.
            on_attempt: Told of every attempt.
        """
        self.transport: Final = transport
        self.defaults: Final = defaults
        self.policy: Final = policy
        self.budget: Final = budget
        self.limiter: Final = limiter
        self.on_attempt: Final = on_attempt

    async def run(
        self, call: PreparedCall, receive: Callable[[Answer, CallRecord], Awaitable[R]]
    ) -> Received[R]:
        """Send a request until an answer can be received, or patience ends.

        A cancellation from outside passes through: only the call's own deadline is an error.

        Args:
            call: What to send.
            receive: Makes a result of an answer with a status of success; it frees the connection.

        Raises:
            OpenRouterError: As the attempts failed.
        """
        record = CallRecord()
        received: Received[R] | None = None
        with anyio.move_on_after(call.timeout) as scope:
            record.deadline = scope.deadline

            async def attempt(number: int) -> Received[R]:
                return await self._attempt(call, receive, record, number)

            try:
                received = await run_with_retry(
                    attempt,
                    self.policy,
                    deadline=scope.deadline,
                    budget=self.budget,
                    is_repeatable=call.is_repeatable,
                    is_effect=call.is_effect,
                    on_wait=record.note_wait,
                )
            except OpenRouterError as error:
                error.attempts = len(record.history)  # the limiter may have let nothing through
                error.history = tuple(record.history)
                raise
        if received is not None:
            if self.on_attempt is not None:  # outside the call's time, which it must not cost
                await _tell(self.on_attempt, record.history[-1])
            return received
        timeout = OpenRouterTimeoutError(
            f"No whole answer came within {call.timeout} s.",
            hint="Raise timeout=, or stream the answer.",
            attempts=len(record.history),
        )
        if record.history and record.history[-1].outcome == _CANCELLED:  # by the deadline
            record.history[-1] = replace(record.history[-1], outcome=type(timeout).__name__)
            if self.on_attempt is not None:
                await _tell(self.on_attempt, record.history[-1])
        timeout.history = tuple(record.history)
        raise timeout

    async def _attempt(
        self,
        call: PreparedCall,
        receive: Callable[[Answer, CallRecord], Awaitable[R]],
        record: CallRecord,
        number: int,
    ) -> Received[R]:
        if self.limiter is not None:
            await self.limiter.wait(call.model, deadline=record.deadline)
        started_at, began = time.time(), time.perf_counter()
        failure: OpenRouterError | None = None
        outcome = _CANCELLED
        record.answer = None
        try:
            value = await self._received(call, receive, record, number)
            outcome = "ok"
        except OpenRouterError as error:
            failure, outcome = error, type(error).__name__
            if self.limiter is not None:
                self.limiter.note(call.model, error)
            raise
        finally:
            response = record.response()
            attempt = Attempt(
                number,
                call.method,
                call.path,
                started_at,
                time.perf_counter() - began,
                getattr(failure, "status", None) or response.status or None,
                outcome,
                request_id=(failure.request_id if failure else None) or response.request_id,
            )
            record.history.append(attempt)
            if self.on_attempt is not None and failure is not None:
                await _tell(self.on_attempt, attempt)
        return Received(value, record.response())

    async def _received(
        self,
        call: PreparedCall,
        receive: Callable[[Answer, CallRecord], Awaitable[R]],
        record: CallRecord,
        number: int,
    ) -> R:
        limit, name = call.attempt_timeout, "attempt_timeout"
        # From the moment of sending: a server may hold back the head as well.
        first = call.first_token_timeout if call.is_stream else None
        if first is not None and (limit is None or first < limit):
            limit, name = first, "first_token_timeout"
        if limit is None:
            record.answer = await exchange(self.transport, call, attempt=number)
            return await receive(record.answer, record)
        with anyio.move_on_after(limit):
            record.answer = await exchange(self.transport, call, attempt=number)
            return await receive(record.answer, record)
        raise OpenRouterTimeoutError(
            f"No {'chunk' if call.is_stream else 'answer'} came within {limit} s.",
            hint=f"Raise {name}=.",
        )


async def _tell(observer: AttemptObserver, attempt: Attempt) -> None:
    try:
        told = observer(attempt)
        if inspect.isawaitable(told):
            # Beside the call's own time, which would be over for a slow observer's sake.
            with anyio.move_on_after(_OBSERVER_SECONDS, shield=True):
                await told
    except Exception:  # noqa: BLE001  # foreign code, which must not cost an answer
        _log.exception("The observer of attempts failed.")

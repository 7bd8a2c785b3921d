"""Holding requests back on this side, so that the server need not refuse them."""

import heapq
import math
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from mbxai.errors import (
    OpenRouterAPIError,
    OpenRouterConfigurationError,
    OpenRouterError,
    RateLimitError,
)

_MAX_BLOCK_SECONDS: Final = 24 * 3600.0
_MAX_KNOWN_MODELS: Final = 1000
_FREE: Final = ":free"


class RateLimiter:
    """Spaces requests out, and stops where a server has named the moment to go on.

    One limiter may serve any number of clients, event loops and threads. After a 429 the requests
    that it concerns wait until the moment that `Retry-After` or `X-RateLimit-Reset` names: those of
    the same model, or all free models where OpenRouter's own limit on these was met (its answer
    bears `X-RateLimit-*` headers; a provider's does not).
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Start with a full burst.

        Args:
            requests_per_minute: Most requests in a minute; None only follows what the server says.
            burst: How many may follow each other at once before they are spaced out, 1 or more.
            clock: Seconds that never go back; tests pass their own.
            sleep: Waits; tests pass their own.

        Raises:
            OpenRouterConfigurationError: A number is not above 0.
        """
        if requests_per_minute is not None and not _is_positive(requests_per_minute):
            raise OpenRouterConfigurationError("requests_per_minute must be a number above 0.")
        if isinstance(burst, bool) or not _is_positive(burst) or burst != int(burst):
            raise OpenRouterConfigurationError("burst must be a whole number, 1 or more.")
        self._interval = 0.0 if requests_per_minute is None else 60.0 / requests_per_minute
        self._tolerance = self._interval * (burst - 1)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()  # guards the three below
        self._due = -math.inf  # when the next request would be due if all were spaced evenly
        self._freed: list[float] = []  # places of callers that gave up, a heap
        self._blocked: dict[str, float] = {}

    async def wait(self, model: str, *, deadline: float = math.inf) -> None:
        """Return when a request may be sent; its place is taken then.

        Args:
            model: Slug that the request names; may be empty.
            deadline: Moment of the event loop's clock past which waiting is of no use.

        Raises:
            RateLimitError: The wait would pass the deadline; nothing was sent.
        """
        while True:
            left = deadline - anyio.current_time()
            seconds, place = self._claim(model, left)
            if seconds > left:
                raise RateLimitError(
                    f"The rate limit lets the next request through in {seconds:.1f} s,"
                    " later than the call may take; nothing was sent.",
                    hint="Raise timeout=, or send less often.",
                    status=429,
                    retry_after=seconds,
                )
            if seconds > 0:
                await self._sleep_before(place, seconds)
            if place is not None and not (seconds > 0 and self._is_blocked(model)):
                return

    def note(self, model: str, error: OpenRouterError) -> None:
        """Learn from a failure; anything but a 429 that names its end is ignored.

        Args:
            model: Slug that the request named.
            error: How it failed.
        """
        if not isinstance(error, OpenRouterAPIError) or error.status != 429:
            return
        if error.retry_after is None:
            return
        until = self._clock() + min(error.retry_after, _MAX_BLOCK_SECONDS)
        is_account_limit = error.is_account_limit and model.endswith(_FREE)
        with self._lock:
            if len(self._blocked) >= _MAX_KNOWN_MODELS:
                now = self._clock()
                self._blocked = {name: end for name, end in self._blocked.items() if end > now}
            key = _FREE if is_account_limit else model
            self._blocked[key] = max(until, self._blocked.get(key, until))

    async def _sleep_before(self, place: float | None, seconds: float) -> None:
        try:
            await self._sleep(seconds)
        except BaseException:
            if place is not None and self._interval:  # cancelled: somebody else may have it
                with self._lock:
                    heapq.heappush(self._freed, place)
            raise

    def _is_blocked(self, model: str) -> bool:
        """Whether a 429 came while a request waited for its place."""
        with self._lock:
            now = self._clock()
            return self._blocked_until(model, now) > now

    def _blocked_until(self, model: str, now: float) -> float:
        return max(
            self._blocked.get(model, now),
            self._blocked.get(_FREE, now) if model.endswith(_FREE) else now,
        )

    def _claim(self, model: str, left: float) -> tuple[float, float | None]:
        """Seconds to wait, and the place that is taken then; None where one must be asked for."""
        with self._lock:
            now = self._clock()
            blocked = self._blocked_until(model, now)
            if blocked > now:
                return blocked - now, None
            while self._freed and self._freed[0] < now:
                heapq.heappop(self._freed)
            # Places are given in the order in which they are asked for.
            due = self._freed[0] if self._freed else max(self._due, now)
            seconds = max(0.0, due - self._tolerance - now)
            if seconds <= left:
                if self._freed:
                    heapq.heappop(self._freed)
                else:
                    self._due = due + self._interval
            return seconds, due


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0

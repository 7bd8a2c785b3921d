"""The time of calls, which stands still while a person is awaited.

Works on one event loop. A person may take an hour; the server that waits for the answer has not
been slow for it.
"""

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import anyio


class Clocks:
    """All clocks of one server that run now."""

    def __init__(self) -> None:
        """Start with none."""
        self._running: set[_Stoppable] = set()
        self._stopped: set[_Stoppable] = set()
        self._waiting = 0

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Stop all clocks, and those that are started meanwhile, while the block runs."""
        self._waiting += 1
        if self._waiting == 1:  # once for all who are awaited at the same time
            for clock in self._running:
                self._stop(clock)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                stopped, self._stopped = self._stopped, set()
                for clock in stopped:
                    clock.resume()

    def add(self, clock: "_Stoppable") -> None:
        """Take a clock that has just been started."""
        self._running.add(clock)
        if self._waiting:
            self._stop(clock)

    def discard(self, clock: "_Stoppable") -> None:
        """Let go of a clock that has ended."""
        self._running.discard(clock)
        self._stopped.discard(clock)

    def _stop(self, clock: "_Stoppable") -> None:
        self._stopped.add(clock)
        clock.pause()


class CallClock:
    """A deadline for a block; a context manager that is used once."""

    __slots__ = ("_clocks", "_left", "_pauses", "_scope")

    def __init__(self, seconds: float | None, clocks: Clocks) -> None:
        """Prepare a clock.

        Args:
            seconds: How long the block may take, pauses apart; None sets no limit.
            clocks: Where the clock can be stopped while it runs.
        """
        self._clocks = clocks
        self._left = math.inf if seconds is None else seconds
        self._pauses = 0
        self._scope = anyio.CancelScope()

    def pause(self) -> None:
        """Stand still; pauses may overlap."""
        self._pauses += 1
        if self._pauses == 1:
            self._left = self._scope.deadline - anyio.current_time()
            self._scope.deadline = math.inf

    def resume(self) -> None:
        """Go on, once every pause has ended."""
        self._pauses -= 1
        if self._pauses == 0:
            self._scope.deadline = anyio.current_time() + self._left

    @contextmanager
    def paused(self) -> Generator[None]:
        """Stand still while the block runs."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def __enter__(self) -> Self:
        """Start."""
        if self._left < math.inf:
            self._scope.deadline = anyio.current_time() + self._left
        self._scope.__enter__()
        self._clocks.add(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        """Stop; raise TimeoutError if the time was up."""
        self._clocks.discard(self)
        is_over = self._scope.__exit__(exc_type, exc_val, exc_tb)
        if self._scope.cancelled_caught:
            raise TimeoutError
        return is_over


class Alarm:
    """Calls a function after some time, pauses apart."""

    def __init__(self, seconds: float, ring: Callable[[], None], clocks: Clocks) -> None:
        """Start; must be called on the loop.

        Args:
            seconds: When to call.
            ring: What to call.
            clocks: Where the alarm can be stopped.
        """
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._clocks = clocks
        self._left = seconds
        self._pauses = 0
        self._handle: asyncio.TimerHandle | None = self._loop.call_later(seconds, self._over)
        clocks.add(self)

    def cancel(self) -> None:
        """Never call; safe more than once."""
        self._clocks.discard(self)
        self._ring = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def pause(self) -> None:
        """Stand still; pauses may overlap."""
        self._pauses += 1
        if self._pauses == 1 and self._handle is not None:
            self._left = self._handle.when() - self._loop.time()
            self._handle.cancel()

    def resume(self) -> None:
        """Go on, once every pause has ended."""
        self._pauses -= 1
        if self._pauses == 0 and self._handle is not None:
            self._handle = self._loop.call_later(max(0.0, self._left), self._over)

    def _over(self) -> None:
        ring = self._ring
        self.cancel()
        ring()


class _Stoppable(Protocol):
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def _nothing() -> None:
    pass

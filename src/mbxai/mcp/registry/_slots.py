"""How many calls a server gets at the same time; callers may run on different event loops."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Slots:
    """A number of places; whoever finds none waits for one, first come, first served."""

    def __init__(self, number: int | None) -> None:
        """Start with all places free.

        Args:
            number: How many there are; None sets no limit.
        """
        self._free = number
        self._lock = threading.Lock()  # guards _free and _waiting; loops run in other threads
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None, None]:
        """Hold a place for the time of the block; waiting for one can be cancelled."""
        if self._free is None:
            yield
            return
        await self._take()
        try:
            yield
        finally:
            self._give()

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn: asyncio.Future[None] = loop.create_future()
            entry = (loop, turn)
            self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                is_waiting = entry in self._waiting
                if is_waiting:
                    self._waiting.remove(entry)
            if not is_waiting:
                self._give()  # the place was ours already
            raise

    def _give(self) -> None:
        """Hand the place to who has waited longest; from any thread."""
        with self._lock:
            while self._waiting:
                loop, turn = self._waiting.popleft()
                try:
                    loop.call_soon_threadsafe(_wake, turn)
                except RuntimeError:  # its loop is closed, and it with it
                    continue
                return
            if self._free is not None:
                self._free += 1


def _wake(turn: "asyncio.Future[None]") -> None:
    if not turn.done():  # who was cancelled hands the place on
        turn.set_result(None)

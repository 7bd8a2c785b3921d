"""One round of tool calls that runs while its events are read."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from mbxai.tools.runner._progress import ToolListener
from mbxai.wire import ToolEvent


class RoundTask:
    """A task that is owned by whoever reads it: it ends by itself, or when it is closed."""

    def __init__(self, run: Callable[[ToolListener], Awaitable[None]]) -> None:
        """Start the round.

        Args:
            run: Runs the round and tells its events to the listener.
        """
        self._events: deque[ToolEvent] = deque()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._task = asyncio.ensure_future(self._perform(run))

    async def next_event(self) -> ToolEvent | None:
        """Return the next event; None when the round is over.

        Raises:
            BaseException: Whatever ended the round early.
        """
        while not self._events:
            if self._task.done():
                if self._error is not None:
                    raise self._error
                if self._task.cancelled():  # by somebody else, such as a loop that ends
                    raise asyncio.CancelledError
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    async def aclose(self) -> None:
        """Cancel the round if it still runs, and wait for its end."""
        self._task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({self._task})

    async def _perform(self, run: Callable[[ToolListener], Awaitable[None]]) -> None:
        try:
            await run(self._note)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # Ctrl-C in a task would end the loop
            self._error = error
        finally:
            # After this task is done, so that the reader finds it so.
            asyncio.get_running_loop().call_soon(self._changed.set)

    def _note(self, event: ToolEvent) -> None:
        self._events.append(event)
        self._changed.set()

"""Reads a server's tools again when it says that they have changed, not more often than needed."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

from mbxai._redaction import get_logger
from mbxai.errors import MBXAIError
from mbxai.mcp.connection._loops import LoopUnavailableError, run_on

logger = get_logger(__name__)

FIRST_PAUSE: Final = 0.1
"""Seconds between a change and reading it: servers tell of several changes in a row."""

_LONGEST_PAUSE: Final = 5.0


class Refresher:
    """One task at a time that reads what has changed."""

    def __init__(
        self,
        server: str,
        refresh: Callable[[], Awaitable[object]],
        *,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Take what is to be done; nothing is done yet.

        Args:
            server: The name the server was registered under, for the log.
            refresh: Reads the tools again.
            pause: Waits some seconds.
        """
        self._server = server
        self._refresh = refresh
        self._pause = pause
        self._is_due = False
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._process = os.getpid()

    def poke(self) -> None:
        """See that the tools are read soon; on the event loop where that is to be done."""
        if self._is_closed:
            return
        self._is_due = True
        if self._task is None or not _is_alive(self._task):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """End the task and wait for it; safe from any loop."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is None or not _is_alive(task) or self._process != os.getpid():
            return
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            await _ended(task)
            return
        try:
            await run_on(loop, lambda: _ended(task))
        except LoopUnavailableError as error:
            logger.debug("The event loop of MCP server %s %s", self._server, error)

    async def _run(self) -> None:
        seconds = FIRST_PAUSE
        while self._is_due:
            await self._pause(seconds)
            self._is_due = False
            try:
                await self._refresh()
            except MBXAIError as error:
                logger.warning(
                    "MCP server %s: its tools stay as they were: %s", self._server, error
                )
            except Exception:  # a pin store of the application's own
                logger.exception("MCP server %s: its tools stay as they were", self._server)
            # A server that tells of changes without end is asked ever more rarely.
            seconds = min(_LONGEST_PAUSE, 2 * seconds)


def _is_alive(task: "asyncio.Task[None]") -> bool:
    return not task.done() and task.get_loop().is_running()


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})

"""When a server's tools are read again: soon, once for many changes, and never after the end."""

import asyncio
import logging
import threading

import pytest

from mbxai.errors import MCPConnectionError
from mbxai.mcp.registry._refresh import FIRST_PAUSE, Refresher


class Reads:
    """Counts readings; may say that there is something to be read again, or fail."""

    def __init__(self, again: int = 0, error: Exception | None = None) -> None:
        self.pauses: list[float] = []
        self.number = 0
        self.again = again
        self.error = error
        self.done = asyncio.Event()
        self.refresher = Refresher("s", self.refresh, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def refresh(self) -> None:
        self.number += 1
        if self.number <= self.again:
            self.refresher.poke()
        else:
            self.done.set()
        if self.error is not None:
            raise self.error


async def test_many_changes_in_a_row_are_read_once() -> None:
    reads = Reads()
    for _ in range(50):
        reads.refresher.poke()
    await asyncio.wait_for(reads.done.wait(), 5)
    await reads.refresher.aclose()
    assert (reads.number, reads.pauses) == (1, [FIRST_PAUSE])


async def test_a_server_that_changes_without_end_is_asked_ever_more_rarely() -> None:
    reads = Reads(again=9)
    reads.refresher.poke()
    await asyncio.wait_for(reads.done.wait(), 5)
    await reads.refresher.aclose()
    assert reads.number == 10
    assert reads.pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert reads.pauses[-1] == 5.0


@pytest.mark.parametrize("error", [MCPConnectionError("gone"), OSError("full")])
async def test_a_failure_is_logged_and_the_next_change_is_read(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reads = Reads(error=error)
    with caplog.at_level(logging.WARNING):
        for number in (1, 2):
            reads.done.clear()
            reads.refresher.poke()
            await asyncio.wait_for(reads.done.wait(), 5)
            await asyncio.sleep(0)
            assert reads.number == number
    await reads.refresher.aclose()
    assert caplog.text.count("MCP server s: its tools stay as they were") == 2


async def test_the_end_stops_a_reading_and_lets_none_begin() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    refresher = Refresher("s", read, pause=lambda seconds: asyncio.sleep(0))
    refresher.poke()
    await asyncio.wait_for(begun.wait(), 5)
    await refresher.aclose()
    assert ended.is_set()
    begun.clear()
    refresher.poke()
    await asyncio.sleep(0)
    assert not begun.is_set()
    await refresher.aclose()


async def test_the_end_may_come_from_another_loop() -> None:
    begun, ended = asyncio.Event(), threading.Event()

    async def read() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    refresher = Refresher("s", read, pause=lambda seconds: asyncio.sleep(0))
    refresher.poke()
    await asyncio.wait_for(begun.wait(), 5)
    await asyncio.to_thread(lambda: asyncio.run(refresher.aclose()))
    assert ended.is_set()


def test_a_task_of_a_loop_that_is_gone_is_in_nobodys_way() -> None:
    number = 0

    async def read() -> None:
        nonlocal number
        number += 1
        if number == 1:
            await asyncio.Event().wait()

    refresher = Refresher("s", read, pause=lambda seconds: asyncio.sleep(0))

    async def poke() -> None:
        refresher.poke()
        await asyncio.sleep(0.01)

    asyncio.run(poke())
    asyncio.run(poke())
    assert number == 2
    asyncio.run(refresher.aclose())

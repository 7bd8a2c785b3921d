"""Places for calls: as many as there are, in order, on any loop, and none is ever lost."""

import asyncio
import threading
from contextlib import AsyncExitStack

import pytest

from mbxai.mcp.registry._slots import Slots


class Visitor:
    """Takes a place and holds it until told to go."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self.slots.taken():
            self.inside.set()
            await self.leave.wait()

    async def entered(self) -> bool:
        try:
            async with asyncio.timeout(0.2):
                await self.inside.wait()
        except TimeoutError:
            return False
        return True


async def test_places_are_given_in_order_and_given_back() -> None:
    slots = Slots(1)
    first, second, third = Visitor(slots), Visitor(slots), Visitor(slots)
    assert await first.entered()
    assert not second.inside.is_set()
    first.leave.set()
    assert await second.entered()
    assert not third.inside.is_set()
    second.leave.set()
    assert await third.entered()
    third.leave.set()
    await asyncio.gather(first.task, second.task, third.task)
    async with slots.taken():  # all are free again
        pass


async def test_who_is_cancelled_leaves_the_line_and_takes_no_place_along() -> None:
    slots = Slots(1)
    first, second, third = Visitor(slots), Visitor(slots), Visitor(slots)
    assert await first.entered()
    second.task.cancel()
    await asyncio.wait({second.task})
    first.leave.set()
    assert await third.entered()
    third.leave.set()
    await third.task
    assert second.task.cancelled()


async def test_a_place_that_is_given_to_somebody_who_is_just_cancelled_goes_on() -> None:
    slots = Slots(1)
    first, second, third = Visitor(slots), Visitor(slots), Visitor(slots)
    assert await first.entered()
    await asyncio.sleep(0)
    first.leave.set()
    await first.task  # the place is on its way to the second
    second.task.cancel()
    assert await third.entered()
    third.leave.set()
    await third.task
    assert second.task.cancelled()


async def test_a_failure_inside_gives_the_place_back() -> None:
    slots = Slots(1)
    with pytest.raises(ValueError, match="inside"):
        async with slots.taken():
            raise ValueError("inside")
    visitor = Visitor(slots)
    assert await visitor.entered()
    visitor.leave.set()
    await visitor.task


async def test_without_a_number_all_get_in() -> None:
    slots = Slots(None)
    async with AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(slots.taken())
        assert slots._waiting == type(slots._waiting)()


async def test_places_are_shared_between_loops_and_a_closed_loop_is_passed_over() -> None:
    slots = Slots(1)
    first = Visitor(slots)
    assert await first.entered()
    waits = threading.Event()

    def wait_and_go() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(slots._take())
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        waits.set()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it dies with its loop
        loop.close()

    thread = threading.Thread(target=wait_and_go)
    thread.start()
    await asyncio.to_thread(thread.join, 5)
    assert waits.is_set()
    assert len(slots._waiting) == 1
    second = Visitor(slots)
    await asyncio.sleep(0)
    first.leave.set()
    assert await second.entered()
    second.leave.set()
    await second.task

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator
from typing import Self

import anyio
import pytest

from mbxai import portal
from mbxai.errors import BlockingCallError, RunningLoopWarning

LIMIT = 5


class Tap:
    """A source that records which tasks touched it, and can fail or run dry."""

    def __init__(self, count: int = 10, *, fail_at: int | None = None, stall: bool = False) -> None:
        self.count, self.fail_at, self.stall = count, fail_at, stall
        self.given = 0
        self.tasks: set[asyncio.Task[object] | None] = set()
        self.closed = threading.Event()

    async def open(self) -> Self:
        self.tasks.add(asyncio.current_task())
        await anyio.sleep(0)
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        self.tasks.add(asyncio.current_task())
        if self.given == self.fail_at:
            raise ConnectionResetError(self.given)
        if self.given == self.count:
            if self.stall:
                await anyio.sleep_forever()
            raise StopAsyncIteration
        self.given += 1
        return self.given

    async def aclose(self) -> None:
        self.tasks.add(asyncio.current_task())
        await anyio.sleep(0)
        self.closed.set()


def test_all_items_arrive_in_order_and_the_source_is_closed():
    tap = Tap(1000)
    assert list(portal.StreamPump(tap.open)) == list(range(1, 1001))
    assert tap.closed.is_set()


def test_one_task_opens_reads_and_closes():
    tap = Tap()
    with portal.StreamPump(tap.open) as stream:
        assert stream.source is tap
        list(stream)
    assert len(tap.tasks) == 1
    assert None not in tap.tasks


def test_a_plain_async_generator_function_is_a_factory_too():
    async def count() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert list(portal.StreamPump(count)) == [0, 1, 2]


def test_scopes_and_context_variables_may_span_the_items():
    name = contextvars.ContextVar[str]("name")

    async def careful() -> AsyncIterator[int]:
        token = name.set("inside")
        with anyio.fail_after(LIMIT):
            for number in range(200):
                yield number
        name.reset(token)

    assert len(list(portal.StreamPump(careful))) == 200


def test_an_error_while_opening_is_raised_at_once():
    async def refuse() -> AsyncIterator[int]:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        portal.StreamPump(refuse)


def test_an_error_in_mid_stream_follows_the_items_before_it_and_comes_once():
    tap = Tap(fail_at=3)
    stream = portal.StreamPump(tap.open)
    assert [next(stream) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ConnectionResetError):
        next(stream)
    assert tap.closed.is_set()
    assert list(stream) == []


def test_an_exit_raised_by_the_source_is_raised_on_the_callers_side_only():
    async def leave() -> AsyncIterator[int]:
        yield 1
        raise SystemExit(4)

    stream = portal.StreamPump(leave)
    assert next(stream) == 1
    with pytest.raises(SystemExit):
        next(stream)
    assert list(portal.StreamPump(Tap(2).open)) == [1, 2]


def test_reading_ahead_stops_at_sixty_four_items():
    tap = Tap(10_000)
    with portal.StreamPump(tap.open) as stream:
        for _ in range(20):
            portal.run(anyio.sleep, 0)  # the loop has had every chance to read on
        assert tap.given == 64
        assert next(stream) == 1
        for _ in range(20):
            portal.run(anyio.sleep, 0)
        assert tap.given <= 128


def test_items_are_there_before_the_source_ends():
    with portal.StreamPump(Tap(2, stall=True).open) as stream:
        assert [next(stream), next(stream)] == [1, 2]


def test_closing_ends_a_stalled_source_and_the_iteration():
    tap = Tap(1, stall=True)
    stream = portal.StreamPump(tap.open)
    assert next(stream) == 1
    stream.close()
    assert tap.closed.is_set()
    assert list(stream) == []
    stream.close()


def test_closing_drops_what_was_read_ahead():
    stream = portal.StreamPump(Tap(10).open)
    next(stream)
    stream.close()
    assert list(stream) == []


def test_an_exception_in_the_body_closes_the_source():
    tap = Tap(stall=True)
    with pytest.raises(ZeroDivisionError), portal.StreamPump(tap.open):
        raise ZeroDivisionError
    assert tap.closed.is_set()


def test_a_stream_dropped_after_break_is_closed():
    tap = Tap(stall=True)
    for _ in portal.StreamPump(tap.open):
        break
    gc.collect()
    assert tap.closed.wait(LIMIT)


def test_a_stream_that_is_never_read_is_closed_when_dropped():
    tap = Tap(stall=True)
    portal.StreamPump(tap.open)
    gc.collect()
    assert tap.closed.wait(LIMIT)


def test_a_stream_dropped_on_the_loop_thread_is_closed():
    tap = Tap(stall=True)
    box = [portal.StreamPump(tap.open)]

    async def drop() -> None:
        box.clear()
        gc.collect()

    portal.run(drop)
    assert tap.closed.wait(LIMIT)


def test_a_stream_is_closed_from_the_loop_thread_without_waiting_there():
    tap = Tap(stall=True)
    stream = portal.StreamPump(tap.open)

    async def close() -> None:
        stream.close()

    portal.run(close)
    assert tap.closed.wait(LIMIT)


def test_closing_from_another_thread_ends_a_blocked_reader():
    tap = Tap(0, stall=True)
    stream = portal.StreamPump(tap.open)
    rest: list[list[int]] = []
    reader = threading.Thread(target=lambda: rest.append(list(stream)))
    reader.start()
    stream.close()
    reader.join(LIMIT)
    assert rest == [[]]


def test_threads_that_take_turns_get_each_item_once():
    stream = portal.StreamPump(Tap(5000).open)
    shares: list[list[int]] = []
    readers = [threading.Thread(target=lambda: shares.append(list(stream))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(LIMIT)
    assert sorted(number for share in shares for number in share) == list(range(1, 5001))


def test_a_source_that_resists_closing_does_not_hold_its_caller():
    let_go = threading.Event()

    async def resist() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                while not let_go.is_set():
                    await anyio.sleep(0.01)

    stream = portal.StreamPump(resist)
    next(stream)
    stream.close()  # returns although the source has not ended
    assert not let_go.is_set()
    let_go.set()


def test_reading_on_the_loop_thread_is_refused_and_the_stream_lives_on():
    stream = portal.StreamPump(Tap(1).open)

    async def read() -> None:
        next(stream)

    with pytest.raises(BlockingCallError):
        portal.run(read)
    assert list(stream) == [1]


async def test_inside_another_loop_a_stream_works_and_warns():
    with pytest.warns(RunningLoopWarning):
        stream = portal.StreamPump(Tap(3).open)
    with pytest.warns(RunningLoopWarning):
        items = list(stream)
    assert items == [1, 2, 3]

"""What a running tool knows and says: usage, cancellation, progress."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.tool_calls import Heard, run, runner_of

from mbxai.tools import ToolCall, ToolContext
from mbxai.tools._context import Progress
from mbxai.wire import ToolProgressed, Usage


async def test_a_tool_sees_its_name_and_what_the_conversation_has_used() -> None:
    async def look(context: ToolContext[None]) -> str:
        used = context.usage
        return f"{context.name} {used.total_tokens if used else None}"

    assert (await run(look, {}, ToolContext(usage=Usage(total_tokens=7)))).content == "look 7"
    assert (await run(look)).content == "look None"


def test_a_context_that_nobody_runs_has_nothing_to_say() -> None:
    context = ToolContext[None]()
    context.report("nobody hears this")
    context.raise_if_cancelled()
    assert not context.is_cancelled()
    assert "secret" not in repr(ToolContext[None](secrets={"token": "secret"}))


# --- progress -------------------------------------------------------------------------------------


def progress(heard: Heard) -> list[tuple[str, float | None]]:
    return [(e.message, e.fraction) for e in heard if isinstance(e, ToolProgressed)]


@pytest.mark.parametrize("is_async", [True, False])
async def test_progress_comes_in_order_between_beginning_and_end(is_async: bool) -> None:
    def work(context: ToolContext[None]) -> str:
        context.report("first")
        context.report("half", 0.5)
        context.report(fraction=1)
        return "done"

    async def work_later(context: ToolContext[None]) -> str:
        return work(context)

    heard = Heard()
    await run(work_later if is_async else work, listener=heard)
    assert progress(heard) == [("first", None), ("half", 0.5), ("", 1.0)]
    assert [heard.types[0], heard.types[-1]] == ["tool_called", "tool_ended"]
    assert {event.call_id for event in heard} == {"call_1"}


async def test_progress_of_a_blocking_tool_is_heard_while_it_runs() -> None:
    heard_first = threading.Event()
    heard = Heard()

    def listen(event: Any) -> None:
        heard(event)
        if isinstance(event, ToolProgressed):
            heard_first.set()

    def work(context: ToolContext[None]) -> bool:
        context.report("first")
        return heard_first.wait(5)

    assert (await run(work, listener=listen)).value is True


async def test_threads_that_a_tool_starts_may_report_too() -> None:
    async def work(context: ToolContext[None]) -> None:
        await anyio.to_thread.run_sync(context.report, "from a thread", 0.5)
        context.report("from the task")
        await anyio.to_thread.run_sync(asyncio.run, other_loop(context))

    async def other_loop(context: ToolContext[None]) -> None:
        context.report("from another loop")

    heard = Heard()
    await run(work, listener=heard)
    assert progress(heard) == [
        ("from a thread", 0.5),
        ("from the task", None),
        ("from another loop", None),
    ]


async def test_what_is_reported_after_the_end_is_dropped() -> None:
    kept: list[ToolContext[Any]] = []

    async def work(context: ToolContext[None]) -> None:
        kept.append(context)

    heard = Heard()
    await run(work, listener=heard)
    kept[0].report("late")
    await anyio.to_thread.run_sync(kept[0].report, "late from a thread")
    await anyio.sleep(0)
    assert heard.types == ["tool_called", "tool_ended"]


async def test_odd_progress_is_made_fit_and_without_secrets() -> None:
    def work(context: ToolContext[None]) -> None:
        odd: Any = 7
        context.report(odd, 7.5)
        context.report("x" * 5_000, -1)
        context.report("the key is hunter22", float("nan"))

    heard = Heard()
    await run(work, listener=heard, scrub=lambda text: text.replace("hunter22", "secret://key"))
    assert progress(heard) == [
        ("7", 1.0),
        ("x" * 1_000 + "…", 0.0),
        ("the key is secret://key", None),
    ]


def test_a_tool_that_outlives_its_loop_reports_to_nobody() -> None:
    release, ended = threading.Event(), threading.Event()

    def work(context: ToolContext[None]) -> None:
        release.wait(30)
        context.report("hello?")
        ended.set()

    heard = Heard()
    asyncio.run(run(work, timeout=0.5, listener=heard))
    release.set()
    assert ended.wait(5)
    assert heard.types == ["tool_called", "tool_ended"]


# --- generators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "value"),
    [
        ([1, 2], [1, 2]),
        ([1], [1]),
        ([], []),
        ([Progress("a"), 1], 1),
        ([Progress("a"), 1, Progress("b", 1.0), 2], [1, 2]),
        ([Progress("a")], None),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_gives_progress_and_its_result(
    items: list[Any], value: Any, is_async: bool
) -> None:
    def give() -> Iterator[Any]:
        yield from items

    async def give_later() -> AsyncIterator[Any]:
        for item in items:
            yield item

    heard = Heard()
    result = await run(give_later if is_async else give, listener=heard)
    assert result.value == value
    told = [(item.message, item.fraction) for item in items if isinstance(item, Progress)]
    assert progress(heard) == told


async def test_progress_of_a_blocking_generator_is_heard_while_it_runs() -> None:
    heard_first = threading.Event()

    def give() -> Iterator[Any]:
        yield Progress("first")
        yield heard_first.wait(5)

    result = await run(
        give, listener=lambda event: event.type == "tool_progressed" and heard_first.set()
    )
    assert result.value is True


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_that_fails_or_is_late_is_closed(is_async: bool) -> None:
    closed = threading.Event()

    def give() -> Iterator[Any]:
        try:
            while True:
                yield Progress("still here")
        finally:
            closed.set()

    async def give_later() -> AsyncIterator[Any]:
        try:
            while True:
                yield Progress("still here")
                await anyio.sleep(0)
        finally:
            closed.set()

    result = await run(give_later if is_async else give, timeout=0.5)
    assert "did not finish" in result.content
    assert await anyio.to_thread.run_sync(closed.wait, 5)

    def fail() -> Iterator[Any]:
        yield Progress("so far so good")
        raise ValueError("then not")

    assert (await run(fail)).content == "fail failed: ValueError: then not"


async def test_a_plain_function_that_returns_a_generator_is_one() -> None:
    async def inner() -> AsyncIterator[Any]:
        yield Progress("inside")
        yield "done"

    def plain() -> Any:
        return inner()

    async def coroutine() -> Any:
        return (item for item in [Progress("inside"), "done"])

    for function in (plain, coroutine):
        heard = Heard()
        assert (await run(function, listener=heard)).value == "done"
        assert progress(heard) == [("inside", None)]


# --- cancellation ---------------------------------------------------------------------------------


class Watcher:
    """A blocking tool that runs until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.swallowed = False

    def work(self, context: ToolContext[None]) -> None:
        """Work."""
        self.started.set()
        try:
            for _ in range(5_000):
                try:
                    context.raise_if_cancelled()
                except Exception:
                    self.swallowed = True
                self.stopped.wait(0.001)
        finally:
            self.stopped.set()


async def test_a_blocking_tool_learns_that_its_time_is_up() -> None:
    watcher = Watcher()
    result = await run(watcher.work, timeout=0.5)
    assert "did not finish" in result.content
    assert await anyio.to_thread.run_sync(watcher.stopped.wait, 5)
    assert not watcher.swallowed


async def test_a_blocking_tool_learns_that_its_caller_was_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = Watcher()
    task = asyncio.create_task(run(watcher.work))
    assert await anyio.to_thread.run_sync(watcher.started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await anyio.to_thread.run_sync(watcher.stopped.wait, 5)
    await anyio.sleep(0)
    assert caplog.text == ""


async def test_a_coroutine_function_sees_its_cancellation_while_it_cleans_up() -> None:
    seen: list[bool] = []

    async def work(context: ToolContext[None]) -> None:
        seen.append(context.is_cancelled())
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(context.is_cancelled())

    await run(work, timeout=0.05)
    assert seen == [False, True]


async def test_a_round_that_is_cancelled_waits_for_the_clean_up_of_its_tools() -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    runner = runner_of(work)
    task = asyncio.create_task(runner.run_round([ToolCall("1", "work"), ToolCall("2", "work")]))
    async with asyncio.timeout(5):
        await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_a_tool_whose_own_task_was_cancelled_by_others_has_failed() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await anyio.sleep_forever()

    with_result = await run(work)
    assert with_result.content == "work failed: CancelledError"


async def test_what_a_cancelled_plain_function_leaves_unawaited_is_closed() -> None:
    """A coroutine that was made for nobody would warn when it is collected."""
    started, release, returned = threading.Event(), threading.Event(), threading.Event()

    async def inner() -> None: ...

    def outer() -> Any:
        started.set()
        release.wait(30)
        returned.set()
        return inner()

    task = asyncio.create_task(run(outer))
    assert await anyio.to_thread.run_sync(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await anyio.to_thread.run_sync(returned.wait, 5)

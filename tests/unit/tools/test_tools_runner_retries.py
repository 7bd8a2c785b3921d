"""Runs that are repeated: which, how often, after what pause, and what the tool knows of it."""

import asyncio
import logging
import threading
from typing import Any

import anyio
import pytest
from support.tool_calls import Heard, call_of, registry_of

from mbxai.errors import ToolRetry
from mbxai.tools import ToolContext
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ToolResult


class Flaky:
    """Fails a few times before it answers, and notes what it was told."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("refused")
        self.seen: list[tuple[int, str]] = []

    def blocking(self, context: ToolContext[Any]) -> str:
        """Answer."""
        self.seen.append((context.attempt, context.idempotency_key))
        if len(self.seen) <= self.failures:
            raise self.error
        return "there"

    async def waiting(self, context: ToolContext[Any]) -> str:
        """Answer."""
        await anyio.sleep(0)
        return self.blocking(context)


async def run(
    function: Any, context: Any = None, arguments: Any = None, **options: Any
) -> tuple[ToolResult, list[float], Heard]:
    pauses: list[float] = []
    heard = Heard()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    runner = ToolRunner(registry_of(function, **options), pause=pause)
    result = await runner.run(call_of(function, arguments), context, listener=heard)
    return result, pauses, heard


@pytest.mark.parametrize("method", ["blocking", "waiting"])
@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_run_that_failed_is_repeated_with_the_same_key(method: str, effect: str) -> None:
    flaky = Flaky(2)
    context = ToolContext(idempotency_key="k", attempt=2)
    result, pauses, heard = await run(getattr(flaky, method), context, effect=effect, retries=3)
    assert (result.content, result.attempts, result.is_error) == ("there", 3, False)
    assert flaky.seen == [(2, "k"), (3, "k"), (4, "k")]
    assert len(pauses) == 2
    assert heard.types == ["tool_called", "tool_ended"]


async def test_pauses_grow_up_to_a_bound_and_are_never_longer_than_their_step() -> None:
    _, pauses, _ = await run(Flaky(9).blocking, effect="read", retries=8)
    steps = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert len(pauses) == len(steps)
    assert all(0 <= pause <= step for pause, step in zip(pauses, steps, strict=True))


async def test_the_last_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    result, pauses, _ = await run(Flaky(9).blocking, effect="read", retries=2)
    assert result.content == "blocking failed: ConnectionError: refused"
    assert (result.attempts, len(pauses)) == (3, 2)
    assert "run 3 of 3 follows" in caplog.text


@pytest.mark.parametrize("error", [ToolRetry("Ask otherwise."), SystemExit(2)])
@pytest.mark.parametrize("method", ["blocking", "waiting"])
async def test_advice_and_exits_are_never_repeated(error: Any, method: str) -> None:
    flaky = Flaky(9, error)
    result, _, _ = await run(getattr(flaky, method), effect="read", retries=3)
    assert (result.is_error, result.attempts, len(flaky.seen)) == (True, 1, 1)


async def test_a_cancellation_from_elsewhere_is_no_reason_to_repeat() -> None:
    flaky = Flaky(9, asyncio.CancelledError())
    result, _, _ = await run(flaky.waiting, effect="read", retries=3)
    assert (result.is_error, len(flaky.seen)) == (True, 1)


async def test_wrong_arguments_are_never_repeated() -> None:
    def look(n: int) -> int:
        return n

    result, pauses, _ = await run(look, arguments={"n": "x"}, effect="read", retries=3)
    assert (result.is_error, result.attempts, result.seconds, pauses) == (True, 0, 0.0, [])


async def test_l8_without_retries_or_with_an_effect_a_run_stays_the_only_one() -> None:
    flaky = Flaky(9)
    result, _, _ = await run(flaky.blocking, effect="idempotent")
    assert (result.attempts, len(flaky.seen)) == (1, 1)
    flaky = Flaky(9)
    result, _, _ = await run(flaky.blocking)  # effect="once"
    assert (result.attempts, len(flaky.seen)) == (1, 1)


async def test_a_result_that_tells_of_a_failure_is_no_exception() -> None:
    runs: list[int] = []

    def ask() -> ToolResult:
        runs.append(1)
        return ToolResult(call_id="", name="", content="busy", is_error=True)

    result, _, _ = await run(ask, effect="read", retries=3)
    assert (result.content, result.attempts, runs) == ("busy", 1, [1])


async def test_a_late_run_is_repeated_and_the_first_is_told_to_stop() -> None:
    first_stopped = threading.Event()

    def look(context: ToolContext[Any]) -> str:
        if context.attempt > 1:
            assert first_stopped.wait(5)
            assert not context.is_cancelled()
            return "there"
        for _ in range(5_000):
            if context.is_cancelled():
                first_stopped.set()
                break
            threading.Event().wait(0.001)
        context.report("nobody hears this")
        return "too late"

    result, _, heard = await run(look, effect="read", retries=1, timeout=0.5)
    assert (result.content, result.attempts) == ("there", 2)
    assert first_stopped.is_set()
    assert heard.types == ["tool_called", "tool_ended"]


async def test_a_late_coroutine_is_repeated_too() -> None:
    runs: list[int] = []

    async def look() -> str:
        runs.append(1)
        if len(runs) < 3:
            await anyio.sleep_forever()
        return "there"

    result, _, _ = await run(look, effect="idempotent", retries=2, timeout=0.05)
    assert (result.content, result.attempts) == ("there", 3)


async def test_a_pause_ends_with_its_caller() -> None:
    paused = asyncio.Event()

    async def pause(seconds: float) -> None:
        paused.set()
        await anyio.sleep_forever()

    flaky = Flaky(9)
    runner = ToolRunner(registry_of(flaky.blocking, effect="read", retries=1), pause=pause)
    task = asyncio.create_task(runner.run(call_of(flaky.blocking)))
    async with asyncio.timeout(5):
        await paused.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(flaky.seen) == 1

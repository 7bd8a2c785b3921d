"""The application's functions around a call: they change it, answer it, and fail closed."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import anyio
import pytest
from support.tool_calls import Heard, call_of, runner_of

from mbxai.tools import ToolCall, ToolContext
from mbxai.wire import ToolEnded, ToolResult


def both_ways(hook: Any, is_async: bool) -> Any:
    async def later(*arguments: Any) -> Any:
        return hook(*arguments)

    return later if is_async else hook


async def with_hooks(
    *, before: Any = None, after: Any = None, arguments: Any = None, **options: Any
) -> tuple[ToolResult, list[str], Heard]:
    ran: list[str] = []

    def greet(name: str) -> str:
        ran.append(name)
        if name == "nobody":
            raise LookupError("no such person")
        return f"Hello {name}"

    heard = Heard()
    hooks = {"before_call": before, "after_call": after}
    runner = runner_of(greet, hooks=hooks, **options)
    call = call_of(greet, {"name": "Ada"} if arguments is None else arguments)
    outcome = await runner.run_round([call], ToolContext(deps="d"), listener=heard)
    return outcome.results[0], ran, heard


@pytest.mark.parametrize("is_async", [True, False])
async def test_hooks_that_return_nothing_change_nothing(is_async: bool) -> None:
    seen: list[Any] = []

    def before(call: ToolCall, context: ToolContext[Any]) -> None:
        seen.append((call.name, call.id, context.deps, context.name, context.call_id))

    def after(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> None:
        seen.append((call.name, result.content, result.attempts, context.idempotency_key))

    result, ran, _ = await with_hooks(
        before=both_ways(before, is_async), after=both_ways(after, is_async)
    )
    assert (result.content, ran) == ("Hello Ada", ["Ada"])
    assert seen == [
        ("greet", "call_1", "d", "greet", "call_1"),
        ("greet", "Hello Ada", 1, "call_1"),
    ]


async def test_blocking_hooks_run_beside_the_loop() -> None:
    threads: list[threading.Thread] = []

    def hook(*arguments: Any) -> None:
        threads.append(threading.current_thread())

    await with_hooks(before=hook, after=hook)
    assert len(threads) == 2
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_hook_gives_other_arguments_which_are_validated_too(is_async: bool) -> None:
    def change(text: str) -> Any:
        def before(call: ToolCall, context: ToolContext[Any]) -> ToolCall:
            return replace(call, arguments=text)

        return both_ways(before, is_async)

    result, ran, heard = await with_hooks(before=change('{"name": "Bob"}'))
    assert (result.content, ran) == ("Hello Bob", ["Bob"])
    assert heard[0].model_dump()["arguments"] == '{"name": "Bob"}'
    result, ran, _ = await with_hooks(before=change('{"name": 3}'))
    assert (result.is_error, ran) == (True, [])


async def test_an_approval_is_for_the_arguments_that_the_hook_gave() -> None:
    def look(path: str) -> str:
        return path

    def before(call: ToolCall, context: ToolContext[Any]) -> ToolCall:
        return replace(call, arguments='{"path": "/changed"}')

    runner = runner_of(look, hooks={"before_call": before}, requires_approval=True)
    call = call_of(look, {"path": "/a"})
    [pending] = (await runner.run_round([call])).pending
    assert pending.call.arguments == '{"path": "/changed"}'
    [result] = (await runner.run_round([call], approvals=[pending.approve()])).results
    assert result.content == "/changed"
    original = replace(pending, call=call)
    assert (await runner.run_round([call], approvals=[original.approve()])).pending


async def test_a_hook_answers_instead_of_the_tool() -> None:
    def before(call: ToolCall, context: ToolContext[Any]) -> ToolResult:
        return ToolResult(call_id="", name="", content="from the cache", value=7)

    def after(*arguments: Any) -> None:
        raise AssertionError

    result, ran, heard = await with_hooks(before=before, after=after)
    assert result == ToolResult(call_id="call_1", name="greet", content="from the cache", value=7)
    assert ran == []
    assert heard.types == ["tool_ended"]


def fails(*arguments: Any) -> Any:
    raise PermissionError("not on a Sunday")


def leaves(*arguments: Any) -> Any:
    raise SystemExit(3)


def ends_an_iterator(*arguments: Any) -> Any:
    raise StopIteration


def answers_oddly(*arguments: Any) -> Any:
    return "yes"


def renames(call: ToolCall, *arguments: Any) -> Any:
    return replace(call, name="wipe")


def renumbers(call: ToolCall, *arguments: Any) -> Any:
    return replace(call, id="9")


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("hook", [fails, leaves, answers_oddly, renames, renumbers])
async def test_a_broken_hook_before_a_call_keeps_it_from_running(hook: Any, is_async: bool) -> None:
    result, ran, _ = await with_hooks(before=both_ways(hook, is_async))
    assert ran == []
    assert result.is_error
    assert result.content == "greet was not run: the application could not check the call."


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("hook", [fails, leaves, answers_oddly])
async def test_a_broken_hook_after_a_call_withholds_its_result(hook: Any, is_async: bool) -> None:
    result, ran, heard = await with_hooks(after=both_ways(hook, is_async))
    assert ran == ["Ada"]
    assert (result.is_error, result.value, result.attempts) == (True, None, 1)
    assert "Hello" not in result.content
    assert "withheld" in result.content
    ended = heard[-1]
    assert isinstance(ended, ToolEnded)
    assert ended.content == result.content


async def test_a_hook_that_gives_up_by_itself_is_a_broken_one() -> None:
    async def before(*arguments: Any) -> None:
        raise asyncio.CancelledError

    result, ran, _ = await with_hooks(before=before)
    assert (result.is_error, ran) == (True, [])


async def test_ctrl_c_and_cancellation_pass_through_hooks() -> None:
    waiting = asyncio.Event()

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    async def wait(*arguments: Any) -> None:
        waiting.set()
        await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await with_hooks(before=interrupt)
    task = asyncio.create_task(with_hooks(before=wait))
    async with asyncio.timeout(5):
        await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_blocking_hook_that_ends_an_iterator_is_a_broken_one() -> None:
    result, ran, _ = await with_hooks(before=ends_an_iterator)
    assert (result.is_error, ran) == (True, [])


async def test_a_hook_changes_the_result_and_its_ids_and_times_stay() -> None:
    def after(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> ToolResult:
        return ToolResult(call_id="x", name="y", content=result.content.upper(), value="new")

    result, _, heard = await with_hooks(after=after)
    assert (result.call_id, result.name, result.content) == ("call_1", "greet", "HELLO ADA")
    assert (result.value, result.attempts) == ("new", 1)
    assert result.seconds > 0
    assert heard[-1].model_dump()["content"] == "HELLO ADA"


async def test_a_hook_sees_failures_and_may_mend_them() -> None:
    def after(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> ToolResult | None:
        return (
            replace(result, content="Nobody is here.", is_error=False) if result.is_error else None
        )

    result, _, _ = await with_hooks(after=after, arguments={"name": "nobody"})
    assert (result.content, result.is_error) == ("Nobody is here.", False)


async def test_a_hooks_result_is_cut_and_one_that_was_cut_bears_its_note_once() -> None:
    def lengthen(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> ToolResult:
        return replace(result, content="x" * 1_000)

    def keep(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> ToolResult:
        return replace(result, value=None)

    result, _, _ = await with_hooks(after=lengthen, max_result_bytes=10)
    assert result.is_cut
    assert len(result.content) < 300
    result, _, _ = await with_hooks(after=keep, max_result_bytes=5)
    assert result.content == "Hello\n[cut: 5 of 9 characters are shown]"
    assert result.is_cut


async def test_hooks_also_surround_a_call_that_the_caller_has_decided() -> None:
    def greet() -> str:
        return "Hello"

    def after(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> ToolResult:
        return replace(result, content="Bye")

    runner = runner_of(greet, hooks={"after_call": after}, requires_approval=True)
    assert (await runner.run(call_of(greet))).content == "Bye"


async def test_the_hook_after_several_runs_knows_the_last_one() -> None:
    attempts: list[int] = []
    pauses: list[float] = []

    def flaky(context: ToolContext[Any]) -> str:
        if context.attempt < 3:
            raise ConnectionError
        return "there"

    def after(call: ToolCall, result: ToolResult, context: ToolContext[Any]) -> None:
        attempts.extend([context.attempt, result.attempts])

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    hooks = {"after_call": after, "pause": pause}
    runner = runner_of(flaky, hooks=hooks, effect="read", retries=4)
    assert (await runner.run(call_of(flaky))).content == "there"
    assert attempts == [3, 3]
    assert len(pauses) == 2

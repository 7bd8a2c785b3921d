"""Rounds that are cut short, and foreign functions that raise what nobody expects."""

import asyncio
import gc
import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai.errors import ToolExecutionError
from mbxai.tools import Secret, Tool, ToolCall, ToolContext, ToolRegistry
from mbxai.tools.runner._arguments import with_decoded
from mbxai.tools.runner._round import RoundLog
from mbxai.tools.runner._runner import ToolRunner
from mbxai.tools.runner._threads import MAX_THREADS
from mbxai.wire import ToolEvent

VALUE = "hunter2 canary/+=="


def runner_of(*functions: Any, options: Any = None, **more: Any) -> ToolRunner:
    registry = ToolRegistry()
    for function in functions:
        made = Tool.from_function(function, description="", **(options or {}).get(function, {}))
        registry.add(made)
    return ToolRunner(registry, **more)


def calls(*names: str, arguments: str = "{}") -> list[ToolCall]:
    return [ToolCall(f"{name}-{n}", name, arguments) for n, name in enumerate(names)]


def wait(seconds: int = 100) -> int:
    return seconds


@pytest.mark.parametrize("checked", [False, True])
async def test_what_a_cancelled_tool_returns_in_its_grace_is_kept(checked: bool) -> None:
    begun = anyio.Event()

    async def fail() -> None:
        await begun.wait()
        raise ValueError

    async def saving() -> str:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return "saved half"

    log = RoundLog()
    hook = (lambda call, result, context: None) if checked else None
    runner = runner_of(fail, saving, options={fail: {"on_error": "raise"}}, after_call=hook)
    with pytest.raises(ToolExecutionError), anyio.fail_after(5):
        await runner.run_round(calls("saving", "fail"), log=log)
    kept = {result.name: result.content for result in log.results}
    # What no hook has checked is not shown.
    assert ("saved half" in kept["saving"]) is not checked
    assert checked is ("withheld" in kept["saving"])


async def test_a_tool_that_waits_for_a_thread_when_the_round_ends_has_not_begun() -> None:
    hold, begun = threading.Event(), anyio.Event()

    def hang() -> None:
        hold.wait(8)

    async def fail() -> None:
        await begun.wait()
        raise ValueError

    def listen(event: ToolEvent) -> None:
        if event.type == "tool_called" and event.name == "hang":
            hung.append(event.call_id)
            if len(hung) > MAX_THREADS:
                asyncio.get_running_loop().call_later(0.2, begun.set)

    hung: list[str] = []
    log = RoundLog()
    runner = runner_of(hang, fail, options={fail: {"on_error": "raise"}}, max_parallel_calls=99)
    names = ["fail", *["hang"] * (MAX_THREADS + 1)]
    try:
        with pytest.raises(ToolExecutionError), anyio.fail_after(7):
            await runner.run_round(calls(*names), log=log, listener=listen)
        assert len(log.begun) == 1 + MAX_THREADS
    finally:
        hold.set()


async def test_a_repetition_that_gets_no_thread_does_not_hide_the_first_run() -> None:
    hold = threading.Event()

    def hang() -> None:
        hold.wait(8)

    options: Any = {hang: {"retries": 1, "effect": "idempotent", "timeout": 0.2}}
    runner = runner_of(hang, options=options, max_parallel_calls=MAX_THREADS)
    try:
        with anyio.fail_after(7):
            outcome = await runner.run_round(calls(*["hang"] * MAX_THREADS))
        assert all("may still have an effect" in result.content for result in outcome.results)
    finally:
        hold.set()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_cancelled_scope_does_not_keep_the_loop_busy(count: int) -> None:
    turns = 0
    ended: list[int] = []
    freed = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await freed.wait()
        ended.append(1)

    def count_turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 100 and not freed.is_set():
            loop.call_later(0.001, count_turn)
        else:
            freed.set()

    loop = asyncio.get_running_loop()
    cancels = 0

    class Counting(asyncio.Task[Any]):
        def cancel(self, msg: Any = None) -> bool:
            nonlocal cancels
            cancels += 1
            return super().cancel(msg)

    loop.set_task_factory(lambda running, work, **more: Counting(work, loop=running, **more))
    try:
        with anyio.fail_after(5), anyio.move_on_after(0.05) as scope:
            loop.call_later(0.06, count_turn)
            await runner_of(stubborn).run_round(calls(*["stubborn"] * count))
    finally:
        loop.set_task_factory(None)
    assert scope.cancelled_caught
    assert len(ended) == count  # each had its grace
    assert cancels <= 4 * count + 4  # and not once for every turn of the loop


async def test_several_failures_at_once_leave_nothing_unread() -> None:
    complaints: list[dict[str, Any]] = []

    async def fail() -> None:
        raise ValueError

    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    runner = runner_of(fail, options={fail: {"on_error": "raise"}})
    with pytest.raises(ToolExecutionError):
        await runner.run_round(calls("fail", "fail", "fail"))
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


@pytest.mark.parametrize(
    ("given", "content"),
    [({"seconds": 7}, "7"), ([7], "could not check"), (7, "could not check")],
)
async def test_arguments_of_a_hook_may_be_a_dict(given: Any, content: str) -> None:
    def before(call: ToolCall, context: ToolContext) -> ToolCall:
        return ToolCall(call.id, call.name, given)

    outcome = await runner_of(wait, before_call=before).run_round(calls("wait"))
    assert content in outcome.results[0].content


@pytest.mark.parametrize("option", ["approve", "requires_approval", "before_call", "context"])
async def test_no_log_shows_what_a_function_of_the_application_raised_with_a_credential(
    option: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*given: object) -> bool:
        raise ValueError(f"refused {VALUE}")

    rule = refuse if option == "requires_approval" else True
    hooks: Any = {option: refuse} if option in ("approve", "before_call") else {}
    runner = runner_of(wait, options={wait: {"requires_approval": rule}}, **hooks)

    @dataclass(frozen=True, kw_only=True)
    class Odd(ToolContext[Any]):
        def __post_init__(self) -> None:
            if self.name:
                refuse()

    context = Odd() if option == "context" else None
    if option == "context":
        runner = runner_of(wait, before_call=lambda call, context: None)
    outcome = await runner.run_round(calls("wait"), context, secrets=[Secret(VALUE)])
    shown = "".join(result.content for result in outcome.results) + caplog.text
    assert "hunter2" not in shown
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("answer", [None, 3, SystemExit(2)])
async def test_a_text_that_scrub_does_not_give_back_is_withheld(answer: Any) -> None:
    def scrub(text: str) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def work() -> str:
        return "hunter2"

    outcome = await runner_of(work).run_round(calls("work", "work"), scrub=scrub)
    assert ["withheld" in result.content for result in outcome.results] == [True, True]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_source_of_credentials_that_says_cancelled_cancels_nothing(count: int) -> None:
    def source(name: str) -> str:
        raise asyncio.CancelledError

    def show(key: Secret) -> int:
        return len(key)

    context = ToolContext[Any](secrets=source)
    outcome = await runner_of(show).run_round(calls(*["show"] * count), context)
    assert ["CancelledError" in result.content for result in outcome.results] == [True] * count


@pytest.mark.parametrize(
    "address",
    ["postgres://app:hunter2@db:5432/x", "redis://:hunter2@cache", "http://u:hun@hunter2@h/?a=b"],
)
async def test_a_password_in_an_address_is_taken_out_of_a_failure(address: str) -> None:
    def fail() -> None:
        raise ConnectionError(f"cannot reach {address}, see http://docs:80/a@b")

    outcome = await runner_of(fail).run_round(calls("fail"))
    assert "hunter2" not in outcome.results[0].content
    assert "see http://docs:80/a@b" in outcome.results[0].content


def test_a_credential_with_half_a_character_can_be_compared() -> None:
    assert Secret("\udc80abc") == Secret("\udc80abc")
    assert Secret("\udc80abc") != Secret("\udc81abc")


class Item(BaseModel):
    n: int = 0


def count_all(items: list[Item]) -> int:
    return len(items)


async def test_many_strings_in_place_of_objects_are_read_in_no_time() -> None:
    copied = 0

    class Counted(list[Any]):
        def copy(self) -> "Counted":
            nonlocal copied
            copied += len(self)
            return Counted(self)

    given = {"items": Counted(["{}"] * 5_000)}
    errors = [{"type": "model_type", "loc": ("items", n)} for n in range(5_000)]
    decoded = with_decoded(given, errors)
    assert decoded == {"items": [{}] * 5_000}
    assert given["items"][0] == "{}"
    assert copied == 5_000
    text = json.dumps({"items": ["{}"] * 5_000})
    outcome = await runner_of(count_all).run_round([ToolCall("a", "count_all", text)])
    assert outcome.results[0].value == 5_000

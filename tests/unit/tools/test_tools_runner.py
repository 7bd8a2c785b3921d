"""One call and one round: threads, deadlines, failures, limits, injection."""

import asyncio
import contextlib
import contextvars
import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from pydantic import BaseModel
from support.mcp_model import NoModel
from support.tool_calls import run, runner_of, timeless

from mbxai.errors import ConfigurationError, ToolRetry
from mbxai.tools import AsyncToolClient, Secret, Tool, ToolCall, ToolContext, ToolRegistry
from mbxai.tools.runner import _threads as threads
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ToolResult

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


# --- L1, L2: what the model gets wrong ------------------------------------------------------------


async def test_an_unknown_tool_is_answered_with_the_known_names() -> None:
    def look(text: str) -> str:
        return text

    result = await runner_of(look).run(ToolCall("c", "lok", "{}"))
    assert result.is_error
    assert "no tool 'lok'" in result.content
    assert "look" in result.content


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"a": "x"}', ["a: Input should be a valid integer", "b: Field required"]),
        ('{"a": 1, "b": "x", "zz": 1}', ["zz: no such argument"]),
        ('{"a": 1,', ["not valid JSON"]),
        ("[1]", ["one JSON object"]),
        ('"text"', ["one JSON object"]),
    ],
)
async def test_wrong_arguments_come_back_as_field_errors(arguments: str, words: list[str]) -> None:
    ran: list[int] = []

    def add(a: int, b: str) -> None:
        ran.append(a)

    result = await run(add, arguments)
    assert result.is_error
    assert not ran
    for word in words:
        assert word in result.content


async def test_wrong_values_are_never_repeated() -> None:
    def pay(amount: int) -> None: ...

    result = await run(pay, {"amount": "hunter2hunter2"})
    assert result.is_error
    assert "hunter2" not in result.content

    schema = {
        "type": "object",
        "properties": {
            "amount": {"type": "integer"},
            "unit": {"enum": ["a"]},
            "n": {"minLength": 90},
        },
        "required": ["other"],
        "additionalProperties": False,
    }

    async def call(**arguments: Any) -> None: ...

    wrong = {"amount": "hunter2", "unit": "hunter2", "n": "hunter2", "extra": "hunter2"}
    result = await run(Tool("pay", "", call, schema, source="shop"), wrong)
    assert result.is_error
    assert "hunter2" not in result.content
    for word in (
        "amount: must be of type integer",
        "other is required",
        "extra",
        "unit: must be one of",
    ):
        assert word in result.content


@pytest.mark.parametrize("arguments", ["", "  ", "null", "{}"])
async def test_no_arguments_may_be_written_in_many_ways(arguments: str) -> None:
    def ping() -> str:
        return "pong"

    assert (await run(ping, arguments)).content == "pong"


# --- L3: what the function does -------------------------------------------------------------------


async def test_an_exception_becomes_its_class_and_message() -> None:
    def divide(a: int) -> float:
        return a / 0

    result = await run(divide, {"a": 1})
    assert timeless(result) == ToolResult(
        call_id="call_1",
        name="divide",
        content="divide failed: ZeroDivisionError: division by zero",
        is_error=True,
        attempts=1,
    )
    assert result.seconds > 0


async def test_an_exceptions_message_is_capped_and_without_secrets() -> None:
    async def leak() -> None:
        raise RuntimeError("key sk-or-v1-abcdefghijklmnop " + "x" * 100_000)

    result = await run(leak)
    assert result.is_error
    assert "abcdefghijkl" not in result.content
    assert len(result.content) < 1_100


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), MemoryError("m")])
async def test_even_odd_exceptions_of_sync_functions_become_results(error: Any) -> None:
    def leave() -> None:
        raise error

    result = await run(leave)
    assert result.is_error
    assert type(error).__name__ in result.content


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_even_odd_exceptions_of_coroutine_functions_become_results(
    error: Any, timeout: Any
) -> None:
    async def leave() -> None:
        raise error

    result = await run(leave, timeout=timeout)
    assert result.is_error
    assert type(error).__name__ in result.content


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("is_async", [True, False])
async def test_ctrl_c_leaves_the_round_and_the_loop_lives_on(timeout: Any, is_async: bool) -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    def interrupted_sync() -> None:
        raise KeyboardInterrupt

    function = interrupted if is_async else interrupted_sync
    runner = runner_of(function, timeout=timeout)
    with pytest.raises(KeyboardInterrupt):
        await runner.run_round([ToolCall("1", function.__name__), ToolCall("2", function.__name__)])
    await anyio.sleep(0)


async def test_a_failure_inside_a_task_group_is_named_itself() -> None:
    async def fail() -> None:
        raise ValueError("inner")

    async def grouped() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)

    assert (await run(grouped)).content == "grouped failed: ValueError: inner"


async def test_retry_gives_its_advice_to_the_model() -> None:
    def search(query: str) -> str:
        raise ToolRetry("Ask for one city only.", hint="For example Paris.")

    result = await run(search, {"query": "x"})
    assert (result.is_error, result.content) == (True, "Ask for one city only. For example Paris.")


class City(BaseModel):
    name: str


@dataclass
class Point:
    x: int


class Opaque:
    def __str__(self) -> str:
        return "an opaque thing"


class Broken:
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain ü", "plain ü"),
        ("", ""),
        (None, "null"),
        (3, "3"),
        (True, "true"),
        (float("nan"), '"NaN"'),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (City(name="Rome"), '{"name":"Rome"}'),
        ([Point(1)], '[{"x":1}]'),
        ({"a": Opaque()}, '{"a":"an opaque thing"}'),
        ([Broken()], '["<Broken>"]'),
        ({1: Secret("hunter22")}, '{"1":"••••••"}'),
        (b"ab", "[2 bytes of binary data, base64: YWI=]"),
        (b"a" * 5_000, "[5000 bytes of binary data, not shown]"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_results_become_text(value: Any, text: str, is_async: bool) -> None:
    def give() -> Any:
        return value

    async def give_later() -> Any:
        return value

    result = await run(give_later if is_async else give)
    assert (result.content, result.is_error) == (text, False)
    assert result.value is value


async def test_dates_and_decimals_become_json() -> None:
    import datetime as dt
    import decimal

    def give() -> Any:
        return [dt.date(2026, 1, 2), decimal.Decimal("1.50"), {dt.timedelta(seconds=1)}]

    assert (await run(give)).content == '["2026-01-02","1.50",["PT1S"]]'


async def test_generators_are_collected() -> None:
    def count() -> Any:
        yield from range(3)

    async def count_later() -> Any:
        yield 1
        yield 2

    assert (await run(count)).value == [0, 1, 2]
    assert (await run(count_later)).content == "[1,2]"


async def test_a_plain_wrapper_around_a_coroutine_function_is_awaited() -> None:
    async def inner() -> str:
        return "inner"

    def outer() -> Any:
        return inner()

    assert (await run(outer)).content == "inner"


async def test_a_structure_that_holds_itself_still_becomes_text() -> None:
    def give() -> Any:
        loop: list[Any] = [1]
        loop.append(loop)
        return loop

    result = await run(give)
    assert (result.is_error, result.content) == (False, "[1, [...]]")


async def test_a_huge_result_is_cut_with_a_marker_and_kept_for_the_application() -> None:
    def give() -> str:
        return "ü" * 50_000_000

    result = await run(give)
    assert len(result.value) == 50_000_000
    assert result.content.encode()[:65_536].decode(errors="strict") == "ü" * 32_768
    assert result.content.endswith("[cut: 32768 of 50000000 characters are shown]")


async def test_the_size_limit_is_the_tools_own() -> None:
    def give() -> list[int]:
        return list(range(100))

    result = await run(give, max_result_bytes=10)
    assert result.content.startswith("[0,1,2,3,4\n[cut: 10 of")


async def test_a_tool_may_return_a_whole_result() -> None:
    async def call(**arguments: Any) -> ToolResult:
        return ToolResult(
            call_id="", name="", content="failed there", is_error=True, value=arguments
        )

    schema = {"type": "object", "properties": {"arguments": {"type": "number"}}}
    result = await run(
        Tool("remote", "", call, schema, source="shop"), {"arguments": 1, "b": [1.0]}
    )
    assert timeless(result) == ToolResult(
        call_id="call_1",
        name="remote",
        content="failed there",
        is_error=True,
        value={"arguments": 1, "b": [1.0]},
        attempts=1,
    )


async def test_a_schema_that_is_broken_checks_nothing_and_fetches_nothing(caplog: Any) -> None:
    async def call(**arguments: Any) -> str:
        return "ran"

    for schema in (
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"type": "nonsense"},
        {"type": "object", "properties": 3},
    ):
        result = await run(Tool("remote", "", call, schema, source="shop"), {"a": 1})
        assert result.content == "ran"
    assert "cannot be used" in caplog.text


async def test_a_tool_without_a_function_cannot_run() -> None:
    result = await run(Tool("ghost", "", None, {"type": "object"}))
    assert result.is_error


# --- L4, L5: time ---------------------------------------------------------------------------------


async def test_a_blocking_function_that_overruns_is_left_behind_and_the_loop_goes_on() -> None:
    release = threading.Event()
    beats = 0

    def block() -> None:
        release.wait(30)

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await anyio.sleep(0.005)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            result = await run(block, timeout=0.2)
            group.cancel_scope.cancel()
    finally:
        release.set()
    assert result.is_error
    assert "block failed: it did not finish in 0.2 s" in result.content
    assert beats > 5


async def test_functions_left_behind_keep_their_places_so_threads_stay_bounded() -> None:
    release = threading.Event()
    started = 0
    lock = threading.Lock()

    def block() -> None:
        nonlocal started
        with lock:
            started += 1
        release.wait(30)

    runner = runner_of(block, timeout=0.3, limit=200)
    try:
        calls = [ToolCall(str(i), "block") for i in range(threads.MAX_THREADS + 20)]
        results = (await runner.run_round(calls)).results
        assert all(result.is_error for result in results)
        assert started == threads.MAX_THREADS
    finally:
        release.set()

    def quick() -> str:
        return "ok"

    with anyio.fail_after(5):
        assert (await run(quick)).content == "ok"


async def test_places_are_free_again_after_cancelled_calls() -> None:
    def quick() -> str:
        return "ok"

    runner = runner_of(quick)
    for index in range(3 * threads.MAX_THREADS):
        with anyio.CancelScope() as scope:
            scope.cancel() if index % 2 else scope.__setattr__(
                "deadline", anyio.current_time() + 0.0001
            )
            await runner.run(ToolCall("1", "quick"))
    with anyio.fail_after(5):
        results = (await runner.run_round([ToolCall(str(i), "quick") for i in range(50)])).results
    assert {result.content for result in results} == {"ok"}


async def test_a_coroutine_function_that_overruns_is_cancelled() -> None:
    cleaned = False

    async def slow() -> None:
        nonlocal cleaned
        try:
            await anyio.sleep(30)
        finally:
            cleaned = True

    result = await run(slow, timeout=0.05)
    assert "did not finish in 0.05 s" in result.content
    assert cleaned


async def test_a_coroutine_function_that_ignores_cancellation_is_reported_and_left_behind() -> None:
    stop = asyncio.Event()

    async def stubborn() -> None:
        while not stop.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stop.wait()

    runner = runner_of(stubborn, timeout=0.05)
    try:
        with anyio.fail_after(5):
            result = await runner.run(ToolCall("1", "stubborn"))
        assert result.is_error
        assert len(runner._execution.strays) == 1
    finally:
        stop.set()
    await runner.aclose()
    await anyio.sleep(0)
    assert len(runner._execution.strays) == 0


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_tools_own_timeout_error_is_not_its_deadline(is_async: bool) -> None:
    def fail() -> None:
        raise TimeoutError("the shop was slow")

    async def fail_later() -> None:
        raise TimeoutError("the shop was slow")

    result = await run(fail_later if is_async else fail, timeout=5.0)
    assert result.content.endswith("failed: TimeoutError: the shop was slow")


@pytest.mark.parametrize("timeout", [None, 30.0])
async def test_cancelling_the_caller_cancels_the_tool_and_is_not_swallowed(timeout: Any) -> None:
    started, cancelled = anyio.Event(), anyio.Event()

    async def slow() -> None:
        started.set()
        try:
            await anyio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(run(slow, timeout=timeout))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_cancelling_the_caller_leaves_a_blocking_function_behind_at_once() -> None:
    release, started = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    task = asyncio.create_task(run(block))
    await anyio.to_thread.run_sync(started.wait)
    try:
        with anyio.fail_after(5):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        release.set()


# --- L6: a round ----------------------------------------------------------------------------------


async def test_the_calls_of_a_round_overlap_and_keep_their_order() -> None:
    barrier = threading.Barrier(3)
    everybody = anyio.Event()
    waiting = 0

    def meet(name: str) -> str:
        barrier.wait(5)
        return name

    async def meet_later(name: str) -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            everybody.set()
        with anyio.fail_after(5):
            await everybody.wait()
        return name

    runner = runner_of(meet, meet_later)
    calls = [
        ToolCall(str(i), name, f'{{"name": "{i}"}}')
        for i, name in enumerate(["meet", "meet_later"] * 3)
    ]
    results = (await runner.run_round(calls)).results
    assert [result.content for result in results] == list("012345")
    assert [result.call_id for result in results] == list("012345")


async def test_fifty_calls_run_at_most_eight_at_a_time() -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.002)
        running -= 1

    calls = [ToolCall(str(i), "work") for i in range(50)]
    results = (await runner_of(work).run_round(calls)).results
    assert len(results) == 50
    assert most == 8


async def test_one_failing_call_leaves_the_others_alone() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def work() -> str:
        await anyio.sleep(0.01)
        return "done"

    calls = [ToolCall("1", "fail"), ToolCall("2", "work")]
    results = (await runner_of(fail, work).run_round(calls)).results
    assert [result.is_error for result in results] == [True, False]


async def test_nested_blocking_tools_do_not_deadlock_where_every_thread_is_taken() -> None:
    everybody = threading.Barrier(threads.MAX_THREADS)

    def dive(depth: int) -> int:
        if depth == 3:
            everybody.wait(5)
        if depth == 0:
            return 0
        inner = ToolCall("1", "dive", json.dumps({"depth": depth - 1}))
        return int(anyio.from_thread.run(runner.run, inner).content) + 1

    runner = runner_of(dive, limit=threads.MAX_THREADS)
    calls = [ToolCall(str(i), "dive", '{"depth": 3}') for i in range(threads.MAX_THREADS)]
    with anyio.fail_after(8):
        results = (await runner.run_round(calls)).results
    assert {result.content for result in results} == {"3"}


@pytest.mark.parametrize("timeout", [None, 5.0])
async def test_functions_see_the_callers_context_variables(timeout: Any) -> None:
    def read() -> str:
        return request_id.get()

    async def read_later() -> str:
        return request_id.get()

    request_id.set("r-1")
    assert (await run(read, timeout=timeout)).content == "r-1"
    assert (await run(read_later, timeout=timeout)).content == "r-1"


def test_blocking_functions_run_outside_the_loops_thread() -> None:
    def where() -> str:
        return threading.current_thread().name

    assert anyio.run(run, where).content != threading.current_thread().name


def test_a_runner_works_on_a_second_loop() -> None:
    def ping() -> str:
        return "pong"

    runner = runner_of(ping)
    for _ in range(2):
        assert asyncio.run(runner.run(ToolCall("1", "ping"))).content == "pong"


def test_a_blocking_function_that_outlives_its_loop_ends_quietly() -> None:
    release = threading.Event()
    ended = threading.Event()

    def block() -> None:
        release.wait(30)
        ended.set()

    assert asyncio.run(run(block, timeout=0.05)).is_error
    release.set()
    assert ended.wait(5)
    time.sleep(0.05)


# --- context, secrets ----------- -------------------------------------------------------------------


async def test_a_context_reaches_the_tool_with_the_calls_own_ids() -> None:
    seen: list[ToolContext[Any]] = []

    async def look(text: str, context: ToolContext[dict[str, int]]) -> str:
        seen.append(context)
        return text

    given = ToolContext(deps={"a": 1}, session_id="s", idempotency_key="k", attempt=2)
    runner = runner_of(look)
    await runner.run_round([ToolCall("c1", "look", '{"text": "x"}')], given)
    await runner.run(ToolCall("c2", "look", '{"text": "x"}'))
    assert seen[0] == ToolContext(
        deps={"a": 1},
        name="look",
        session_id="s",
        call_id="c1",
        attempt=2,
        idempotency_key="k:c1",
    )
    assert (seen[1].deps, seen[1].call_id, seen[1].idempotency_key) == (None, "c2", "c2")


async def test_secrets_are_injected_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def order(
        item: str, token: Secret, key: Annotated[Secret, "shop.key"], other: Secret | None = None
    ) -> Any:
        assert other is None
        return {"used": token.reveal(), "quoted": key.reveal(), "item": item}

    def fail(token: Secret) -> None:
        raise ValueError(f"refused {token.reveal()}")

    values = {"token": "tok-12345", "shop.key": 'ke"y-6789'}
    context = ToolContext[Any](secrets=values)
    result = await run(order, {"item": "tea"}, context)
    assert not result.is_error
    assert result.content == '{"used":"••••••","quoted":"••••••","item":"tea"}'
    assert result.value == {"used": "tok-12345", "quoted": 'ke"y-6789', "item": "tea"}
    failed = await run(fail, {}, ToolContext[Any](secrets=values.get))
    assert failed.content == "fail failed: ValueError: refused ••••••"
    assert "tok-12345" not in caplog.text + repr(context) + repr(result)


async def test_a_missing_secret_tells_the_model_which_one_is_needed() -> None:
    ran: list[int] = []

    def order(token: Annotated[Secret, "shop.token"]) -> None:
        ran.append(1)

    result = await run(order, {})
    assert result.is_error
    assert "'shop.token'" in result.content
    assert not ran


async def test_a_broken_source_of_secrets_is_a_failed_call() -> None:
    def source(name: str) -> str:
        raise KeyError("vault is locked")

    def order(token: Secret) -> None: ...

    result = await run(order, {}, ToolContext[Any](secrets=source))
    assert result.is_error
    assert "vault is locked" in result.content


async def test_a_failure_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise ValueError("oh")

    await run(fail)
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "ValueError: oh" in logging.Formatter().format(record)


def test_at_least_one_call_may_run() -> None:
    with pytest.raises(ConfigurationError):
        ToolRunner(ToolRegistry(), max_parallel_calls=0)


# --- texts that are cleaned before they are shown -------------------------------------------------

KEY = "~" * 3_000
LIMIT = 1_500


def returns() -> str:
    return "x" * (LIMIT - 1_000) + KEY


def fails() -> str:
    raise ValueError("x" * 500 + KEY)


def advises() -> str:
    raise ToolRetry("x" * 3_000 + KEY)


def returns_whole() -> ToolResult:
    return ToolResult(call_id="", name="", content="x" * 1_000 + KEY, is_error=True)


@pytest.mark.parametrize("function", [returns, fails, advises, returns_whole])
async def test_a_result_is_cleaned_before_it_is_cut(function: Any) -> None:
    client = AsyncToolClient(NoModel())
    client.register_tool("run", "", function, max_result_bytes=LIMIT)

    def scrub(text: str) -> str:
        return text.replace(KEY, "secret://key")

    result = await client.call_tool("run", "{}", scrub=scrub)
    assert "~~" not in result.content
    assert "secret://key" in result.content
    plain = await client.call_tool("run", "{}")
    assert "~~" in plain.content
    assert plain.is_error == result.is_error


async def test_a_secret_that_fills_a_huge_error_is_not_cut_in_half() -> None:
    def fail(key: Secret) -> str:
        raise ValueError(key.reveal() * 34)

    result = await run(fail, {}, ToolContext(secrets={"key": KEY}))
    assert "~~" not in result.content


@pytest.mark.parametrize("name", [f"{KEY}", "read"])
async def test_what_the_model_itself_wrote_is_cleaned_too(name: str) -> None:
    client = AsyncToolClient(NoModel())

    def read(path: str) -> str:
        return path

    client.registry.add(Tool("read", "", read, {"type": "object", "additionalProperties": False}))
    result = await client.call_tool(
        name, json.dumps({KEY[:100]: 1}), scrub=lambda text: text.replace("~" * 100, "#")
    )
    assert result.is_error
    assert "~~~~" not in result.content
    assert "#" in result.content


async def test_a_text_that_cannot_be_cleaned_is_withheld(caplog: pytest.LogCaptureFixture) -> None:
    client = AsyncToolClient(NoModel())
    client.register_tool("run", "", returns)

    def scrub(text: str) -> str:
        raise LookupError("vault is locked")

    result = await client.call_tool("run", "{}", scrub=scrub)
    assert "withheld" in result.content
    assert "~~" not in result.content
    assert "scrub= failed" in caplog.text


async def test_the_attempt_reaches_the_tool() -> None:
    client = AsyncToolClient(NoModel())

    @client.tool
    def number(context: ToolContext) -> int:
        return context.attempt

    assert (await client.call_tool("number", "{}")).value == 1
    assert (await client.call_tool("number", "{}", attempt=3)).value == 3
    assert (await client.call_tool("number", "{}", context=ToolContext(attempt=2))).value == 2

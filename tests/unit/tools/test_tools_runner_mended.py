"""What a hostile reader found in the running of calls."""

import asyncio
import threading
from contextlib import suppress
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from mbxai.errors import (
    ConfigurationError,
    ToolArgumentError,
    ToolDefinitionError,
    ToolExecutionError,
)
from mbxai.tools import (
    Secret,
    Tool,
    ToolApproval,
    ToolCall,
    ToolContext,
    ToolRegistry,
    ToolResult,
)
from mbxai.tools.runner._argument_text import read_object
from mbxai.tools.runner._round import RoundLog
from mbxai.tools.runner._runner import ToolRunner
from mbxai.tools.runner._threads import MAX_THREADS

VALUE = "hunter2 canary/+=="


def runner_of(*functions: Any, options: Any = None, **more: Any) -> ToolRunner:
    registry = ToolRegistry()
    for function in functions:
        made = Tool.from_function(function, description="", **(options or {}).get(function, {}))
        registry.add(made)
    return ToolRunner(registry, **more)


def calls(*names: str, arguments: str = "{}") -> list[ToolCall]:
    return [ToolCall(f"{name}-{n}", name, arguments) for n, name in enumerate(names)]


async def test_a_credential_that_a_context_hands_out_is_taken_out_of_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(context: ToolContext) -> str:
        secret = context.secret("key")
        assert secret is not None
        raise ValueError(f"refused {secret.reveal()}")

    def echo() -> str:
        return f"config: {VALUE}"

    known: list[Secret] = []
    runner = runner_of(fail, echo)
    context = ToolContext[Any](secrets={"key": VALUE})
    first = await runner.run_round(calls("fail"), context, secrets=known)
    second = await runner.run_round(calls("echo"), context, secrets=known)
    shown = first.results[0].content + second.results[0].content + caplog.text
    assert "hunter2" not in shown
    assert "refused ••••••" in shown
    assert "config: ••••••" in shown


@pytest.mark.parametrize("spell", ["quote", "plus", "base64"])
async def test_other_spellings_of_a_credential_are_taken_out(spell: str) -> None:
    import base64
    from urllib.parse import quote, quote_plus

    ways = {
        "quote": lambda value: quote(value, safe=""),
        "plus": quote_plus,
        "base64": lambda value: base64.b64encode(value.encode()).decode(),
    }

    def show(key: Secret) -> str:
        return f"https://x/?q={ways[spell](key.reveal())}"

    outcome = await runner_of(show).run_round(
        calls("show"), ToolContext[Any](secrets={"key": VALUE})
    )
    assert outcome.results[0].content == "https://x/?q=••••••"


async def test_a_credential_may_be_pydantics_and_must_be_text() -> None:
    def show(key: Secret) -> int:
        return len(key.reveal())

    given: Any = {"key": SecretStr("abcdef")}
    outcome = await runner_of(show).run_round(calls("show"), ToolContext[Any](secrets=given))
    assert outcome.results[0].value == 6
    given = {"key": 3}
    outcome = await runner_of(show).run_round(calls("show"), ToolContext[Any](secrets=given))
    assert "must be text, not a int" in outcome.results[0].content
    with pytest.raises(ConfigurationError):
        Secret(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_result_that_is_none_becomes_a_failure(count: int) -> None:
    def odd() -> ToolResult:
        return ToolResult(call_id="", name="", content="x", parts=["abc"])  # type: ignore[list-item]

    outcome = await runner_of(odd).run_round(calls(*["odd"] * count))
    assert [result.is_error for result in outcome.results] == [True] * count


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), ValueError("x")])
async def test_a_listener_that_raises_changes_nothing(error: BaseException) -> None:
    def work() -> str:
        return "done"

    def listen(event: object) -> None:
        raise error

    outcome = await runner_of(work).run_round(calls("work", "work"), listener=listen)
    assert [result.content for result in outcome.results] == ["done", "done"]


class Payment(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    amount: float = Field(alias="amt")


def read(path: Annotated[str, StringConstraints(strip_whitespace=True)]) -> str:
    return path


def pay(payment: Payment) -> float:
    return payment.amount


def wait(seconds: int = 100) -> int:
    return seconds


@pytest.mark.parametrize(
    ("function", "arguments", "rule"),
    [
        (read, '{"path": " /etc/passwd"}', lambda given: given["path"].startswith("/etc")),
        (pay, '{"amount": 5000}', lambda given: given.get("amt", 0) > 10),
        (wait, "{}", lambda given: given["seconds"] > 10),
    ],
)
async def test_a_rule_judges_what_the_function_will_get(
    function: Any, arguments: str, rule: Any
) -> None:
    runner = runner_of(function, options={function: {"requires_approval": rule}})
    outcome = await runner.run_round([ToolCall("a", function.__name__, arguments)])
    assert (outcome.results, len(outcome.pending)) == ([], 1)


@pytest.mark.parametrize("user", ["ada", "eve"])
async def test_an_approver_may_learn_for_whom_it_decides(user: str) -> None:
    def approve(call: ToolCall, context: ToolContext[str]) -> bool:
        return context.deps == "ada"

    runner = runner_of(wait, options={wait: {"requires_approval": True}}, approve=approve)
    outcome = await runner.run_round(calls("wait"), ToolContext(deps=user))
    assert outcome.results[0].is_error is (user != "ada")


def test_a_rule_that_takes_no_arguments_is_refused_at_definition() -> None:
    with pytest.raises(ToolDefinitionError, match="must take one argument"):
        Tool.from_function(wait, requires_approval=lambda: True)  # type: ignore[arg-type]


async def test_what_waits_shows_its_arguments_as_values() -> None:
    runner = runner_of(wait, options={wait: {"requires_approval": True}})
    outcome = await runner.run_round(calls("wait", arguments='{"seconds": 1}'))
    assert outcome.pending[0].arguments == {"seconds": 1}


async def test_an_approval_of_other_arguments_is_reported() -> None:
    runner = runner_of(wait, options={wait: {"requires_approval": True}})
    first = await runner.run_round(calls("wait", arguments='{"seconds": 1}'))
    log = RoundLog()
    again = calls("wait", arguments='{"seconds": 2}')
    words = [first.pending[0].approve()]
    outcome = await runner.run_round(again, approvals=words, log=log)
    assert (len(outcome.pending), log.stale) == (1, words)


@pytest.mark.parametrize("piece", ["```x", ",", '"', "\\", "[", "{", "`", "a", ", "])
def test_nonsense_of_any_length_is_refused_in_no_time(piece: str) -> None:
    spaces = " " * 200_000
    for text in (piece * (200_000 // len(piece)), f"```x{spaces}x", f'{{"a{piece * 50_000}'):
        with pytest.raises(ToolArgumentError):
            read_object(text)


async def test_what_had_not_begun_is_not_said_to_have_had_an_effect() -> None:
    begun = anyio.Event()

    async def fail() -> None:
        await begun.wait()
        raise ValueError

    async def slow() -> None:
        begun.set()
        await anyio.sleep_forever()

    def later() -> None:
        raise AssertionError

    options: Any = {
        fail: {"on_error": "raise"},
        wait: {"requires_approval": True},
        later: {"parallel": False},
    }
    log = RoundLog()
    runner = runner_of(fail, slow, wait, later, options=options)
    with pytest.raises(ToolExecutionError), anyio.fail_after(5):
        await runner.run_round(calls("wait", "slow", "fail", "later"), log=log)
    assert {call_id.split("-")[0] for call_id in log.begun} == {"slow", "fail"}
    assert [pending.call.name for pending in log.pending] == ["wait"]
    assert [result.name for result in log.results] == ["fail"]


async def test_tools_that_hang_keep_no_hook_from_running() -> None:
    hold = threading.Event()

    def hang() -> None:
        hold.wait(8)

    def quick() -> str:
        return "quick"

    async def other() -> str:
        return "other"

    try:
        runner = runner_of(hang, quick, tool_timeout=1.0, max_parallel_calls=MAX_THREADS)
        with anyio.fail_after(7):
            await runner.run_round(calls(*["hang"] * MAX_THREADS))
            stuck = await runner.run_round(calls("quick"))
            assert "no worker thread was free" in stuck.results[0].content
            assert "Nothing was run" in stuck.results[0].content
            hooked = runner_of(other, before_call=lambda call, context: None)
            outcome = await hooked.run_round(calls("other"))
        assert outcome.results[0].content == "other"
    finally:
        hold.set()


async def test_a_second_cancellation_does_not_lose_a_tool() -> None:
    running, cleaned = anyio.Event(), anyio.Event()

    async def slow() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            for _ in range(3):
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.05)
            cleaned.set()

    runner = runner_of(slow)
    task = asyncio.create_task(runner.run_round(calls("slow")))
    with anyio.fail_after(5):
        await running.wait()
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await runner.aclose()
        await cleaned.wait()


@pytest.mark.parametrize(
    "options",
    [
        {"approve": True},
        {"before_call": "x"},
        {"after_call": 3},
        {"max_parallel_calls": True},
        {"max_parallel_calls": 2.5},
        {"tool_timeout": "5"},
        {"tool_timeout": float("nan")},
        {"tool_timeout": True},
    ],
)
def test_options_that_cannot_be_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        ToolRunner(ToolRegistry(), **options)


class Loan(BaseModel):
    to: str
    amount: int = 5000


def lend(loan: Loan) -> int:
    return loan.amount


def borrow(amount: int = Field(5000)) -> int:
    return amount


@pytest.mark.parametrize(
    ("function", "arguments"), [(lend, '{"to": "eve"}'), (borrow, "{}"), (wait, "{}")]
)
async def test_both_looks_of_a_rule_have_the_defaults(function: Any, arguments: str) -> None:
    seen: list[Any] = []
    options = {function: {"requires_approval": lambda given: seen.append(given) or False}}
    runner = runner_of(function, options=options)
    outcome = await runner.run_round([ToolCall("a", function.__name__, arguments)])
    assert not outcome.results[0].is_error
    assert seen
    assert all({"amount": 5000, "seconds": 100}.items() & given.items() for given in seen)


@pytest.mark.parametrize("approved", [True, False])
async def test_a_word_about_other_arguments_leaves_the_call_waiting(approved: bool) -> None:
    asked: list[ToolCall] = []
    rule: Any = {"requires_approval": lambda given: given["seconds"] > 10}
    runner = runner_of(wait, options={wait: rule}, approve=lambda call: bool(asked.append(call)))
    shown = ToolCall("wait-0", "wait", '{"seconds": 99}')
    word = ToolApproval(call_id=shown.id, digest=shown.digest, approved=approved)
    outcome = await runner.run_round(calls("wait", arguments='{"seconds": 2}'), approvals=[word])
    assert (outcome.results, outcome.stale, asked) == ([], [word], [])
    assert [waiting.call.id for waiting in outcome.pending] == ["wait-0"]


async def test_an_approval_of_a_call_that_waits_for_its_result_is_reported() -> None:
    first = await runner_of(wait).run_round(calls("wait"), external={"wait"})
    word = first.pending[0].approve()
    outcome = await runner_of(wait).run_round(calls("wait"), external={"wait"}, approvals=[word])
    assert (outcome.stale, [waiting.reason for waiting in outcome.pending]) == (
        [word],
        ["external"],
    )


async def test_an_approval_that_fits_is_not_reported() -> None:
    runner = runner_of(wait, options={wait: {"requires_approval": True}})
    first = await runner.run_round(calls("wait"))
    outcome = await runner.run_round(calls("wait"), approvals=[first.pending[0].approve()])
    assert (outcome.results[0].value, outcome.stale) == (100, [])

"""A round of calls: who may run, what waits, in which order, and what the listener hears."""

import logging
import threading
from typing import Any

import anyio
import pytest
from support.tool_calls import Heard, call_of, registry_of, run_round, runner_of

from mbxai.errors import ConfigurationError, ToolExecutionError, ToolRetry
from mbxai.tools import Tool, ToolCall, ToolRegistry
from mbxai.tools._call import PendingCall, ToolApproval
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ToolCalled, ToolEnded, ToolPending


def wipe(path: str) -> str:
    return f"wiped {path}"


WIPE = call_of(wipe, {"path": "/a"}, "1")


# --- approval -------------------------------------------------------------------------------------


async def test_without_approve_a_call_that_needs_approval_waits() -> None:
    runner = runner_of(wipe, requires_approval=True)
    outcome = await runner.run_round([WIPE])
    assert (outcome.results, outcome.pending) == ([], [PendingCall(call=WIPE, reason="approval")])
    assert (await runner.run(WIPE)).content == "wiped /a"  # decided by the caller


@pytest.mark.parametrize("answer", [True, False, "yes", 1, ValueError("no"), SystemExit(2)])
@pytest.mark.parametrize("is_async", [True, False])
async def test_only_a_plain_true_approves(answer: Any, is_async: bool) -> None:
    asked: list[ToolCall] = []

    def approve(call: ToolCall) -> Any:
        asked.append(call)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def approve_later(call: ToolCall) -> Any:
        return approve(call)

    chosen = approve_later if is_async else approve
    outcome = await run_round(wipe, {"path": "/a"}, approve=chosen, requires_approval=True)
    [result] = outcome.results
    assert [call.arguments for call in asked] == ['{"path": "/a"}']
    assert (result.content == "wiped /a") is (answer is True)
    assert result.is_error is (answer is not True)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_person_who_has_not_decided_lets_the_call_wait(is_async: bool) -> None:
    async def later(call: ToolCall) -> None:
        return None

    approve = later if is_async else (lambda call: None)
    outcome = await run_round(wipe, {"path": "/a"}, approve=approve, requires_approval=True)
    assert [pending.reason for pending in outcome.pending] == ["approval"]


@pytest.mark.parametrize("approved", [True, False])
async def test_a_word_that_was_given_before_decides(approved: bool) -> None:
    def never(call: ToolCall) -> bool:
        raise AssertionError

    runner = runner_of(wipe, approve=never, requires_approval=True)
    pending = PendingCall(call=WIPE, reason="approval")
    word = pending.approve() if approved else pending.deny("Not that one.")
    [result] = (await runner.run_round([WIPE], approvals=[word])).results
    assert result.is_error is not approved
    assert ("Not that one." in result.content) is not approved
    assert ("wiped" in result.content) is approved


async def test_a_denial_holds_also_where_no_approval_is_needed_and_against_another_word() -> None:
    runner = runner_of(wipe)
    pending = PendingCall(call=WIPE, reason="approval")
    for words in ([pending.deny()], [pending.approve(), pending.deny()]):
        [result] = (await runner.run_round([WIPE], approvals=words)).results
        assert (result.is_error, "wiped" in result.content) == (True, False)


@pytest.mark.parametrize(
    "shown",
    [
        call_of(wipe, {"path": "/b"}, "1"),
        call_of(wipe, {"path": "/a"}, "2"),
        call_of("other", {"path": "/a"}, "1"),
    ],
)
async def test_a_word_on_another_call_counts_for_nothing(shown: ToolCall) -> None:
    runner = runner_of(wipe, requires_approval=True)
    word = PendingCall(call=shown, reason="approval").approve()
    outcome = await runner.run_round([WIPE], approvals=[word])
    assert (outcome.results, len(outcome.pending)) == ([], 1)


async def test_a_word_holds_for_the_same_arguments_differently_written() -> None:
    def move(source: str, target: str) -> str:
        return f"{source} {target}"

    runner = runner_of(move, requires_approval=True)
    first = call_of(move, '{"source": "a", "target": "b"}')
    [pending] = (await runner.run_round([first])).pending
    again = call_of(move, '```json\n{"target":"b",\n"source":"a",}\n```')
    [result] = (await runner.run_round([again], approvals=[pending.approve()])).results
    assert result.content == "a b"


async def test_an_approval_whose_flag_is_no_plain_true_denies() -> None:
    odd: Any = "yes"
    word = ToolApproval(call_id=WIPE.id, digest=WIPE.digest, approved=odd)
    runner = runner_of(wipe, requires_approval=True)
    [result] = (await runner.run_round([WIPE], approvals=[word])).results
    assert result.is_error


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("path", "waits"), [("/tmp/x", False), ("/etc", True), ("/odd", True), ("/broken", True)]
)
async def test_a_rule_says_which_arguments_need_approval(
    path: str, waits: bool, is_async: bool
) -> None:
    answers: dict[str, Any] = {"/tmp/x": False, "/etc": True, "/odd": None}

    def rule(arguments: dict[str, Any]) -> Any:
        return answers[arguments["path"]]

    async def rule_later(arguments: dict[str, Any]) -> Any:
        await anyio.sleep(0)
        return rule(arguments)

    chosen = rule_later if is_async else rule
    outcome = await run_round(wipe, {"path": path}, requires_approval=chosen)
    assert bool(outcome.pending) is waits
    assert bool(outcome.results) is not waits


async def test_a_blocking_rule_runs_beside_the_loop_and_sees_valid_arguments_only() -> None:
    threads: list[threading.Thread] = []

    def rule(arguments: dict[str, Any]) -> bool:
        threads.append(threading.current_thread())
        return False

    outcome = await run_round(wipe, {"path": 3}, requires_approval=rule)
    assert outcome.results[0].is_error
    assert threads == []
    await run_round(wipe, {"path": "/a"}, requires_approval=rule)
    assert threads[0] is not threading.current_thread()


async def test_what_a_rule_does_to_the_arguments_changes_nothing() -> None:
    def rule(arguments: dict[str, Any]) -> bool:
        arguments["path"] = "/changed"
        return False

    outcome = await run_round(wipe, {"path": "/a"}, requires_approval=rule)
    assert outcome.results[0].content == "wiped /a"


# --- external tools -------------------------------------------------------------------------------


async def test_calls_that_the_application_runs_are_returned_to_it() -> None:
    described = Tool("described", "", None, {"type": "object", "required": ["a"]})
    runner = ToolRunner(registry_of(described, wipe))
    calls = [
        ToolCall("1", "described", '{"a": 1,}'),
        ToolCall("2", "theirs", ""),
        WIPE,
        ToolCall("3", "described", "{}"),
        ToolCall("4", "theirs", "[1]"),
        ToolCall("5", "described", '{"a": '),
    ]
    outcome = await runner.run_round(calls, external={"theirs"})
    assert [(pending.call, pending.reason) for pending in outcome.pending] == [
        (ToolCall("1", "described", '{"a":1}'), "external"),
        (ToolCall("2", "theirs", "{}"), "external"),
    ]
    assert [result.call_id for result in outcome.results] == ["1", "3", "4", "5"]
    assert [result.is_error for result in outcome.results] == [False, True, True, True]
    assert "a is required" in outcome.results[1].content


async def test_what_the_caller_offers_itself_goes_before_a_registered_tool() -> None:
    outcome = await runner_of(wipe).run_round([WIPE], external=["wipe"])
    assert [pending.reason for pending in outcome.pending] == ["external"]


# --- order ----------------------------------------------------------------------------------------


async def test_a_tool_that_is_not_parallel_runs_between_the_calls_before_and_after() -> None:
    running: set[str] = set()
    together: dict[str, set[str]] = {}

    async def work(name: str) -> str:
        running.add(name)
        await anyio.sleep(0)
        for other in running:
            together.setdefault(other, set()).update(running)
        await anyio.sleep(0)
        running.discard(name)
        return name

    registry = registry_of(work)
    registry.add(Tool.from_function(work, name="alone", parallel=False))
    names = ["a", "b", "C", "D", "e", "f"]
    calls = [call_of("alone" if name.isupper() else "work", {"name": name}, name) for name in names]
    outcome = await ToolRunner(registry).run_round(calls)
    assert [result.content for result in outcome.results] == names
    assert together == {
        "a": {"a", "b"},
        "b": {"a", "b"},
        "C": {"C"},
        "D": {"D"},
        "e": {"e", "f"},
        "f": {"e", "f"},
    }


async def test_results_and_waiting_calls_keep_the_order_of_the_calls() -> None:
    first_done = anyio.Event()

    async def slow() -> str:
        with anyio.fail_after(5):
            await first_done.wait()
        return "slow"

    async def fast() -> str:
        first_done.set()
        return "fast"

    registry = registry_of(slow, fast)
    registry.add(Tool.from_function(wipe, requires_approval=True))
    calls = [WIPE, ToolCall("s", "slow"), ToolCall("x", "theirs"), ToolCall("f", "fast")]
    outcome = await ToolRunner(registry).run_round(calls, external=["theirs"])
    assert [result.content for result in outcome.results] == ["slow", "fast"]
    assert [pending.call.id for pending in outcome.pending] == ["1", "x"]


async def test_calls_that_wait_for_a_person_hold_no_place_of_a_running_one() -> None:
    everybody = anyio.Event()
    asked = 0

    async def approve(call: ToolCall) -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            everybody.set()
        with anyio.fail_after(5):
            await everybody.wait()
        return True

    runner = runner_of(wipe, approve=approve, limit=1, requires_approval=True)
    calls = [call_of(wipe, {"path": str(i)}, str(i)) for i in range(3)]
    outcome = await runner.run_round(calls)
    assert [result.content for result in outcome.results] == ["wiped 0", "wiped 1", "wiped 2"]


async def test_no_calls_give_no_results() -> None:
    outcome = await runner_of().run_round([])
    assert (outcome.results, outcome.pending) == ([], [])


# --- on_error="raise" -----------------------------------------------------------------------------


async def test_a_failure_that_shall_raise_ends_the_round_and_cancels_the_others() -> None:
    started, cancelled = anyio.Event(), anyio.Event()

    async def wait() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async def pay(card: str) -> None:
        with anyio.fail_after(5):
            await started.wait()
        raise ValueError(f"card {card} was refused")

    registry = registry_of(wait)
    registry.add(Tool.from_function(pay, on_error="raise"))
    heard = Heard()
    calls = [ToolCall("1", "wait"), call_of(pay, {"card": "4000-1234"}, "2")]
    with pytest.raises(ToolExecutionError) as caught:
        await ToolRunner(registry).run_round(calls, listener=heard)
    assert cancelled.is_set()
    assert str(caught.value) == "Tool pay failed: ValueError. The cause is in `__cause__`."
    assert isinstance(caught.value.__cause__, ValueError)
    assert "4000" not in str(caught.value)
    assert [event.type for event in heard.of("2")] == ["tool_called", "tool_ended"]
    told = await ToolRunner(registry).run(calls[1])  # the caller of one call gets a result
    assert told.is_error


async def test_a_blocking_failure_and_a_late_one_raise_too() -> None:
    release = threading.Event()

    def block() -> None:
        release.wait(30)

    def fail() -> None:
        raise KeyError("x")

    try:
        with pytest.raises(ToolExecutionError, match=r"block failed: it did not finish in 0\.05 s"):
            await run_round(block, on_error="raise", timeout=0.05)
    finally:
        release.set()
    with pytest.raises(ToolExecutionError, match="fail failed: KeyError"):
        await run_round(fail, on_error="raise")


async def test_advice_and_wrong_arguments_never_raise() -> None:
    def advise(n: int) -> None:
        raise ToolRetry("Try 3.")

    for arguments, words in (({"n": 1}, "Try 3."), ({"n": "x"}, "valid integer")):
        outcome = await run_round(advise, arguments, on_error="raise")
        assert words in outcome.results[0].content


async def test_one_of_several_failures_is_raised() -> None:
    everybody = threading.Barrier(2)

    def fail() -> None:
        everybody.wait(5)
        raise KeyError("x")

    runner = runner_of(fail, on_error="raise")
    with pytest.raises(ToolExecutionError):
        await runner.run_round([ToolCall("1", "fail"), ToolCall("2", "fail")])


# --- events ---------------------------------------------------------------------------------------


async def test_the_listener_hears_what_began_ended_and_waits() -> None:
    heard = Heard()
    registry = registry_of(wipe)
    registry.add(Tool.from_function(wipe, name="ask_first", requires_approval=True))
    calls = [
        WIPE,
        ToolCall("2", "ask_first", '{"path": "/b"}'),
        ToolCall("3", "nothing"),
        ToolCall("4", "wipe", '{"path": 4}'),
        ToolCall("5", "theirs", "{}"),
    ]
    outcome = await ToolRunner(registry).run_round(calls, listener=heard, external=["theirs"])
    [called, ended] = heard.of("1")
    assert called == ToolCalled(call_id="1", name="wipe", arguments='{"path": "/a"}')
    assert isinstance(ended, ToolEnded)
    assert (ended.content, ended.is_error) == ("wiped /a", False)
    assert ended.seconds == outcome.results[0].seconds > 0
    assert heard.of("2") == [
        ToolPending(call_id="2", name="ask_first", arguments='{"path": "/b"}', reason="approval")
    ]
    assert [(event.type, event.is_error) for event in heard.of("3") + heard.of("4")] == [
        ("tool_ended", True),
        ("tool_ended", True),
    ]
    [waiting] = heard.of("5")
    assert isinstance(waiting, ToolPending)
    assert waiting.reason == "external"


async def test_a_listener_that_fails_changes_nothing_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)

    def listener(event: Any) -> None:
        raise ValueError("broken listener")

    outcome = await runner_of(wipe).run_round([WIPE], listener=listener)
    assert outcome.results[0].content == "wiped /a"
    assert "broken listener" in caplog.text


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"max_parallel_calls": 0}, {"tool_timeout": 0}, {"tool_timeout": float("nan")}]
)
def test_a_runner_refuses_numbers_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ToolRunner(ToolRegistry(), **settings)


async def test_the_clients_time_holds_for_tools_that_name_none() -> None:
    async def hang() -> None:
        await anyio.sleep_forever()

    async def quick() -> str:
        await anyio.sleep(0)
        return "done"

    hooks = {"tool_timeout": 0.05}
    late = await runner_of(hang, hooks=hooks).run(ToolCall("1", "hang"))
    assert "did not finish in 0.05 s" in late.content
    own = await runner_of(hang, hooks={"tool_timeout": 600.0}, timeout=0.04).run(
        ToolCall("1", "hang")
    )
    assert "did not finish in 0.04 s" in own.content
    unbounded = await runner_of(quick, hooks={"tool_timeout": None}).run(ToolCall("1", "quick"))
    assert unbounded.content == "done"

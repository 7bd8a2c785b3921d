"""Who decides what runs: approvals, external tools, filters, budgets; over real sockets."""

import json
import pickle
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from support.tool_talk import MESSAGES, answer_of, bodies, call, tool_client

from mbxai.errors import (
    BudgetExceededError,
    ConfigurationError,
    ProviderUnavailableError,
    ToolCallsPendingError,
    ToolExecutionError,
    ToolRepeatError,
    ToolRoundsExceededError,
)
from mbxai.testing import Failure, FakeOpenRouter, Reply
from mbxai.tools import AsyncToolClient, ToolApproval, ToolCall, ToolResult
from mbxai.wire import Budget, ToolCalled, ToolEnded, ToolPending

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Receipt(BaseModel):
    paid: float


class Till:
    """Something that must not be paid twice."""

    def __init__(self, client: AsyncToolClient) -> None:
        self.paid: list[float] = []
        self.looked = 0

        @client.tool(requires_approval=True)
        def pay(amount: float) -> str:
            """Pay."""
            self.paid.append(amount)
            return f"paid {amount}"

        @client.tool(effect="read")
        async def balance() -> int:
            """Look how much there is."""
            self.looked += 1
            return 100


def told(fake: FakeOpenRouter, number: int = -1) -> dict[str, str]:
    """What the model was told of each call, by call id."""
    messages = bodies(fake)[number]["messages"]
    return {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"}


# --- approvals ------------------------------------------------------------------------------------


@both
async def test_a_call_that_needs_approval_waits_while_the_others_run(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(
        Reply(tool_calls=[call("pay", {"amount": 5}, id="p"), call("balance", id="b")]),
        Reply("done"),
    )
    events: list[Any] = []
    waiting = await answer_of(client, MESSAGES, stream=stream, on_event=events.append)
    assert (till.paid, till.looked) == ([], 1)
    assert [(p.call.id, p.reason) for p in waiting.pending] == [("p", "approval")]
    assert [type(event) for event in events if event.call_id == "p"] == [ToolPending]
    assert len(bodies(fake)) == 1

    approvals = [pending.approve() for pending in waiting.pending]
    answer = await answer_of(client, waiting.run.messages, stream=stream, approvals=approvals)
    assert (till.paid, till.looked) == ([5.0], 1)
    assert answer.text == "done"
    assert answer.pending == []
    assert told(fake) == {"p": "paid 5.0", "b": "100"}
    fake.verify()


@both
async def test_a_call_that_is_denied_does_not_run_and_the_model_learns_why(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("pay", {"amount": 5}, id="p")]), Reply("too bad"))
    waiting = await answer_of(client, MESSAGES, stream=stream)
    word = waiting.pending[0].deny("Too expensive.")
    answer = await answer_of(client, waiting.run.messages, stream=stream, approvals=[word])
    assert till.paid == []
    assert answer.text == "too bad"
    assert "Too expensive." in told(fake)["p"]


async def test_an_approval_does_not_hold_for_other_arguments(fake: Any, client: Any) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("pay", {"amount": 5}, id="p")]))
    waiting = await client.chat(MESSAGES)
    word = waiting.pending[0].approve()
    messages = json.loads(json.dumps(waiting.run.messages).replace("5", "5000"))
    again = await client.chat(messages, approvals=[word])
    assert till.paid == []
    assert json.loads(again.pending[0].call.arguments) == {"amount": 5000}
    assert len(bodies(fake)) == 1


async def test_an_approval_of_a_call_that_does_not_wait_is_refused(fake: Any, client: Any) -> None:
    word = ToolApproval(call_id="p", digest="0", approved=True)
    with pytest.raises(ConfigurationError, match="No call waits for 'p'"):
        await client.chat(MESSAGES, approvals=[word])
    assert bodies(fake) == []


async def test_what_waits_goes_through_a_file(fake: Any, client: Any) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("pay", {"amount": 7}, id="p")]), Reply("done"))
    waiting = await client.chat(MESSAGES)
    text = json.dumps(waiting.run.messages)
    word = pickle.loads(pickle.dumps(waiting.pending[0].approve()))
    async with tool_client(fake) as other:
        later = Till(other)
        await other.chat(json.loads(text), approvals=[word])
        assert (till.paid, later.paid) == ([], [7.0])


async def test_an_approver_decides_at_once(fake: Any) -> None:
    def approve(wanted: ToolCall) -> bool | None:
        return {"5": True, "6": False}.get(str(json.loads(wanted.arguments)["amount"]))

    async with tool_client(fake, approve=approve) as client:
        till = Till(client)
        fake.script(Reply(tool_calls=[call("pay", {"amount": n}, id=f"p{n}") for n in (5, 6, 7)]))
        answer = await client.chat(MESSAGES)
        assert till.paid == [5.0]
        assert [pending.call.id for pending in answer.pending] == ["p7"]
        assert [result.call_id for result in answer.run.results] == ["p5", "p6"]
        assert answer.run.results[1].is_error


async def test_a_rule_on_the_arguments_says_who_must_be_asked(fake: Any, client: Any) -> None:
    paid: list[float] = []

    @client.tool(requires_approval=lambda arguments: arguments["amount"] > 10)
    def pay(amount: float) -> None:
        """Pay."""
        paid.append(amount)

    fake.script(Reply(tool_calls=[call("pay", {"amount": n}, id=f"p{n}") for n in (5, 50)]))
    answer = await client.chat(MESSAGES)
    assert paid == [5.0]
    assert [pending.call.id for pending in answer.pending] == ["p50"]


async def test_a_rule_that_fails_means_that_somebody_must_be_asked(fake: Any, client: Any) -> None:
    paid: list[float] = []

    @client.tool(requires_approval=lambda arguments: arguments["limit"])
    def pay(amount: float) -> None:
        """Pay."""
        paid.append(amount)

    fake.script(Reply(tool_calls=[call("pay", {"amount": 5})]))
    answer = await client.chat(MESSAGES)
    assert paid == []
    assert len(answer.pending) == 1


async def test_a_typed_answer_waits_as_an_error_that_can_be_continued(
    fake: Any, client: Any
) -> None:
    till = Till(client)
    fake.script(
        Reply(tool_calls=[call("pay", {"amount": 5}, id="p")]),
        Reply("paid"),
        Reply(json={"paid": 5}),
    )
    with pytest.raises(ToolCallsPendingError, match="pay wait to be approved") as caught:
        await client.parse(MESSAGES, Receipt)
    run = caught.value.run
    assert run is not None
    answer = await client.parse(run.messages, Receipt, approvals=[run.pending[0].approve()])
    assert answer.choices[0].message.parsed == Receipt(paid=5)
    assert till.paid == [5.0]
    fake.verify()


# --- external tools -------------------------------------------------------------------------------


@both
async def test_the_application_runs_external_tools_and_the_model_goes_on(
    fake: Any, client: Any, stream: bool
) -> None:
    Till(client)
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    client.register_external_tool("click", "Click.", schema)
    own = {"type": "function", "function": {"name": "scroll", "parameters": schema}}
    fake.script(
        Reply(
            tool_calls=[
                call("click", {"x": 1}, id="c"),
                call("balance", id="b"),
                call("scroll", {"x": 2}, id="s"),
            ]
        ),
        Reply("clicked"),
    )
    waiting = await answer_of(client, MESSAGES, stream=stream, tools=[own])
    assert [(p.call.id, p.reason) for p in waiting.pending] == [
        ("c", "external"),
        ("s", "external"),
    ]
    answer = await answer_of(
        client,
        waiting.run.messages,
        stream=stream,
        tools=[own],
        tool_results={"c": {"clicked": True}, "s": "scrolled"},
    )
    assert answer.text == "clicked"
    assert told(fake) == {"c": '{"clicked":true}', "b": "100", "s": "scrolled"}


async def test_a_part_of_the_results_leaves_the_rest_waiting(fake: Any, client: Any) -> None:
    client.register_external_tool("click", "Click.", {"type": "object", "properties": {}})
    fake.script(Reply(tool_calls=[call("click", id="a"), call("click", id="b")]), Reply("done"))
    waiting = await client.chat(MESSAGES)
    still = await client.chat(waiting.run.messages, tool_results={"b": "1"})
    assert [pending.call.id for pending in still.pending] == ["a"]
    assert len(bodies(fake)) == 1
    failed = ToolResult(call_id="", name="", content="It broke.", is_error=True)
    answer = await client.chat(still.run.messages, tool_results={"a": failed})
    assert answer.text == "done"
    assert told(fake) == {"b": "1", "a": "It broke."}


async def test_a_result_that_nobody_waits_for_is_refused(fake: Any, client: Any) -> None:
    with pytest.raises(ConfigurationError, match="No call waits for 'z'"):
        await client.chat(MESSAGES, tool_results={"z": 1})
    assert bodies(fake) == []


# --- bounds ---------------------------------------------------------------------------------------


@both
async def test_a_budget_stops_the_loop_and_more_of_it_goes_on_from_there(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(
        Reply(tool_calls=[call("balance", id="b1")], usage={"cost": 0.3}),
        Reply(tool_calls=[call("balance", id="b2")], usage={"cost": 0.3}),
        Reply("done", usage={"cost": 0.1}),
    )
    with pytest.raises(BudgetExceededError, match=r"max_cost_usd is 0\.5, 0\.6 are used") as caught:
        await answer_of(client, MESSAGES, stream=stream, budget=Budget(max_cost_usd=0.5))
    assert caught.value.limit == "max_cost_usd"
    run = caught.value.run
    assert run is not None
    assert run.usage is not None
    assert run.usage.cost == pytest.approx(0.6)
    answer = await answer_of(client, run.messages, stream=stream)
    assert answer.text == "done"
    assert till.looked == 2


@both
async def test_the_round_limit_can_be_raised_later(fake: Any, client: Any, stream: bool) -> None:
    till = Till(client)
    fake.script(
        Reply(tool_calls=[call("balance", id="b1")]),
        Reply(tool_calls=[call("balance", id="b2")]),
        Reply("done"),
    )
    with pytest.raises(ToolRoundsExceededError) as caught:
        await answer_of(client, MESSAGES, stream=stream, max_rounds=1)
    assert till.looked == 1
    assert caught.value.run is not None
    answer = await answer_of(client, caught.value.run.messages, stream=stream)
    assert (answer.text, till.looked) == ("done", 2)


@both
async def test_a_model_that_repeats_itself_is_told_and_then_stopped(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(*[Reply(tool_calls=[call("balance", id=f"b{n}")]) for n in range(9)])
    with pytest.raises(ToolRepeatError):
        await answer_of(client, MESSAGES, stream=stream)
    assert till.looked == 3
    assert len(bodies(fake)) == 5
    assert "same result 3 times" in told(fake)["b3"]


@both
async def test_a_failure_between_rounds_keeps_what_was_done(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("balance", id="b")]), Failure(503), Reply("done"))
    with pytest.raises(ProviderUnavailableError) as caught:
        await answer_of(client, MESSAGES, stream=stream)
    run = caught.value.run
    assert run is not None
    assert [message["role"] for message in run.new_messages] == ["assistant", "tool"]
    answer = await answer_of(client, run.messages, stream=stream)
    assert (answer.text, till.looked) == ("done", 1)


@both
async def test_a_tool_may_end_the_conversation(fake: Any, client: Any, stream: bool) -> None:
    @client.tool(on_error="raise")
    def fail() -> None:
        """Fail."""
        raise ValueError("the secret plan")

    fake.script(Reply(tool_calls=[call("fail")]))
    with pytest.raises(ToolExecutionError, match="fail") as caught:
        await answer_of(client, MESSAGES, stream=stream)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "plan" not in str(caught.value)
    assert caught.value.run is not None


@both
async def test_what_may_have_had_its_effect_is_not_run_again(
    fake: Any, client: Any, stream: bool
) -> None:
    sent: list[str] = []
    hang = anyio.Event()

    @client.tool
    async def send(to: str) -> str:
        """Send."""
        sent.append(to)
        if to == "slow":
            await hang.wait()
        return f"sent to {to}"

    @client.tool(on_error="raise")
    async def fail() -> None:
        """Fail when everything else has begun."""
        while len(sent) < 2:
            await anyio.sleep(0)
        raise ValueError

    calls = [call("send", {"to": to}, id=to) for to in ("quick", "slow")]
    fake.script(Reply(tool_calls=[*calls, call("fail", id="f")]), Reply("done"))
    with pytest.raises(ToolExecutionError) as caught:
        await answer_of(client, MESSAGES, stream=stream)
    run = caught.value.run
    assert run is not None
    answer = await answer_of(client, run.messages, stream=stream)
    assert answer.text == "done"
    assert sorted(sent) == ["quick", "slow"]
    assert told(fake)["quick"] == "sent to quick"
    assert "may have had an effect" in told(fake)["slow"]


# --- filters --------------------------------------------------------------------------------------


@both
async def test_only_what_the_filter_lets_through_is_offered_and_run(
    fake: Any, client: Any, stream: bool
) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("pay", {"amount": 5}, id="p")]), Reply("sorry"))
    answer = await answer_of(client, MESSAGES, stream=stream, tool_filter=["balance"])
    assert [t["function"]["name"] for t in bodies(fake)[0]["tools"]] == ["balance"]
    assert "cannot be used now. Tools: balance." in told(fake)["p"]
    assert (till.paid, answer.pending) == ([], [])


async def test_a_filter_can_hide_a_tool_after_its_use(fake: Any, client: Any) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("balance", id="b")]), Reply("done"))
    await client.chat(MESSAGES, tool_filter=lambda info: info.effect == "read" and not till.looked)
    first, second = bodies(fake)
    assert [t["function"]["name"] for t in first["tools"]] == ["balance"]
    assert "tools" not in second


# --- events ---------------------------------------------------------------------------------------


@both
async def test_a_listener_hears_of_every_call(fake: Any, client: Any, stream: bool) -> None:
    Till(client)
    fake.script(Reply(tool_calls=[call("balance", id="b"), call("nothing", id="n")]), Reply("ok"))
    events: list[Any] = []
    await answer_of(client, MESSAGES, stream=stream, on_event=events.append)
    heard = [(type(event), event.is_error) for event in events if isinstance(event, ToolEnded)]
    assert sorted(heard, key=str) == [(ToolEnded, False), (ToolEnded, True)]
    assert any(isinstance(event, ToolCalled) and event.name == "balance" for event in events)


@both
async def test_a_listener_that_fails_changes_nothing(fake: Any, client: Any, stream: bool) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("balance")]), Reply("ok"))
    answer = await answer_of(client, MESSAGES, stream=stream, on_event=lambda event: 1 / 0)
    assert (answer.text, till.looked) == ("ok", 1)


async def test_a_stream_tells_what_tools_do_while_they_do_it(fake: Any, client: Any) -> None:
    go_on = anyio.Event()

    @client.tool
    async def work() -> str:
        """Work."""
        with anyio.fail_after(5):
            await go_on.wait()
        return "worked"

    fake.script(Reply("Let me see.", tool_calls=[call("work", id="w")]), Reply("done"))
    seen: list[str] = []
    async with client.stream(MESSAGES) as stream:
        async for event in stream.events():
            seen.append(type(event).__name__)
            if isinstance(event, ToolCalled):
                go_on.set()  # the tool still runs when its call is told
        assert stream.run.rounds == 1
    order = ["TextDelta", "ToolCallArgumentsDelta", "ToolCallDone", "ToolCalled", "ToolEnded"]
    places = [seen.index(name) for name in order]
    assert places == sorted(places)
    assert seen[-1] == "AnswerDone"
    assert seen.count("AnswerDone") == 1


async def test_leaving_a_stream_cancels_the_tools_that_run(fake: Any, client: Any) -> None:
    cancelled = anyio.Event()

    @client.tool
    async def work() -> None:
        """Work for ever."""
        try:
            await anyio.sleep_forever()
        except BaseException:
            cancelled.set()
            raise

    fake.script(Reply(tool_calls=[call("work")]))
    async with client.stream(MESSAGES) as stream:
        async for event in stream.events():
            if isinstance(event, ToolCalled):
                break
    assert cancelled.is_set()


async def test_cancelling_the_reader_cancels_the_tools_that_run(fake: Any, client: Any) -> None:
    running, cancelled = anyio.Event(), anyio.Event()

    @client.tool
    async def work() -> None:
        """Work for ever."""
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    fake.script(Reply(tool_calls=[call("work")]))

    async def read() -> None:
        async with client.stream(MESSAGES) as stream:
            await stream.get_final_completion()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await running.wait()
            group.cancel_scope.cancel()
    assert cancelled.is_set()


# --- typed answers --------------------------------------------------------------------------------


async def test_one_call_mode_asks_for_the_type_already_in_the_rounds(
    fake: Any, client: Any
) -> None:
    till = Till(client)
    fake.script(Reply(tool_calls=[call("balance", id="b")]), Reply(json={"paid": 100}))
    answer = await client.parse(MESSAGES, Receipt, one_call=True)
    assert answer.parsed == answer.choices[0].message.parsed == Receipt(paid=100)
    assert till.looked == 1
    first, second = bodies(fake)
    assert first["response_format"] == second["response_format"]
    assert first["tools"] == second["tools"]
    assert answer.run.rounds == 1
    assert len(answer.run.completions) == 2


async def test_a_typed_answer_tells_how_it_came_about(fake: Any, client: Any) -> None:
    Till(client)
    fake.script(
        Reply(tool_calls=[call("balance", id="b")], usage={"cost": 0.5}),
        Reply("it is 100", usage={"cost": 0.25}),
        Reply(json={"paid": 100}, usage={"cost": 0.125}),
    )
    answer = await client.parse(MESSAGES, Receipt)
    assert answer.usage.cost == 0.875
    assert [m["role"] for m in answer.run.new_messages] == ["assistant", "tool", "assistant"]
    assert json.loads(answer.run.new_messages[-1]["content"]) == {"paid": 100}
    assert len(answer.run.completions) == 3
    # The structured call sees the results, and not the words that it replaces.
    assert [m["role"] for m in bodies(fake)[2]["messages"]] == ["user", "assistant", "tool"]


@both
async def test_what_a_provider_adds_to_a_call_goes_back_with_it(
    fake: Any, client: Any, stream: bool
) -> None:
    Till(client)
    signed = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    details = [
        {
            "type": "reasoning.text",
            "text": "Hm.",
            "signature": "s",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        {"type": "reasoning.encrypted", "data": "abc", "id": "r1", "index": 1},
    ]
    fake.script(
        Reply(
            tool_calls=[call("balance", "{ }", id="b", **signed)],
            extra={"reasoning_details": details},
        ),
        Reply("ok"),
    )
    await answer_of(client, MESSAGES, stream=stream)
    sent = bodies(fake)[1]["messages"][1]
    assert sent["reasoning_details"] == details
    assert sent["tool_calls"][0]["function"]["arguments"] == "{ }"
    assert sent["tool_calls"][0]["extra_content"] == signed["extra_content"]

"""An agent that goes on after a crash, with other tools, or from what another version stored."""

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from support.golden_sessions import golden

from mbxai import (
    AgentResponse,
    AgentState,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopResponse,
    SessionDataError,
    ToolContext,
    ToolsChangedError,
)
from mbxai.agent.events import AgentEvent
from mbxai.sessions import InMemorySessionHandler
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply
from mbxai.tools import NotDone, Reconcile

FORM_0, FORM_1 = golden(0), golden(1)


class Report(BaseModel):
    summary: str


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


class Bank:
    """A tool that is cut off the first time, as a process that is killed would be.

    Attributes:
        runs: Keys under which it was run.
        asked: Key and arguments of each time it was asked what it did.
    """

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.begun = anyio.Event()

    async def pay(self, amount: int, context: ToolContext) -> str:
        self.runs.append(context.idempotency_key)
        self.begun.set()
        if len(self.runs) == 1:
            await anyio.sleep_forever()
        return f"paid {amount}"

    def reconciling(self, answer: object) -> Reconcile:
        async def reconcile(context: ToolContext, arguments: dict[str, Any]) -> object:
            self.asked.append((context.idempotency_key, arguments))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return reconcile


def script(fake: FakeOpenRouter, tool: str = "pay") -> None:
    """The model plans one task and calls a tool in it."""
    plan = {
        "tasks": [
            {
                "key": "t",
                "title": "Pay",
                "description": "Pay the bill",
                "depends_on": [],
                "tools_needed": [tool],
                "estimated_complexity": 1,
            }
        ],
        "estimated_total_time": "1 min",
    }
    fake.script(
        Reply(when=Match(schema="TodoList"), json=plan),
        Reply(
            tool_calls=[{"name": tool, "arguments": json.dumps({"amount": 5})}],
            when=Match(tool=tool, contains="Pay the bill"),
        ),
        Auto(times=None),
    )


@asynccontextmanager
async def agent_of(
    fake: FakeOpenRouter,
    handler: InMemorySessionHandler,
    register: Callable[[AsyncToolClient], object],
) -> AsyncIterator[AsyncAgentClient]:
    async with AsyncOpenRouterClient(
        fake.api_key, "openai/gpt-4", fake.base_url, max_retries=0
    ) as client:
        tools = AsyncToolClient(client)
        register(tools)
        async with AsyncAgentClient(tools, True, session_handler=handler) as agent:
            yield agent


async def cut_off(
    fake: FakeOpenRouter, bank: Bank, **options: Any
) -> tuple[AgentResponse, list[AgentEvent], Callable[..., Any]]:
    """Run until the tool has begun, lose the run, and let another agent go on."""
    script(fake)
    handler = InMemorySessionHandler()

    def register(tools: AsyncToolClient) -> None:
        tools.register_tool("pay", "Pay", bank.pay, **options)

    async with agent_of(fake, handler, register) as agent, anyio.create_task_group() as group:
        group.start_soon(agent.agent, "Pay the bill", Report, None, None, None, "s")
        with anyio.fail_after(5):
            await bank.begun.wait()
        group.cancel_scope.cancel()

    events: list[AgentEvent] = []

    async def go_on(decision: str | None = None, note: str = "") -> AgentResponse:
        async with agent_of(fake, handler, register) as agent:
            before = await agent.get_response("s")
            answers = [
                HumanInLoopResponse(
                    interaction_id=request.id,
                    response_type=request.interaction_type,
                    decision=decision,
                    additional_context=note,
                )
                for request in before.human_interaction_requests
                if decision
            ]
            return await agent.agent(
                "", Report, agent_id="s", human_response=answers or None, on_event=events.append
            )

    return await go_on(), events, go_on


def told(fake: FakeOpenRouter) -> str:
    """The result of the call as the model got it at last."""
    bodies = [request.json for request in fake.requests()]
    results = [m["content"] for body in bodies for m in body["messages"] if m["role"] == "tool"]
    return str(results[-1])


# --- interrupted calls ----------------------------------------------------------------------------


async def test_a_tool_that_may_be_repeated_runs_again_under_the_same_key(
    fake: FakeOpenRouter,
) -> None:
    bank = Bank()
    response, _, _ = await cut_off(fake, bank, effect="idempotent")

    assert response.is_complete()
    assert len(bank.runs) == 2
    assert len(set(bank.runs)) == 1


async def test_what_a_tool_says_that_it_did_is_its_result_and_nothing_runs(
    fake: FakeOpenRouter,
) -> None:
    bank = Bank()
    response, _, _ = await cut_off(fake, bank, reconcile=bank.reconciling({"receipt": 17}))

    assert response.is_complete()
    assert bank.asked == [(bank.runs[0], {"amount": 5})]
    assert len(bank.runs) == 1
    assert '{"receipt":17}' in told(fake)


async def test_a_tool_that_says_that_nothing_happened_runs_under_the_same_key(
    fake: FakeOpenRouter,
) -> None:
    bank = Bank()
    response, _, _ = await cut_off(fake, bank, reconcile=bank.reconciling(NotDone()))

    assert response.is_complete()
    assert len(bank.asked) == 1
    assert bank.runs == [bank.runs[0]] * 2
    assert "paid 5" in told(fake)


@pytest.mark.parametrize("has_reconcile", [True, False])
async def test_where_nobody_can_say_it_a_person_decides(
    fake: FakeOpenRouter, has_reconcile: bool
) -> None:
    bank = Bank()
    reconcile = bank.reconciling(ConnectionError("the bank is closed")) if has_reconcile else None
    response, _, go_on = await cut_off(fake, bank, reconcile=reconcile)

    assert response.state is AgentState.WAITING_FOR_HUMAN
    (request,) = response.human_interaction_requests
    assert request.options == ["it was done", "run it again", "skip"]
    assert "'pay'" in request.prompt
    assert "UTC" in request.prompt
    assert '"amount": 5' in request.context
    response = await go_on("it was done", "receipt 17")
    assert response.is_complete()
    assert len(bank.runs) == 1
    assert "receipt 17" in told(fake)


async def test_a_person_may_have_it_run_again(fake: FakeOpenRouter) -> None:
    bank = Bank()
    _, _, go_on = await cut_off(fake, bank, requires_approval=False)
    response = await go_on("run it again")

    assert response.is_complete()
    assert bank.runs == [bank.runs[0]] * 2
    assert "paid 5" in told(fake)


async def test_a_person_may_skip_it(fake: FakeOpenRouter) -> None:
    bank = Bank()
    _, _, go_on = await cut_off(fake, bank)
    response = await go_on("skip")

    assert response.is_complete()
    assert len(bank.runs) == 1
    assert "outcome unknown" in told(fake)


# --- other tools ----------------------------------------------------------------------------------


class Shop:
    """A tool that needs approval, under one description or another."""

    def __init__(self, handler: InMemorySessionHandler, fake: FakeOpenRouter) -> None:
        self.handler = handler
        self.fake = fake
        self.runs: list[int] = []
        self.events: list[AgentEvent] = []

    def pay(self, amount: int) -> str:
        self.runs.append(amount)
        return "paid"

    async def call(self, description: str, **options: Any) -> AgentResponse:
        def register(tools: AsyncToolClient) -> None:
            tools.register_tool("pay", description, self.pay, requires_approval=True)

        async with agent_of(self.fake, self.handler, register) as agent:
            return await agent.agent(
                options.pop("prompt", ""),
                Report,
                agent_id="s",
                on_event=self.events.append,
                **options,
            )


def approving(response: AgentResponse) -> HumanInLoopResponse:
    (request,) = response.human_interaction_requests
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type=request.interaction_type,
        decision="approve",
    )


async def test_an_approval_of_a_tool_that_has_changed_is_asked_for_anew(
    fake: FakeOpenRouter,
) -> None:
    script(fake)
    shop = Shop(InMemorySessionHandler(), fake)
    first = await shop.call("Pay", prompt="Pay the bill")

    again = await shop.call("Pay and tip", human_response=approving(first))

    assert shop.runs == []
    assert again.state is AgentState.WAITING_FOR_HUMAN
    (request,) = again.human_interaction_requests
    assert "changed" in request.prompt
    (event,) = [event for event in shop.events if event.type == "tools_changed"]
    assert event.changed == ("pay",)
    last = await shop.call("Pay and tip", human_response=approving(again))
    assert last.is_complete()
    assert shop.runs == [5]


async def test_where_nothing_has_changed_nothing_is_saved_for_it(fake: FakeOpenRouter) -> None:
    script(fake)
    shop = Shop(InMemorySessionHandler(), fake)
    first = await shop.call("Pay", prompt="Pay the bill")
    before = shop.handler.get_session("s")

    again = await shop.call("Pay")

    assert again.human_interaction_requests == first.human_interaction_requests
    after = shop.handler.get_session("s")
    assert before is not None
    assert after is not None
    assert {**after, "version": 0, "_store": 0} == {**before, "version": 0, "_store": 0}
    assert after["_store"]["seq"] == before["_store"]["seq"]


async def test_a_turn_that_refuses_other_tools_is_as_it_was(fake: FakeOpenRouter) -> None:
    script(fake)
    shop = Shop(InMemorySessionHandler(), fake)
    first = await shop.call("Pay", prompt="Pay the bill", on_changed_tools="refuse")

    with pytest.raises(ToolsChangedError, match="'pay' changed") as raised:
        await shop.call("Pay and tip", human_response=approving(first))

    assert raised.value.tools == ("pay",)
    assert [event for event in shop.events if event.type == "tools_changed"] == []
    last = await shop.call("Pay", human_response=approving(first))
    assert last.is_complete()
    assert shop.runs == [5]


# --- what other versions stored -------------------------------------------------------------------


def look_pay_ship(tools: AsyncToolClient) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tools.register_tool("look", "Look", lambda n: "seen", schema, effect="read")
    tools.register_tool("pay", "Pay", lambda n: "paid", schema, reconcile=lambda _c, _a: "paid")
    tools.register_tool("ship", "Ship", lambda n: "sent", schema, requires_approval=True)


def fitting(request: Any) -> HumanInLoopResponse:
    given: dict[str, Any] = {"decision": request.options[0] if request.options else None}
    if request.response_schema is not None:
        given = {"content": {"seat": "12A"}}
    elif request.interaction_type == "question":
        given = {"answer": "eu-west"}
    elif request.interaction_type == "dialog_option":
        given = {"dialog_option_id": request.dialog_options[0].id}
    return HumanInLoopResponse(
        interaction_id=request.id, response_type=request.interaction_type, **given
    )


@pytest.mark.parametrize(
    ("form", "name"),
    [*((0, name) for name in FORM_0), *((1, name) for name in FORM_1)],
)
async def test_a_stored_session_goes_on_to_its_end(
    fake: FakeOpenRouter, form: int, name: str
) -> None:
    fake.script(Auto(times=None))
    handler = InMemorySessionHandler()
    handler.set_session("agent-1", copy.deepcopy((FORM_0, FORM_1)[form][name]))
    async with agent_of(fake, handler, look_pay_ship) as agent:
        before = await agent.get_response("agent-1")
        is_over = before.is_complete() or (before.error is not None and not before.error.retryable)
        response = await agent.agent(
            "and then?" if is_over else "",
            Report,
            agent_id="agent-1",
            raise_on_failure=False,
        )
        for _ in range(10):
            if response.is_complete():
                break
            response = await agent.agent(
                "",
                Report,
                agent_id="agent-1",
                human_response=[fitting(one) for one in response.human_interaction_requests],
            )

    assert response.agent_id == "agent-1"
    assert response.is_complete()
    assert isinstance(response.final_response, Report)
    stored = handler.get_session("agent-1")
    assert stored is not None
    assert stored["schema_version"] == 1


async def test_a_session_of_a_newer_mbxai_is_refused_and_stays_as_it_is(
    fake: FakeOpenRouter,
) -> None:
    handler = InMemorySessionHandler()
    handler.set_session("s", {**FORM_1["completed"], "schema_version": 2})
    async with agent_of(fake, handler, look_pay_ship) as agent:
        with pytest.raises(SessionDataError, match="version 2; this mbxai reads up to 1"):
            await agent.agent("go on", Report, agent_id="s")

    stored = handler.get_session("s")
    assert stored is not None
    assert stored["schema_version"] == 2

"""The cases A7-A9: models that plan nonsense, and limits that hold in the middle of a task."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_safety_desk import desk
from support.agent_safety_run import OVERRIDES, PROMPT, Effects, Report, script

from mbxai import (
    AgentFailedError,
    AgentResponse,
    AgentState,
    Budget,
    BudgetExceededError,
)
from mbxai.testing import Auto, FakeOpenRouter, Match, Raw, Reply

BOUND = 40
"""Requests that a plan of nonsense may cost, at most."""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "sessions.db")


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


def task(key: str, *after: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "title": f"Part {key}",
        "description": f"MARK-{key}.",
        "depends_on": list(after),
        "tools_needed": [],
        "estimated_complexity": 1,
        **more,
    }


PLANS: dict[str, list[dict[str, Any]]] = {
    "empty": [],
    "circle": [task("a", "b"), task("b", "c"), task("c", "a"), task("d")],
    "itself": [task("a", "a")],
    "unknown-key": [task("a", "nobody"), task("b", "a")],
    "same-keys": [task("a"), task("a"), task("b", "a")],
    "blank-keys": [task(""), task(" "), task("b", "")],
    "long-chain": [task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(60)],
    "hostile-keys": [task("../a\x00"), task("__proto__", "../a\x00"), task("x" * 10_000)],
    "unknown-tools": [task("a", tools_needed=["rm", "no such tool", ""])],
}


@pytest.mark.parametrize("name", sorted(PLANS))
async def test_a7_a_plan_of_nonsense_is_repaired_or_refused_within_bounds(
    fake: FakeOpenRouter, place: str, effects: Effects, name: str
) -> None:
    plan = {"tasks": PLANS[name], "estimated_total_time": "1 minute"}
    fake.script(*[Reply(json=plan, when=Match(schema="TodoList"))] * 20, Auto(times=None))
    async with desk(fake.base_url, place, effects, people=False) as agent:
        response = await agent.agent(PROMPT, Report, agent_id="s", raise_on_failure=False)
        kept = await agent.get_response("s", Report)

    assert len(fake.requests()) <= BOUND
    assert response.state in (AgentState.COMPLETED, AgentState.FAILED)
    assert kept == response
    check_is_whole(response)


def check_is_whole(response: AgentResponse) -> None:
    """What came of it is a plan that can be run, or a failure that says why."""
    if response.state is AgentState.FAILED:
        assert response.error is not None
        assert response.error.message
    tasks = response.todo_list.tasks if response.todo_list else []
    ids = [one.id for one in tasks]
    assert len(set(ids)) == len(ids)
    for number, one in enumerate(tasks):
        assert set(one.dependencies) <= set(ids)
        assert one.id not in one.dependencies
        assert one.status in ("completed", "skipped", "failed", "pending"), number


async def test_a7_ten_thousand_tasks_are_bounded(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    plan = {"tasks": [task(f"t{n}") for n in range(10_000)], "estimated_total_time": "a life"}
    fake.script(*[Reply(json=plan, when=Match(schema="TodoList"))] * 4, Auto(times=None))
    async with desk(fake.base_url, place, effects, people=False, max_replans=0) as agent:
        response = await agent.agent(PROMPT, Report, agent_id="s", raise_on_failure=False)

    assert len(fake.requests()) <= BOUND
    assert response.state in (AgentState.COMPLETED, AgentState.FAILED)
    done = (
        [one for one in response.todo_list.tasks if one.status == "completed"]
        if (response.todo_list)
        else []
    )
    assert len(done) <= 10


NONSENSE = {
    "no-json": Reply("Well, let me think about it. " * 20),
    "wrong-fields": Reply(json={"colour": "blue"}),
    "cut": Reply('{"summary": "half a sen', finish_reason="length"),
    "empty": Reply(""),
    "refusal": Reply(None, extra={"refusal": "I will not."}),
}


@pytest.mark.parametrize("name", sorted(NONSENSE))
@pytest.mark.parametrize("schema", ["RequirementAnalysis", "TodoList", "Report"])
async def test_a7_a_model_that_gives_nonsense_for_ever_fails_the_run_and_its_cost_is_known(
    fake: FakeOpenRouter, place: str, effects: Effects, name: str, schema: str
) -> None:
    said = NONSENSE[name]
    nonsense = Reply(
        said.content,
        json=said.json,
        finish_reason=said.finish_reason,
        extra=said.extra,
        usage={"cost": 0.25},
        when=Match(schema=schema),
    )
    fake.script(*[nonsense] * 20, Auto(times=None))
    async with desk(fake.base_url, place, effects, people=False) as agent:
        with pytest.raises(AgentFailedError) as caught:
            await agent.agent(PROMPT, Report, agent_id="s")
        kept = await agent.get_response("s")
        asked = sum(request.schema_name == schema for request in fake.requests())
        fake.reset()
        done = await agent.agent("", Report, agent_id="s")  # the model has come to its senses

    failed = caught.value.response
    assert failed.state is AgentState.FAILED
    assert failed.error is not None
    assert failed.error.message
    if name == "wrong-fields":
        assert (
            "missing" in failed.error.message.lower() or "required" in failed.error.message.lower()
        )
    assert kept.error == failed.error
    assert 1 <= asked <= 6
    assert failed.token_summary.total_cost_usd >= 0.25 * asked
    assert done.is_complete()
    assert done.token_summary.total_cost_usd > failed.token_summary.total_cost_usd


async def test_a7_a_model_that_says_nothing_in_its_tasks_fails_them_and_not_the_session(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    plan = {"tasks": [task("a"), task("b", "a")], "estimated_total_time": "1 minute"}
    fake.script(
        *[Reply(json=plan, when=Match(schema="TodoList"))] * 4,
        *[Reply("", when=Match(tool="look", contains="MARK-a."))] * 20,
        Auto(times=None),
    )
    async with desk(fake.base_url, place, effects, people=False) as agent:
        response = await agent.agent(PROMPT, Report, agent_id="s", raise_on_failure=False)

    assert len(fake.requests()) <= BOUND
    assert response.todo_list is not None
    first, second = response.todo_list.tasks[:2]
    assert first.status == "failed"
    assert "empty" in str(first.error_message)
    assert second.status == "skipped"


# --- A8 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (Budget(max_requests=5), Budget(max_requests=50)),
        (Budget(max_tool_calls=2), Budget(max_tool_calls=50)),
        (Budget(max_cost_usd=0.30001), Budget(max_cost_usd=50)),
        (Budget(max_tokens=450), Budget(max_tokens=500_000)),
    ],
    ids=["requests", "tool-calls", "cost", "tokens"],
)
async def test_a8_a_budget_that_ends_in_a_task_rests_a_session_that_a_larger_one_resumes(
    fake: FakeOpenRouter, place: str, effects: Effects, small: Budget, large: Budget
) -> None:
    usage = {"cost": 0.1, "total_tokens": 100, "prompt_tokens": 90, "completion_tokens": 10}
    plan = Reply(json=OVERRIDES["TodoList"], usage=usage, when=Match(schema="TodoList"))
    fake.script(
        *[Reply(json=analysis, usage=usage, when=Match(schema=name)) for name, analysis in STEPS],
        plan,
    )
    script(fake)
    async with desk(fake.base_url, place, effects, people=False) as agent:
        with pytest.raises(BudgetExceededError) as caught:
            await agent.agent(PROMPT, Report, agent_id="s", budget=small)
        stopped = await agent.get_response("s")
        calls = len(fake.requests())
        with pytest.raises(BudgetExceededError):  # so long as it is not larger
            await agent.agent("", Report, agent_id="s", budget=small)
        assert len(fake.requests()) == calls
        done = await agent.agent("", Report, agent_id="s", budget=large)

    assert caught.value.response is not None
    assert caught.value.response.state is AgentState.EXECUTING_TASKS
    assert stopped.state is AgentState.EXECUTING_TASKS
    assert done.is_complete()
    assert len(effects.noted("charge", "effect")) == 1
    assert len(effects.noted("look", "ended")) == 1


STEPS = [
    (
        "RequirementAnalysis",
        {
            "goal": "g",
            "sub_goals": [],
            "success_criteria": ["c"],
            "constraints": [],
            "complexity_estimate": 1,
        },
    ),
    ("ToolAnalysis", {"relevant_tools": [], "tool_mapping": [], "missing_capabilities": []}),
]


# --- A9 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["ask_question", "request_decision", "open_dialog"])
async def test_a9_a_model_that_asks_where_nobody_is_asked_is_told_and_the_run_ends(
    fake: FakeOpenRouter, place: str, effects: Effects, tool: str
) -> None:
    plan = {"tasks": [task("a")], "estimated_total_time": "1 minute"}
    arguments = {"prompt": "Which?", "options": ["x"], "dialog_option_id": "y", "reason": "z"}
    fake.script(
        Reply(json=plan, when=Match(schema="TodoList")),
        Reply(tool_calls=[{"name": tool, "arguments": arguments}], when=Match(tool="look")),
        Reply("I go on without.", when=Match(tool="look")),
        Auto(times=None),
    )
    async with desk(fake.base_url, place, effects, people=False) as agent:
        response = await agent.agent(PROMPT, Report, agent_id="s")

    assert response.is_complete()
    assert response.human_interaction_requests == []
    offered = [
        one["function"]["name"] for sent in fake.requests() for one in sent.json.get("tools") or ()
    ]
    assert tool not in offered
    told = [m["content"] for m in fake.requests()[-3].json["messages"] if m["role"] == "tool"]
    assert len(told) == 1
    assert "There is no tool" in told[0]


async def test_a9_a_tool_that_needs_approval_where_nobody_is_asked_does_not_run(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    fake.script(Reply(json=OVERRIDES["TodoList"], when=Match(schema="TodoList")))
    script(fake)
    async with desk(fake.base_url, place, effects, people=False) as agent:
        response = await agent.agent(PROMPT, Report, agent_id="s")

    assert response.is_complete()
    assert effects.noted("ship", "begun") == []
    assert len(effects.noted("charge", "effect")) == 1


async def test_a7_an_answer_of_bytes_that_are_no_completion_fails_and_can_be_tried_again(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    fake.script(*[Raw(b"\xff\xfe not json", when=Match(schema="TodoList"))] * 9, Auto(times=None))
    async with desk(fake.base_url, place, effects, people=False) as agent:
        with pytest.raises(AgentFailedError) as caught:
            await agent.agent(PROMPT, Report, agent_id="s")
        fake.reset()
        done = await agent.agent("", Report, agent_id="s")

    assert caught.value.response.error is not None
    assert caught.value.response.error.retryable
    assert done.is_complete()

"""Promises of the agent, rows 17 to 24: failures, types, plans that can run, limits, tokens."""

from typing import Any

import pytest
from support.agent_promises import Story, answer, bodies, is_chat, results, said, schema_names
from support.agent_story_stage import calls, evaluated, final, plan, says, task

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    TaskStatus,
)
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply


def nonsense(schema: str) -> Reply:
    return Reply("I would rather not say.", when=Match(schema=schema))


# --- row 17 ---------------------------------------------------------------------------------------


async def test_row_17_a_tools_exception_goes_back_to_the_model_which_may_try_again(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    def divide(by: int) -> float:
        """Divide 12."""
        return 12 / by

    client.register_tool("divide", "Divide 12", divide)
    fake.script(
        plan(task("a", tools=["divide"])),
        calls("a", "divide", by=0),
        calls("a", "divide", by=4),
        says("a", "It is 3."),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client).agent("Divide", Story)
    first, second = results(bodies(fake)[-1])

    assert "division by zero" in first
    assert "3.0" in second
    assert response.todo_list.tasks[0].status is TaskStatus.COMPLETED
    assert response.todo_list.tasks[0].result == "It is 3."


async def test_row_17_a_task_that_cannot_be_done_fails_and_its_dependents_are_skipped(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a"), task("b", "a"), task("c", "b"), task("d")),
        *[says("a", "")] * 3,
        evaluated(achieved=False, missing=["part a"]),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, max_replans=0)
    response = await agent.agent("Do it", Story, raise_on_failure=False)
    a, b, c, d = response.todo_list.tasks

    attempts = [body for body in bodies(fake) if "do-a." in said(body)]
    assert len(attempts) == 3
    assert ["empty" in said(body) for body in attempts] == [False, True, True]
    assert a.status is TaskStatus.FAILED
    assert "empty" in a.error_message
    assert a.result is None
    assert (b.status, c.status) == (TaskStatus.SKIPPED, TaskStatus.SKIPPED)
    assert "'Part a', which failed" in b.error_message
    assert "'Part b', which was skipped" in c.error_message
    assert d.status is TaskStatus.COMPLETED
    assert response.state is AgentState.FAILED
    assert "(failed)" in said(bodies(fake, "GoalEvaluation"))


# --- rows 18 to 20 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unfit", [{}, {"title": 1, "status": "x"}, {"title": "x"}, ["title", "status"], "a story"]
)
async def test_row_18_a_final_response_is_the_callers_model_or_a_typed_error(
    fake: FakeOpenRouter, client: AsyncToolClient, unfit: Any
) -> None:
    fake.script(*[Reply(json=unfit, when=Match(schema="Story"))] * 3, Auto(times=None))
    agent = AsyncAgentClient(client)
    with pytest.raises(AgentFailedError) as caught:
        await agent.agent("Summarise", Story)
    failed = caught.value.response

    assert failed.state is AgentState.FAILED
    assert failed.error.type == "OutputValidationError"
    assert failed.final_response is None
    done = await agent.agent("", Story, agent_id=failed.agent_id)
    assert isinstance(done.final_response, Story)


@pytest.mark.parametrize(
    "schema", ["RequirementAnalysis", "ToolAnalysis", "TodoList", "GoalEvaluation", "Story"]
)
async def test_row_19_an_answer_that_cannot_be_read_is_asked_for_again_with_what_was_wrong(
    fake: FakeOpenRouter, client: AsyncToolClient, schema: str
) -> None:
    fake.script(nonsense(schema), Auto(times=None))
    response = await AsyncAgentClient(client).agent("Summarise", Story)
    first, second = bodies(fake, schema)

    assert response.is_complete()
    assert "could not be used" not in said(first)
    assert "could not be used" in said(second)
    assert "JSON" in said(second["messages"][-1]["content"].rpartition("could not be used")[2])


@pytest.mark.parametrize("schema", ["RequirementAnalysis", "ToolAnalysis", "GoalEvaluation"])
async def test_row_19_an_analysis_that_can_never_be_read_fails_the_run(
    fake: FakeOpenRouter, client: AsyncToolClient, schema: str
) -> None:
    fake.script(*[nonsense(schema)] * 3, Auto(times=None))
    response = await AsyncAgentClient(client).agent("Summarise", Story, raise_on_failure=False)

    assert response.state is AgentState.FAILED
    assert "3 times" in response.error.message
    assert schema_names(fake).count(schema) == 3
    assert schema_names(fake)[-1] == schema
    invented = {
        "RequirementAnalysis": response.requirement_analysis,
        "ToolAnalysis": response.tool_analysis,
        "GoalEvaluation": response.goal_evaluation,
    }[schema]
    assert invented is None


async def test_row_20_a_plan_that_cannot_be_read_is_never_replaced_by_an_invented_one(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    analysis = {
        "goal": "all of it",
        "sub_goals": [],
        "success_criteria": ["done"],
        "constraints": [],
        "complexity_estimate": 10,
    }
    too_hard = plan(task("a", complexity=9))
    fake.script(Reply(json=analysis, when=Match(schema="RequirementAnalysis")))
    fake.script(*[too_hard] * 3, Auto(times=None))
    response = await AsyncAgentClient(client).agent("Do it", Story, raise_on_failure=False)

    assert response.requirement_analysis.complexity_estimate == 10
    assert response.state is AgentState.FAILED
    assert response.error.step == "todo_generation"
    assert "estimated_complexity" in response.error.message
    assert response.todo_list is None
    assert bodies(fake) == []


# --- row 21 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "kind", "retryable"),
    [
        (Failure(402, message="Insufficient credits"), "InsufficientCreditsError", True),
        (Failure(503, message="Busy"), "ProviderUnavailableError", True),
        (Failure(400, message="No such parameter"), "BadRequestError", False),
    ],
)
async def test_row_21_a_failure_says_what_where_and_whether_it_may_be_tried_again(
    fake: FakeOpenRouter, client: AsyncToolClient, failure: Failure, kind: str, *, retryable: bool
) -> None:
    when = Match(schema="TodoList")
    fake.script(Failure(failure.status, message=failure.message, when=when), Auto(times=None))
    agent = AsyncAgentClient(client)
    failed = await agent.agent("Summarise", Story, raise_on_failure=False)

    assert failed.final_response is None
    assert failed.error.type == kind
    assert failure.message in failed.error.message
    assert failed.error.step == "todo_generation"
    assert failed.error.retryable is retryable
    prompt = "" if retryable else "Summarise again"
    done = await agent.agent(prompt, Story, agent_id=failed.agent_id)
    assert done.is_complete()
    assert done.error is None
    assert schema_names(fake).count("RequirementAnalysis") == (1 if retryable else 2)


# --- row 22 ---------------------------------------------------------------------------------------


async def test_row_22_the_models_keys_become_the_order_and_results_go_where_they_are_needed(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("last", "first", "second"), task("second", "first"), task("first"), task("x")),
        says("first", "42 apples"),
        says("second", "7 pears"),
        says("x", "nothing"),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client).agent("Count the fruit", Story)
    last, second, first, other = response.todo_list.tasks

    assert last.dependencies == [first.id, second.id]
    assert second.dependencies == [first.id]
    asked = {
        key: said(b)
        for b in bodies(fake)
        for key in ("last", "second", "first", "x")
        if f"do-{key}." in said(b)
    }
    order = [
        key for b in bodies(fake) for key in ("last", "second", "first") if f"do-{key}." in said(b)
    ]
    assert order == ["first", "second", "last"]
    assert "42 apples" in asked["second"]
    assert "42 apples" in asked["last"]
    assert "7 pears" in asked["last"]
    assert "apples" not in asked["x"]
    assert other.status is TaskStatus.COMPLETED


@pytest.mark.parametrize(
    ("unfit", "problem"),
    [
        ([task("a", "b"), task("b", "a")], "circle"),
        ([task("a"), task("b", "Part a")], "'Part a'"),
        ([task("a", "a")], "circle"),
    ],
)
async def test_row_22_circles_and_unknown_keys_go_back_to_the_model_with_the_reason(
    fake: FakeOpenRouter, client: AsyncToolClient, unfit: list[Any], problem: str
) -> None:
    fake.script(plan(*unfit), plan(task("a"), task("b", "a")), Auto(times=None))
    response = await AsyncAgentClient(client).agent("Do it", Story)
    first, second = bodies(fake, "TodoList")

    assert problem not in said(first)
    assert problem in second["messages"][-1]["content"].rpartition("could not be used")[2]
    assert response.is_complete()
    assert [t.status for t in response.todo_list.tasks] == ["completed", "completed"]
    assert response.todo_list.tasks[1].dependencies == [response.todo_list.tasks[0].id]


async def test_row_22_a_model_that_insists_on_a_circle_has_its_tasks_done_all_the_same(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(*[plan(task("a", "b"), task("b", "a"))] * 3, Auto(times=None))
    response = await AsyncAgentClient(client).agent("Do it", Story)

    assert response.is_complete()
    assert len(bodies(fake)) == 2
    assert [t.status for t in response.todo_list.tasks] == ["completed", "completed"]


# --- row 23 ---------------------------------------------------------------------------------------


async def test_row_23_the_limit_of_tasks_holds_for_a_round_and_the_rest_comes_in_the_next(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(*(task(f"n{number}") for number in range(5))),
        evaluated(achieved=False, missing=["the rest"]),
        evaluated(achieved=False, missing=["the rest"]),
        evaluated(achieved=True),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client, max_task_iterations=2).agent("Do it", Story)

    assert response.is_complete()
    assert [t.status for t in response.todo_list.tasks] == ["completed"] * 5
    counts = [said(b).count("(completed)") for b in bodies(fake, "GoalEvaluation")]
    assert counts == [2, 4, 5]


async def test_row_23_a_run_that_ends_at_the_limit_says_so_and_a_new_turn_starts_afresh(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    tasks = [task(f"n{number}") for number in range(5)]
    fake.script(plan(*tasks), evaluated(achieved=False, missing=["the rest"]))
    agent = AsyncAgentClient(client, max_task_iterations=2, max_replans=0)
    fake.script(Auto(times=None))
    failed = await agent.agent("Do it", Story, raise_on_failure=False)
    fake.script(plan(task("x"), task("y")))
    done = await agent.agent("Do the rest", Story, agent_id=failed.agent_id)

    assert failed.state is AgentState.FAILED
    assert failed.error.type == "GoalNotReached"
    assert "the rest" in failed.error.message
    assert [t.status for t in failed.todo_list.tasks] == ["completed"] * 2 + ["pending"] * 3
    assert done.is_complete()
    assert [t.status for t in done.todo_list.tasks] == ["completed"] * 2


async def test_row_23_tasks_that_a_reached_goal_does_not_need_are_said_to_be_skipped(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(plan(task("a"), task("b")), evaluated(achieved=True), Auto(times=None))
    response = await AsyncAgentClient(client, max_task_iterations=1).agent("Do it", Story)

    assert response.is_complete()
    assert [t.status for t in response.todo_list.tasks] == ["completed", "skipped"]
    assert "goal was reached" in response.todo_list.tasks[1].error_message


# --- row 24 ---------------------------------------------------------------------------------------


def used(number: int) -> dict[str, Any]:
    """What an answer used: different for each of the first ones, so that sums tell them apart."""
    prompt, completion = 1000 * 2**number, 2**number
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cost": 2**number / 1024,
        "prompt_tokens_details": {"cached_tokens": 100 * 2**number},
        "completion_tokens_details": {"reasoning_tokens": number},
    }


async def test_row_24_every_call_is_in_the_summary_and_the_ledger_with_all_it_used(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    client.register_tool("look", "Look", lambda: "a door")
    one = plan(task("a", tools=["look"]))
    fake.script(
        Reply("no JSON", usage=used(0), when=Match(schema="TodoList")),
        Reply(json=one.json, usage=used(1), when=Match(schema="TodoList")),
        calls("a", "look", usage=used(2)),
        calls("a", "ask_question", prompt="Which door?", usage=used(3)),
        Reply("The blue one.", usage=used(4), when=Match(contains="do-a.")),
        Reply(
            json=evaluated(achieved=True).json, usage=used(5), when=Match(schema="GoalEvaluation")
        ),
        Reply(json=final("Story", title="T").json, usage=used(6), when=Match(schema="Story")),
        Reply(json={"title": "T", "status": "s"}, usage=used(7), when=Match(schema="Story")),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Look", Story)
    reply = answer(waiting.human_interaction_request, answer="The blue one.")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)
    summary, total = done.token_summary, done.token_summary.total()

    assert summary.todo_generation.prompt_tokens == 1000 + 2000
    assert [step.completion_tokens for step in summary.task_execution] == [4, 16]
    assert [step.completion_tokens for step in summary.dialog_interactions] == [8]
    assert summary.goal_evaluation.completion_tokens == 32
    assert summary.final_response.completion_tokens == 64 + 128
    assert len(done.ledger) == len([r for r in fake.requests() if is_chat(r)]) == 10
    for field in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert sum(getattr(call, field) for call in done.ledger) == getattr(total, field)
    assert sum(call.cost_usd for call in done.ledger) == pytest.approx(total.cost_usd)
    scripted = {c.completion_tokens: c for c in done.ledger if c.prompt_tokens >= 1000}
    assert sorted(scripted) == [2**number for number in range(8)]
    for number in range(8):
        call = scripted[2**number]
        assert call.cost_usd == 2**number / 1024
        assert call.cached_tokens == 100 * 2**number
        assert call.reasoning_tokens == number
        assert call.model
        assert call.generation_id
    assert [c.is_usable for c in done.ledger if c.step == "todo_generation"] == [False, True]
    assert {c.task_id for c in done.ledger if c.step == "task_execution"} == {
        done.todo_list.tasks[0].id
    }

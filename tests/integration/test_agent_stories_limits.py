"""Stories of limits: budgets that are reached in the middle of tasks, and raised."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_story_stage import House, Stage, calls, evaluated, final, plan, says, task

KEYS = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as opened:
        yield opened


def errands(stage: Stage, **usage: object) -> None:
    """Four tasks side by side with an errand each; every call of a tool costs so much."""
    stage.fake.script(plan(*(task(key, tools=["do_errand"]) for key in KEYS)))
    for key in KEYS:
        stage.fake.script(
            calls(key, "do_errand", name=key, usage=usage), says(key, f"outcome-of-{key}.")
        )
    stage.fake.script(evaluated(achieved=True), final("Report", title="Four", words=4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "small", "large", "kind"),
    [
        ("max_tool_calls", 2, 4, "async"),
        ("max_requests", 6, 40, "blocking"),
        ("max_cost_usd", 0.5, 5.0, "async"),
        ("max_tokens", 3000, 900_000, "blocking"),
    ],
)
def test_a_budget_reached_amid_tasks_rests_the_session_and_raised_it_repeats_nothing(
    house: House, tmp_path: Path, limit: str, small: Any, large: Any, kind: str
) -> None:
    stage = house.stage(
        tmp_path, "errands", final="Report", kind=kind, settings={"max_parallel_tasks": 2}
    )
    errands(stage, cost=0.3, total_tokens=2000)
    call = {"agent_id": "story"}
    stopped = stage.run(call={"prompt": "Run four", **call, "budget": {limit: small}})
    begun = stage.effects.lines()
    done = stage.run(call={**call, "budget": {limit: large}})

    stage.fake.verify()
    assert (stopped["raised"], stopped["limit"]) == ("BudgetExceededError", limit)
    assert stopped["state"] == "executing_tasks"
    assert stopped["token_summary"]["requirement_analysis"]["total_tokens"] > 0
    assert len(begun) < len(KEYS)
    assert done["final_response"] == {"title": "Four", "words": 4}
    assert Counter(stage.effects.lines()) == Counter(f"did {key}" for key in KEYS)
    assert {key: len(stage.task_requests(f"do-{key}.")) for key in KEYS} == dict.fromkeys(KEYS, 2)
    assert stage.steps().count("TodoList") == 1


@pytest.mark.slow
def test_a_reached_budget_stays_reached_in_another_process_and_nothing_is_sent_or_run(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", final="Report")
    errands(stage)
    budget = {"max_tool_calls": 2}
    call = {"prompt": "Run four", "agent_id": "story", "budget": budget}
    stopped = stage.run(call=call)
    count, begun = len(stage.fake.requests()), stage.effects.lines()
    again = stage.run(call={"agent_id": "story", "budget": budget}, kind="blocking")

    assert len(begun) == 2
    assert (len(stage.fake.requests()), stage.effects.lines()) == (count, begun)
    assert again["raised"] == stopped["raised"] == "BudgetExceededError"
    assert again["todo_list"] == stopped["todo_list"]


@pytest.mark.slow
def test_a_budget_for_each_run_carries_a_session_to_its_end_in_a_few_processes(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", final="Report")
    errands(stage)
    call = {"agent_id": "story", "run_budget": {"max_requests": 5}}
    outcomes = [stage.run(call={"prompt": "Run four", **call})]
    while outcomes[-1].get("raised") == "BudgetExceededError" and len(outcomes) < 6:
        outcomes.append(stage.run(call=call, kind="blocking"))

    stage.fake.verify()
    # 13 requests of the model, five in each run.
    assert [outcome["state"] for outcome in outcomes] == [
        "executing_tasks",
        "executing_tasks",
        "completed",
    ]
    assert Counter(stage.effects.lines()) == Counter(f"did {key}" for key in KEYS)

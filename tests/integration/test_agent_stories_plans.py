"""Stories of plans: thirty tasks with a diamond, and rounds that add, skip and repeat."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_story_gate import Gate
from support.agent_story_stage import House, calls, evaluated, final, plan, says, task

from mbxai.testing import Match, Reply

PARALLEL = 5

# A root, a diamond, a wide layer, a tail: 1 + 3 + 12 + 1 + 13 tasks.
EDGES: dict[str, tuple[str, ...]] = {
    "root": (),
    "left": ("root",),
    "right": ("root",),
    "tip": ("left", "right"),
    **{f"wide{n}": ("tip",) for n in range(12)},
    "gather": tuple(f"wide{n}" for n in range(12)),
    **{f"tail{n}": (f"tail{n - 1}" if n % 4 else "gather",) for n in range(13)},
}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as opened:
        yield opened


def outcome_of(key: str) -> str:
    return f"outcome-of-{key}."


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_thirty_tasks_keep_their_order_share_five_places_and_learn_what_they_depend_on(
    house: House, tmp_path: Path, kind: str
) -> None:
    assert len(EDGES) == 30
    stage = house.stage(tmp_path, "errands", kind=kind)
    stage.fake.script(
        plan(*(task(key, *after) for key, after in EDGES.items())),
        *(says(key, outcome_of(key)) for key in EDGES),
        evaluated(achieved=True),
        final("Report", title="Thirty", words=30),
    )
    gate = Gate(stage.fake.base_url, counted="do-", held="do-wide", together=PARALLEL)
    settings = {"max_parallel_tasks": PARALLEL, "max_task_iterations": len(EDGES)}
    with gate.open():
        call = {"prompt": "Do thirty things", "agent_id": "story"}
        done = stage.run(base_url=gate.base_url, settings=settings, call=call, final="Report")

    stage.fake.verify()
    assert done["final_response"] == {"title": "Thirty", "words": 30}
    assert [t["status"] for t in done["todo_list"]["tasks"]] == ["completed"] * 30
    assert [t["attempts"] for t in done["todo_list"]["tasks"]] == [1] * 30
    # Five of the twelve were at the server at once, which let none through before; and never more.
    assert gate.met
    assert gate.most == PARALLEL
    told = {key: str(stage.task_requests(f"do-{key}.")[0].body) for key in EDGES}
    given = {key: {other for other in EDGES if outcome_of(other) in told[key]} for key in EDGES}
    # What a task was told is exactly what it depends on, so that those had ended before it began.
    assert given == {key: set(after) for key, after in EDGES.items()}


@pytest.mark.slow
def test_a_goal_that_is_not_reached_gets_more_tasks_and_finished_work_is_kept(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands")
    stage.fake.script(
        plan(task("first", tools=["do_errand"])),
        calls("first", "do_errand", name="one"),
        says("first", outcome_of("first")),
        evaluated(achieved=False, missing=["the second errand"]),
        plan(task("second", "first", tools=["do_errand"])),
        calls("second", "do_errand", name="two"),
        says("second", outcome_of("second")),
        evaluated(achieved=True),
        final("Report", title="Both", words=2),
    )
    call = {"prompt": "Run two errands", "agent_id": "story"}
    done = stage.run(call=call, final="Report")

    stage.fake.verify()
    assert done["state"] == "completed"
    assert stage.effects.lines() == ["did one", "did two"]
    first, second = done["todo_list"]["tasks"]
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert second["dependencies"] == [first["id"]]
    assert outcome_of("first") in str(stage.task_requests("do-second.")[0].body)
    replanned = [r for r in stage.fake.requests() if r.schema_name == "TodoList"][1]
    assert "the second errand" in str(replanned.body)
    assert outcome_of("first") in str(replanned.body)


@pytest.mark.slow
def test_a_goal_that_is_never_reached_is_a_failure_that_says_what_is_missing(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands")
    stage.fake.script(
        plan(task("first", tools=["do_errand"])),
        calls("first", "do_errand", name="one"),
        says("first", "It is done."),
        evaluated(achieved=False, missing=["a miracle"]),
        plan(task("second")),
        says("second", "No miracle."),
        evaluated(achieved=False, missing=["a miracle"]),
    )
    call = {"prompt": "Work a miracle", "agent_id": "story"}
    failed = stage.run(call=call, final="Report", settings={"max_replans": 1})
    again = stage.run(call={"agent_id": "story"}, final="Report")

    stage.fake.verify()
    assert failed["raised"] == "AgentFailedError"
    assert failed["error"]["type"] == "GoalNotReached"
    assert "a miracle" in failed["error"]["message"]
    assert failed["final_response"] is None
    assert again["state"] == "failed"
    assert again["error"] == failed["error"]
    assert stage.effects.lines() == ["did one"]


@pytest.mark.slow
def test_a_new_round_tries_lost_tasks_again_leaves_one_out_and_repeats_no_effect(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands")
    stage.fake.script(
        plan(
            task("good", tools=["do_errand"]),
            task("flaky", tools=["do_errand"]),
            task("after", "flaky"),
            task("spare"),
        ),
        calls("good", "do_errand", name="good"),
        says("good", outcome_of("good")),
        calls("flaky", "do_errand", name="flaky"),
        *(says(key, "") for key in ("flaky", "spare") for _ in range(3)),
        evaluated(achieved=False, missing=["flaky"]),
        plan(task("new", "good"), retry=["flaky", "after"], skip=["spare"]),
        *(says(key, outcome_of(key)) for key in ("flaky", "after", "new")),
        evaluated(achieved=True),
        final("Report", title="Mended", words=4),
    )
    call = {"prompt": "Mend it", "agent_id": "story"}
    done = stage.run(call=call, final="Report")

    stage.fake.verify()
    tasks = {t["title"].removeprefix("Part "): t for t in done["todo_list"]["tasks"]}
    assert {key: t["status"] for key, t in tasks.items()} == {
        **dict.fromkeys(("good", "flaky", "after", "new"), "completed"),
        "spare": "skipped",
    }
    assert {key: t["attempts"] for key, t in tasks.items()} == {
        **dict.fromkeys(("good", "spare", "after", "new"), 1),
        "flaky": 2,
    }
    assert sorted(stage.effects.lines()) == ["did flaky", "did good"]
    second_attempt = str(stage.task_requests("do-flaky.")[-1].body)
    assert "errand flaky is done" in second_attempt
    assert outcome_of("flaky") in str(stage.task_requests("do-after.")[0].body)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_merged_plan_takes_four_calls_one_of_them_after_a_person_answered_elsewhere(
    house: House, tmp_path: Path, kind: str
) -> None:
    stage = house.stage(tmp_path, "errands", kind=kind, final="Report")
    ready = {**task("ready", tools=["do_errand"]), "tool_call": errand_call("ready")}
    asking = {**task("asking", "ready"), "tool_call": None}
    stage.fake.script(
        planned_at_once(ready, asking),
        calls("asking", "ask_question", prompt="Which colour?"),
        says("asking", "It is green."),
        concluded(final_response={"title": "Green", "words": 1}),
    )
    settings = {"planning": "merged", "human_in_loop": True}
    call = {"prompt": "Choose a colour", "agent_id": "story"}
    waiting = stage.run(call=call, settings=settings)
    assert waiting["questions"][0]["question"] == "Which colour?"
    assert stage.effects.lines() == ["did ready"]
    rules = [{"to": "Which colour", "answer": "Green"}]
    done = stage.run(call={"agent_id": "story"}, settings=settings, rules=rules)

    stage.fake.verify()
    assert stage.steps() == ["Planning", None, None, "Conclusion"]
    assert done["final_response"] == {"title": "Green", "words": 1}
    assert done["final_type"] == "Report"
    assert done["goal_evaluation"]["goal_achieved"]
    assert done["requirement_analysis"]["goal"] == "to be done"
    assert stage.effects.lines() == ["did ready"]
    assert "errand ready is done" in str(stage.task_requests("do-asking.")[0].body)


def errand_call(name: str) -> dict[str, str]:
    return {"name": "do_errand", "arguments": json.dumps({"name": name})}


def planned_at_once(*tasks: dict[str, Any]) -> Reply:
    value = {
        "requirement_analysis": {
            "goal": "to be done",
            "sub_goals": [],
            "success_criteria": ["it is done"],
            "constraints": [],
            "complexity_estimate": 2,
        },
        "tool_analysis": {"relevant_tools": [], "tool_mapping": [], "missing_capabilities": []},
        "todo_list": {"tasks": list(tasks), "estimated_total_time": "1 minute"},
    }
    return Reply(json=value, when=Match(schema="Planning"))


def concluded(**final_response: Any) -> Reply:
    evaluation = evaluated(achieved=True).json
    value = {"goal_evaluation": evaluation, **final_response}
    return Reply(json=value, when=Match(schema="Conclusion"))

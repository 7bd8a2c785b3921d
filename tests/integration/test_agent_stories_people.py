"""Stories of people: three requests answered in reverse, a batch in parts, an abort, a deadline."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_story_stage import House, calls, evaluated, final, plan, says, task

ASKING = {"human_in_loop": True, "max_parallel_tasks": 2}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as opened:
        yield opened


def errand(key: str) -> list[Any]:
    return [calls(key, "do_errand", name=key), says(key, f"outcome-of-{key}.")]


def statuses(outcome: Any) -> dict[str, str]:
    return {t["title"].removeprefix("Part "): t["status"] for t in outcome["todo_list"]["tasks"]}


def open_prompts(outcome: Any) -> list[str]:
    return [request["prompt"] for request in outcome["human_interaction_requests"]]


def answer_to(outcome: Any, prompt: str, **fields: str) -> dict[str, str]:
    (request,) = [r for r in outcome["human_interaction_requests"] if prompt in r["prompt"]]
    kind = request["interaction_type"]
    return {"interaction_id": request["id"], "response_type": kind, **fields}


@pytest.mark.slow
def test_three_requests_are_answered_in_reverse_by_three_processes_while_other_tasks_go_on(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", final="Report", settings=ASKING)
    stage.fake.script(
        plan(
            *(task(f"ask{n}") for n in (1, 2, 3)),
            task("aside", tools=["do_errand"]),
            *(task(f"then{n}", f"ask{n}", tools=["do_errand"]) for n in (1, 2, 3)),
            task("end", "then1", "then2", "then3"),
        ),
        *(calls(f"ask{n}", "ask_question", prompt=f"Question {n}?") for n in (1, 2, 3)),
        *(says(f"ask{n}", f"outcome-of-ask{n}.") for n in (1, 2, 3)),
        *(step for key in ("aside", "then1", "then2", "then3") for step in errand(key)),
        says("end", "All is answered."),
        evaluated(achieved=True),
        final("Report", title="Answers", words=3),
    )
    asked = stage.run(call={"prompt": "Ask three things", "agent_id": "story"})
    assert stage.effects.lines() == ["did aside"]
    assert open_prompts(asked) == ["Question 1?", "Question 2?", "Question 3?"]

    def answered(number: int, kind: str) -> Any:
        given = answer_to(asked, f"Question {number}?", answer=f"Answer {number}")
        return stage.run(call={"agent_id": "story"}, responses=[given], kind=kind)

    after_third = answered(3, "blocking")
    assert stage.effects.lines() == ["did aside", "did then3"]
    count = len(stage.fake.requests())
    assert answered(3, "async") == after_third
    assert len(stage.fake.requests()) == count
    after_second = answered(2, "async")
    done = answered(1, "blocking")

    stage.fake.verify()
    assert open_prompts(after_third) == ["Question 1?", "Question 2?"]
    assert open_prompts(after_second) == ["Question 1?"]
    assert after_second["state"] == "waiting_for_human"
    assert done["state"] == "completed"
    assert set(statuses(done).values()) == {"completed"}
    assert stage.effects.lines() == [f"did {key}" for key in ("aside", "then3", "then2", "then1")]
    for number in (1, 2, 3):
        (_, told) = stage.task_requests(f"do-ask{number}.")
        assert f"Answer {number}" in str(told.body)


@pytest.mark.slow
def test_a_batch_may_be_partial_and_a_wrong_one_changes_nothing(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", final="Report", settings=ASKING)
    stage.fake.script(
        plan(task("where"), task("which"), task("go", "where", "which", tools=["do_errand"])),
        calls("where", "ask_question", prompt="Where to?"),
        calls("which", "request_decision", prompt="Which way?", options=["by sea", "by land"]),
        says("where", "It goes to Rome."),
        says("which", "It goes by land."),
        *errand("go"),
        evaluated(achieved=True),
        final("Report", title="Rome", words=1),
    )
    call = {"agent_id": "story"}
    asked = stage.run(call={"prompt": "Travel", **call})
    where = answer_to(asked, "Where to?", answer="Rome")
    which = answer_to(asked, "Which way?", decision="by land")
    count = len(stage.fake.requests())
    by_air = {**which, "decision": "by air"}
    refused = stage.run(call=call, responses=[where, by_air], kind="blocking")
    assert len(stage.fake.requests()) == count
    partly = stage.run(call=call, responses=[which])
    done = stage.run(call=call, responses=[which, where], kind="blocking")

    stage.fake.verify()
    assert refused["raised"] == "InteractionMismatchError"
    assert "by sea, by land" in refused["message"]
    assert open_prompts(partly) == ["Where to?"]
    assert statuses(partly) == {"where": "in_progress", "which": "completed", "go": "pending"}
    assert done["final_response"] == {"title": "Rome", "words": 1}
    assert stage.effects.lines() == ["did go"]


@pytest.mark.slow
def test_an_abort_while_another_task_runs_starts_nothing_more_and_the_next_turn_remembers(
    house: House, tmp_path: Path
) -> None:
    settings = {**ASKING, "lease_seconds": 2.0}
    stage = house.stage(tmp_path, "errands", final="Report", settings=settings)
    stage.fake.script(
        plan(
            task("danger", tools=["do_errand"], complexity=5),
            task("slow", tools=["never_ends"]),
            task("after", "danger", tools=["do_errand"]),
        ),
        calls("slow", "never_ends", name="slow"),
    )
    worker = stage.begin(call={"prompt": "Blow up the bridge", "agent_id": "story"})
    wait_until(lambda: stage.effects.lines() == ["began slow"])
    worker.kill()
    count = len(stage.fake.requests())
    rules = [{"to": "is complex", "decision": "abort"}]
    aborted = stage.run(call={"agent_id": "story"}, rules=rules, patience=10.0)
    assert len(stage.fake.requests()) == count

    stage.fake.script(
        plan(task("calm", tools=["do_errand"])),
        *errand("calm"),
        evaluated(achieved=True),
        final("ShortReport", headline="Calm"),
    )
    call = {"prompt": "Paint the bridge", "agent_id": "story"}
    done = stage.run(call=call, final="ShortReport", kind="blocking")

    stage.fake.verify()
    assert aborted["raised"] == "AgentFailedError"
    assert aborted["error"]["type"] == "Aborted"
    assert statuses(aborted) == {"danger": "skipped", "slow": "skipped", "after": "skipped"}
    assert aborted["human_interaction_requests"] == []
    assert done["final_response"] == {"headline": "Calm"}
    assert statuses(done) == {"calm": "completed"}
    assert stage.effects.lines() == ["began slow", "did calm"]
    assert "Blow up the bridge" in str(stage.task_requests("do-calm.")[0].body)


@pytest.mark.slow
def test_an_abort_beside_another_answer_starts_nothing_of_either(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", final="Report", settings=ASKING)
    stage.fake.script(
        plan(task("danger", complexity=5), task("other"), task("after", "other")),
        calls("other", "ask_question", prompt="What else?"),
    )
    asked = stage.run(call={"prompt": "Be careful", "agent_id": "story"})
    count = len(stage.fake.requests())
    rules = [{"to": "What else", "answer": "More"}, {"to": "complex", "decision": "abort"}]
    aborted = stage.run(call={"agent_id": "story"}, rules=rules, kind="blocking")

    stage.fake.verify()
    assert len(open_prompts(asked)) == 2
    assert len(stage.fake.requests()) == count
    assert aborted["error"]["type"] == "Aborted"
    assert set(statuses(aborted).values()) == {"skipped"}


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 8.0
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)

"""Stories of what a run can be told besides: deadlines, judged responses, turns, long talk."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.agent_story_stage import House, calls, evaluated, final, plan, says, task

from mbxai.testing import Match, Reply


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as opened:
        yield opened


@pytest.mark.slow
def test_a_request_that_nobody_answers_in_time_gets_its_default_in_the_next_process(
    house: House, tmp_path: Path
) -> None:
    deadline = {"seconds": 1, "complexity": "skip", "approval": "decline", "ask": "tell"}
    settings = {"human_in_loop": True, "answer_deadline": deadline}
    stage = house.stage(tmp_path, "deployment", settings=settings, final="Report")
    stage.fake.script(
        plan(
            task("ask"),
            task("hard", complexity=5),
            task("release", tools=["deploy"]),
            task("end", "ask", "hard", "release"),
        ),
        calls("ask", "ask_question", prompt="Which colour?"),
        calls("release", "deploy", version="2", cloud="AWS"),
        says("ask", "Nobody said which colour."),
        says("release", "Nothing was released."),
        says("end", "All is over."),
        evaluated(achieved=True),
        final("Report", title="Late", words=0),
    )
    waiting = stage.run(call={"prompt": "Release it", "agent_id": "story"})
    assert len(waiting["human_interaction_requests"]) == 3
    ends = [r["expires_at"] for r in waiting["human_interaction_requests"]]
    last = max(datetime.fromisoformat(end) for end in ends)
    while datetime.now(UTC) <= last:
        time.sleep(0.05)
    request = next(r for r in waiting["human_interaction_requests"] if "colour" in r["prompt"])
    late = {"interaction_id": request["id"], "response_type": "question", "answer": "Green"}
    refused = stage.run(call={"agent_id": "story"}, responses=[late], kind="blocking")
    done = stage.run(call={"agent_id": "story"})

    stage.fake.verify()
    assert refused["raised"] == "InteractionExpiredError"
    assert done["state"] == "completed"
    statuses = {t["title"]: t["status"] for t in done["todo_list"]["tasks"]}
    assert statuses == {
        "Part ask": "completed",
        "Part hard": "skipped",
        "Part release": "completed",
        "Part end": "completed",
    }
    assert stage.effects.lines() == []
    assert "Green" not in str(stage.prompts())
    assert "nobody answered in time" in str(stage.task_requests("do-ask.")[-1].body)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_response_is_judged_improved_and_judged_again(
    house: House, tmp_path: Path, kind: str
) -> None:
    stage = house.stage(tmp_path, "errands", kind=kind, settings={"quality_iterations": 2})
    stage.fake.script(
        plan(task("write")),
        says("write", "It is written."),
        evaluated(achieved=True),
        final("Report", title="Draft", words=1),
        judged(is_good=False, feedback="the title says nothing"),
        final("Report", title="Lighthouses", words=2),
        judged(is_good=True),
    )
    done = stage.run(call={"prompt": "Write", "agent_id": "story"}, final="Report")

    stage.fake.verify()
    assert done["final_response"] == {"title": "Lighthouses", "words": 2}
    improved = [r for r in stage.fake.requests() if r.schema_name == "Report"][1]
    assert "the title says nothing" in str(improved.body)


@pytest.mark.slow
def test_the_structure_of_the_final_response_changes_between_turns_and_while_one_waits(
    house: House, tmp_path: Path
) -> None:
    stage = house.stage(tmp_path, "errands", settings={"human_in_loop": True})
    stage.fake.script(
        plan(task("first", tools=["do_errand"])),
        calls("first", "do_errand", name="first"),
        says("first", "The bridge is green now."),
        evaluated(achieved=True),
        final("Report", title="A green bridge", words=3),
        plan(task("second")),
        calls("second", "ask_question", prompt="How short?"),
        says("second", "Very short."),
        evaluated(achieved=True),
        final("ShortReport", headline="Green"),
    )
    first = stage.run(call={"prompt": "Paint the bridge", "agent_id": "story"}, final="Report")
    second = {"prompt": "Now shorter", "agent_id": "story"}
    waiting = stage.run(call=second, final="Report", kind="blocking")
    rules = [{"to": "How short", "answer": "very"}]
    done = stage.run(call={"agent_id": "story"}, final="ShortReport", rules=rules)

    stage.fake.verify()
    assert (first["final_type"], waiting["final_type"]) == ("Report", "NoneType")
    assert (done["final_type"], done["final_response"]) == ("ShortReport", {"headline": "Green"})
    assert stage.effects.lines() == ["did first"]
    told = str(stage.task_requests("do-second.")[0].body)
    assert "Paint the bridge" in told
    assert "A green bridge" in told


@pytest.mark.slow
def test_a_long_conversation_is_summed_up_and_nothing_is_done_twice(
    house: House, tmp_path: Path
) -> None:
    settings = {"max_context_tokens": 2500, "human_in_loop": True, "max_tool_rounds": 12}
    stage = house.stage(tmp_path, "errands", settings=settings, final="Report")
    topics = ("ants", "bees", "cats")
    stage.fake.script(
        # First, since the task's own words stand in what is to be summed up as well.
        *(summed_up("A pen was bought; some animals were read.") for _ in range(2)),
        plan(task("read", tools=["look_up", "do_errand"])),
        calls("read", "do_errand", name="buy a pen"),
        *(calls("read", "look_up", topic=topic) for topic in topics),
        calls("read", "ask_question", prompt="Which one next?"),
        says("read", "All was read, and the pen is there."),
        evaluated(achieved=True),
        final("Report", title="Animals", words=3),
    )
    waiting = stage.run(call={"prompt": "Read much", "agent_id": "story"})
    assert waiting["questions"][0]["question"] == "Which one next?"
    rules = [{"to": "Which one next", "answer": "none"}]
    done = stage.run(call={"agent_id": "story"}, rules=rules, kind="blocking")

    assert done["state"] == "completed"
    assert stage.effects.lines() == ["did buy a pen", *(f"looked up {topic}" for topic in topics)]
    assert "Summary" in stage.steps()
    last = str(stage.task_requests("do-read.")[-1].body)
    assert "A pen was bought" in last
    assert last.count("much is known of it") < 2 * 200
    assert "none" in last


def judged(*, is_good: bool, feedback: str = "") -> Reply:
    value = {"is_good": is_good, "feedback": feedback}
    return Reply(json=value, when=Match(schema="QualityCheck"))


def summed_up(summary: str) -> Reply:
    return Reply(json={"summary": summary}, when=Match(schema="Summary"))

"""Runs as chunks of the AI SDK's stream, without a socket: what each event is, and how each run ends."""

import json
from typing import Any

import pytest

from mbxai.agent.events import (
    AgentEvent,
    GoalEvaluated,
    PlanChanged,
    StateChanged,
    TaskChanged,
    UsageAdded,
)
from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    GoalEvaluation,
    Task,
    TaskStatus,
    TodoList,
    TokenUsage,
)
from mbxai.serving import AIUIRun, Problem, encode_ai_ui
from mbxai.wire import ToolCalled, ToolEnded

TASK = Task(id="a", title="Ship", description="Ship it")


def response(state: AgentState = AgentState.COMPLETED, **more: Any) -> AgentResponse[Any]:
    return AgentResponse[Any](agent_id="s", state=state, **more)


def begun() -> AIUIRun:
    run = AIUIRun("s")
    run.begin(response(AgentState.ANALYZING_REQUIREMENT), 0)
    return run


def kinds(chunks: list[dict[str, Any]]) -> list[str]:
    return [chunk["type"] for chunk in chunks]


def test_phases_are_steps_that_end_before_the_next_one_begins() -> None:
    run = begun()
    first = run.add(StateChanged(state=AgentState.EXECUTING_TASKS))
    second = run.add(StateChanged(state=AgentState.EVALUATING_GOAL))
    waits = run.add(StateChanged(state=AgentState.WAITING_FOR_HUMAN))
    assert kinds(first) == ["start-step", "data-phase"]
    assert kinds(second) == ["finish-step", "start-step", "data-phase"]
    assert kinds(waits) == ["finish-step", "data-phase"]


def test_the_plan_is_one_part_that_is_replaced_as_a_whole() -> None:
    run = begun()
    (plan,) = run.add(PlanChanged(todo_list=TodoList(tasks=[TASK])))
    done = TASK.model_copy(update={"status": TaskStatus.COMPLETED})
    (changed,) = run.add(TaskChanged(task=done))
    assert plan["id"] == changed["id"]
    assert plan["data"]["tasks"][0]["status"] == "pending"
    assert changed["data"]["tasks"][0]["status"] == "completed"


def test_a_call_that_is_made_again_is_another_one() -> None:
    run = begun()
    called = ToolCalled(call_id="c", name="ship", arguments='{"n": 1}')
    ended = ToolEnded(call_id="c", name="ship", is_error=True, content="no")
    (first,), (failed,) = run.add(called), run.add(ended)
    (second,), (returned,) = run.add(called), run.add(ended.model_copy(update={"is_error": False}))
    assert first["input"] == {"n": 1}
    assert first["toolCallId"] == failed["toolCallId"] != second["toolCallId"]
    assert failed["errorText"] == "no"
    assert returned["output"] == "no"
    assert run.add(ended) == []


def test_arguments_that_are_no_json_stay_text() -> None:
    (called,) = begun().add(ToolCalled(call_id="c", name="ship", arguments="{broken"))
    assert called["input"] == "{broken"


@pytest.mark.parametrize(
    "event",
    [UsageAdded(step="x", usage=TokenUsage()), TaskChanged(task=TASK)],
    ids=["usage", "task"],
)
def test_what_a_front_end_cannot_show_adds_no_part_of_its_own(event: AgentEvent) -> None:
    assert set(kinds(begun().add(event))) <= {"data-plan"}


def test_every_end_is_told_as_what_it_is() -> None:
    evaluation = GoalEvaluation(goal_achieved=True, completion_percentage=100)
    (told,) = begun().add(GoalEvaluated(evaluation=evaluation))
    assert told["data"]["completion_percentage"] == 100
    *_, finished = begun().end(response(final_response={"text": "done"}))
    assert finished["finishReason"] == "stop"
    broken = AgentFailure(type="X", message="It broke.", retryable=False)
    error, finished = begun().end(response(AgentState.FAILED, error=broken))
    assert (error["type"], error["errorText"]) == ("error", "It broke.")
    assert finished["finishReason"] == "error"
    cancelled = broken.model_copy(update={"type": "Cancelled"})
    (aborted,) = begun().end(response(AgentState.FAILED, error=cancelled))
    assert aborted["type"] == "abort"
    assert begun().fail(Problem(503, "x", "Away.")) == [{"type": "error", "errorText": "Away."}]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"summary": "Shipped"}, "Shipped"),
        ({"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        (None, "null"),
    ],
)
def test_the_words_of_an_answer(result: object, text: str) -> None:
    chunks = begun().end(response(final_response=result))
    (delta,) = [chunk for chunk in chunks if chunk["type"] == "text-delta"]
    assert delta["delta"] == text


def test_a_line_separator_and_half_a_pair_stay_one_event() -> None:
    sent = encode_ai_ui({"type": "text-delta", "delta": "a\u2028b\nc\ud800"})
    assert sent.count(b"\n") == 2
    assert json.loads(sent.removeprefix(b"data: "))["delta"].startswith("a\u2028b\nc")

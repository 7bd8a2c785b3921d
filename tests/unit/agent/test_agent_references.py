"""Arguments of planned calls that stand for results of other tasks."""

import json

import pytest
from support.agent_player import saying, task
from support.agent_task_player import TaskPlayer

from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._drafts import CallingTaskDraft
from mbxai.agent.machine._references import filled, keys_in, mentions

FLIGHTS = json.dumps({"flights": [{"id": "F1", "price": 450}], "note": "cheap"})
RESULTS = {"t1": FLIGHTS, "t2": "sent to ann", "t3": "7", "t-4": '"quoted"'}


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("{{t2}}", "sent to ann"),
        ("{{ t2 }}", "sent to ann"),
        ("{{t3}}", 7),
        ("{{t1}}", json.loads(FLIGHTS)),
        ("{{t1.note}}", "cheap"),
        ("{{t1.flights.0.id}}", "F1"),
        ("{{t-4}}", "quoted"),
        (["{{t3}}", {"deep": "{{t1.flights.0.price}}"}], [7, {"deep": 450}]),
        ("price: {{t3}}", "price: {{t3}}"),
        ("{t3}", "{t3}"),
    ],
)
def test_a_value_that_is_only_a_reference_becomes_the_result(value: object, given: object) -> None:
    text = filled(json.dumps({"value": value, "other": 1}), RESULTS)
    assert text is not None
    assert json.loads(text) == {"value": given, "other": 1}


@pytest.mark.parametrize(
    "value",
    ["{{t9}}", "{{t1.missing}}", "{{t1.flights.5}}", "{{t2.field}}", "{{t3.0}}", "{{t1.note.x}}"],
)
def test_what_is_not_there_fills_nothing_in(value: str) -> None:
    assert filled(json.dumps({"value": value}), RESULTS) is None


@pytest.mark.parametrize(
    ("value", "is_mentioned"),
    [
        ("price: {{t3}}", True),
        ("{{t1.note}} and {{t2}}", True),
        (["a", {"deep": "see {{ t2 }}."}], True),
        ("{{t1.flights | first}}", True),
        ("{{t1}}", False),
        ("{{t1.flights.0.id}}", False),
        ("Dear {{name}}", False),
        ("{{t11}} of {{t1-b}}", False),
        ("{t1} or {{", False),
        (7, False),
    ],
)
def test_a_reference_within_a_longer_text_is_noticed(value: object, is_mentioned: bool) -> None:
    assert mentions(json.dumps({"value": value}), RESULTS) is is_mentioned


@pytest.mark.parametrize("text", ["{{t1}}", "[" * 100_000 + "{{t1}}"])
def test_text_that_is_no_json_is_not_passed_on_with_its_braces(text: str) -> None:
    assert mentions(text, RESULTS)


def test_a_handle_in_a_result_is_not_passed_on_unseen() -> None:
    results = {"t1": json.dumps({"to": ["secret://login/token"]})}
    assert filled('{"token": "{{t1.to.0}}"}', results) is None
    assert filled('{"all": "{{t1}}"}', results) is None


def test_results_that_are_too_long_together_fill_nothing_in() -> None:
    results = {"t1": json.dumps(["x" * 1_000_000])}
    few = filled(json.dumps({"all": ["{{t1.0}}"] * 4}), results)
    many = filled(json.dumps({"all": ["{{t1.0}}"] * 10_000}), results)
    assert few is not None
    assert len(few) > 4_000_000
    assert many is None


def test_a_result_that_looks_like_a_reference_is_only_a_text() -> None:
    text = filled('{"value": "{{t1}}"}', {"t1": "{{t2}}", "t2": "secret"})
    assert text == '{"value": "{{t2}}"}'


@pytest.mark.parametrize("text", ["", "{{", "[" * 100_000 + "{{t1}}", '{"a": "{{}}"}', '"{{ }}"'])
def test_text_that_is_no_json_needs_nothing(text: str) -> None:
    assert keys_in(text) == []


def test_a_task_depends_on_what_its_call_refers_to() -> None:
    call = {"name": "send", "arguments": '{"to": "{{t1}}", "cc": ["{{t2.name}}", "{{t1}}"]}'}
    draft = CallingTaskDraft.model_validate(
        {**task("t3", "t2"), "tools_needed": [], "tool_call": call}
    )
    assert draft.depends_on == ["t2", "t1"]


def test_a_planned_call_gets_the_result_of_the_task_before_it() -> None:
    player = TaskPlayer([task("a"), task("b", "a")], messages={"a": [saying("ann")]})
    player.start().to_tasks().named("send")
    player.fill_in("b", "send", '{"to": "{{a}}"}').run()
    assert [call.arguments for call in player.ran] == ['{"to": "ann"}']
    assert player.model_calls_of("b") == 0
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_model_does_the_task_whose_call_cannot_be_filled_in() -> None:
    player = TaskPlayer([task("a"), task("b", "a")], messages={"a": [saying("ann")]})
    player.start().to_tasks().named("send")
    player.fill_in("b", "send", '{"to": "{{a.name}}"}').run()
    assert player.ran == []
    assert player.model_calls_of("b") == 1
    done = [each.status for each in player.snapshot.todo_list.tasks]
    assert done == [TaskStatus.COMPLETED, TaskStatus.COMPLETED]

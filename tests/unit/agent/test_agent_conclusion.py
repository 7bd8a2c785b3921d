"""The end of a turn in the machine: evaluation and response, together and apart; judged drafts."""

from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel
from support.agent_player import Player, task

from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._conclusion import MAX_DEPTH
from mbxai.agent.machine._drafts import (
    CallingReplanDraft,
    CallingTodoDraft,
    EvaluationDraft,
    PlanningDraft,
    QualityDraft,
    ReplanDraft,
    RequirementDraft,
    SummaryDraft,
    TodoDraft,
    ToolAnalysisDraft,
    final_of,
    wanted_type,
)
from mbxai.agent.machine._inputs import (
    Continued,
    FinalStructureChanged,
    ModelFailed,
    ModelRejected,
    ModelReturned,
)
from mbxai.agent.machine._snapshot import AgentSnapshot, FinalSchema, Limits, ModelCall, ModelStep
from mbxai.wire import response_format_of

MERGED = Limits(planning="merged")
REACHED = {
    "feedback": "checked",
    "completed_criteria": ["it is reached"],
    "remaining_criteria": [],
    "next_steps": [],
    "completion_percentage": 100,
    "goal_achieved": True,
}
MISSED = {
    **REACHED,
    "completed_criteria": [],
    "remaining_criteria": ["it is reached"],
    "goal_achieved": False,
    "completion_percentage": 40,
}
GOOD = {"is_good": True, "feedback": ""}
BAD = {"is_good": False, "feedback": "say more"}


def steps_of(player: Player) -> list[ModelStep]:
    return [call.step for call in player.prompted]


def up_to(player: Player, step: ModelStep) -> ModelCall:
    """Answer calls until the next one is this step's."""
    while player.snapshot.calls[0].step is not step:
        player.give(player.outcome(player.snapshot.calls[0]))
    return player.snapshot.calls[0]


# --- evaluation and final response in one call ----------------------------------------------------


def test_a_goal_that_is_reached_with_a_response_ends_the_turn_in_that_call() -> None:
    player = Player([task("a")], limits=MERGED).start().run()

    assert steps_of(player)[-1] is ModelStep.CONCLUSION
    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.final_response == {"text": "the answer"}
    assert player.snapshot.goal_evaluation.goal_achieved
    assert player.snapshot.conversation_history[-1]["content"] == '{"text": "the answer"}'


def test_a_goal_that_is_reached_without_a_response_asks_for_one() -> None:
    value = {"goal_evaluation": REACHED, "final_response": None}
    answers = {ModelStep.CONCLUSION: [value]}
    player = Player([task("a")], limits=MERGED, answers=answers).start().run()

    assert steps_of(player)[-2:] == [ModelStep.CONCLUSION, ModelStep.FINAL]
    assert player.snapshot.final_response == {"text": "the answer"}


def test_a_response_beside_a_goal_that_is_not_reached_is_no_final_response() -> None:
    value = {"goal_evaluation": MISSED, "final_response": {"text": "too early"}}
    player = Player(
        [task("a")], [task("b")], limits=MERGED, answers={ModelStep.CONCLUSION: [value]}
    )
    player.start().run()

    assert steps_of(player)[2:4] == [ModelStep.CONCLUSION, ModelStep.PLAN]
    assert player.snapshot.final_response == {"text": "the answer"}
    assert player.snapshot.replans == 1


def test_exhausted_rounds_of_merged_planning_fail_as_well() -> None:
    limits = Limits(planning="merged", max_replans=1)
    player = Player([task("a")], [task("b")], evaluations=[False] * 2, limits=limits)
    player.start().run()

    error = player.snapshot.error
    assert (error.type, error.step, error.retryable) == ("GoalNotReached", "conclusion", False)
    assert player.snapshot.goal_evaluation.completion_percentage == 40
    assert player.snapshot.final_response is None


def test_tasks_that_were_not_needed_are_skipped_when_the_goal_is_reached() -> None:
    limits = Limits(planning="merged", max_task_iterations=1)
    player = Player([task("a"), task("b")], limits=limits).start().run()

    assert player.statuses() == {"a": "completed", "b": "skipped"}


# --- drafts that are judged -----------------------------------------------------------------------


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
def test_a_draft_is_improved_until_it_is_good(planning: Any) -> None:
    limits = Limits(planning=planning, quality_iterations=3)
    answers = {
        ModelStep.QUALITY: [BAD, GOOD],
        ModelStep.FINAL: [{"text": "better"}]
        if planning == "merged"
        else [{"text": "first"}, {"text": "better"}],
    }
    player = Player([task("a")], limits=limits, answers=answers).start().run()

    assert steps_of(player)[-3:] == [ModelStep.QUALITY, ModelStep.FINAL, ModelStep.QUALITY]
    judged = [(e.is_good, e.feedback) for e in player.events if e.type == "response_judged"]
    assert judged == [(False, "say more"), (True, "")]
    assert player.snapshot.final_response == {"text": "better"}
    assert player.snapshot.draft_response is None


def test_a_draft_that_stays_bad_is_improved_as_often_as_allowed() -> None:
    answers = {
        ModelStep.QUALITY: [BAD, BAD, BAD],
        ModelStep.FINAL: [{"text": str(number)} for number in range(5)],
    }
    limits = Limits(quality_iterations=2)
    player = Player([task("a")], limits=limits, answers=answers).start().run()

    assert steps_of(player)[-5:] == [
        ModelStep.FINAL,
        ModelStep.QUALITY,
        ModelStep.FINAL,
        ModelStep.QUALITY,
        ModelStep.FINAL,
    ]
    assert player.snapshot.final_response == {"text": "2"}
    assert player.snapshot.quality_checks == 2
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_draft_is_no_final_response_before_it_was_judged() -> None:
    player = Player([task("a")], limits=Limits(quality_iterations=1)).start()
    up_to(player, ModelStep.QUALITY)

    assert player.snapshot.draft_response == {"text": "the answer"}
    assert player.snapshot.final_response is None
    assert player.snapshot.state is AgentState.EVALUATING_GOAL
    assert len(player.snapshot.conversation_history) == 1


@pytest.mark.parametrize("step", [ModelStep.QUALITY, ModelStep.FINAL])
def test_a_draft_that_fits_stands_if_no_verdict_or_better_one_comes(step: ModelStep) -> None:
    limits = Limits(quality_iterations=1, max_answer_attempts=2)
    player = Player([task("a")], limits=limits, answers={ModelStep.QUALITY: [BAD]}).start()
    up_to(player, ModelStep.QUALITY)
    up_to(player, step)
    for _attempt in range(2):
        call = player.snapshot.calls[0]
        player.give(ModelRejected(call_id=call.id, problems=("text: is missing",)))

    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.final_response == {"text": "the answer"}


def test_a_new_turn_begins_without_the_drafts_of_the_last_one() -> None:
    answers = {ModelStep.QUALITY: [BAD]}
    player = Player([task("a")], limits=Limits(quality_iterations=1), answers=answers)
    player.start().run().start("another")

    snapshot = player.snapshot
    assert (snapshot.draft_response, snapshot.draft_feedback, snapshot.quality_checks) == (
        None,
        "",
        0,
    )
    player.run()
    assert steps_of(player)[-1] is ModelStep.QUALITY


def test_a_draft_of_another_structure_is_not_judged_but_given_again() -> None:
    player = Player([task("a")], limits=Limits(quality_iterations=1)).start()
    call = up_to(player, ModelStep.QUALITY)
    player.give(ModelFailed(call_id=call.id, error_type="ConnectionError", message="gone"))
    schema = FinalSchema(name="Other", json_schema={})
    player.give(FinalStructureChanged(final_response_structure=schema), Continued())

    assert [each.step for each in player.snapshot.calls] == [ModelStep.FINAL]
    assert player.snapshot.draft_response is None
    assert player.snapshot.state is AgentState.EVALUATING_GOAL
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED


# --- responses that are nested without end --------------------------------------------------------


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"child": value}
    return value


@pytest.mark.parametrize("step", [ModelStep.FINAL, ModelStep.CONCLUSION])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 100_000])
def test_a_response_nested_too_deeply_is_asked_for_again(step: ModelStep, depth: int) -> None:
    limits = MERGED if step is ModelStep.CONCLUSION else Limits()
    player = Player([task("a")], limits=limits).start()
    call = up_to(player, step)
    value = nested(depth)
    if step is ModelStep.CONCLUSION:
        value = {"goal_evaluation": REACHED, "final_response": value}
    player.give(ModelReturned(call_id=call.id, value=value))

    assert player.snapshot.calls[0].attempt == 2
    assert player.snapshot.calls[0].feedback == ("the final response is nested too deeply",)
    assert player.run().snapshot.state is AgentState.COMPLETED


def test_a_response_nested_as_deeply_as_allowed_can_be_stored() -> None:
    player = Player([task("a")], answers={ModelStep.FINAL: [nested(MAX_DEPTH - 1)]})
    player.start().run()

    assert player.snapshot.state is AgentState.COMPLETED
    stored = AgentSnapshot.model_validate_json(player.snapshot.model_dump_json())
    assert stored == player.snapshot


# --- what a step's answer must be -----------------------------------------------------------------


class City(BaseModel):
    """A place with people."""

    name: str
    people: int


class Report(BaseModel):
    """What was found, city by city."""

    model_config = ConfigDict(title="City report")

    cities: list[City] = Field(alias="theCities", description="All that were found")
    note: str = Field(default="none", serialization_alias="theNote", validation_alias="theNote")


class GoalEvaluation(BaseModel):
    """The caller's own model of that name."""

    score: int


class NamedAsADraft(BaseModel):
    """Bears the name of the part beside it."""

    model_config = ConfigDict(title="Conclusion")

    goal_evaluation: str
    final_response: str


NamedAsADraft.__name__ = "EvaluationDraft"

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    items: list[Item]


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Names(RootModel[list[str]]):
    """Only a list."""


def snapshot_of(*, planning: Any = "stepwise", is_later: bool = False) -> AgentSnapshot:
    snapshot = AgentSnapshot(agent_id="agent-1", limits=Limits(planning=planning))
    return snapshot.model_copy(update={"goal_evaluation": MISSED}) if is_later else snapshot


def wanted(step: ModelStep, snapshot: AgentSnapshot, final: type[BaseModel] | None = City) -> Any:
    return wanted_type(snapshot, ModelCall(id="c", step=step), final)


@pytest.mark.parametrize(
    ("step", "options", "kind", "name"),
    [
        (ModelStep.REQUIREMENT, {}, RequirementDraft, "RequirementAnalysis"),
        (ModelStep.TOOLS, {}, ToolAnalysisDraft, "ToolAnalysis"),
        (ModelStep.PLAN, {}, TodoDraft, "TodoList"),
        (ModelStep.PLAN, {"is_later": True}, ReplanDraft, "TodoList"),
        (ModelStep.PLAN, {"planning": "merged"}, CallingTodoDraft, "TodoList"),
        (
            ModelStep.PLAN,
            {"planning": "merged", "is_later": True},
            CallingReplanDraft,
            "TodoList",
        ),
        (ModelStep.PLANNING, {"planning": "merged"}, PlanningDraft, "Planning"),
        (ModelStep.EVALUATION, {}, EvaluationDraft, "GoalEvaluation"),
        (ModelStep.FINAL, {}, City, "City"),
        (ModelStep.QUALITY, {}, QualityDraft, "QualityCheck"),
        (ModelStep.COMPACTION, {}, SummaryDraft, "Summary"),
    ],
)
def test_each_step_has_a_schema_of_its_public_name_that_can_be_strict(
    step: ModelStep, options: dict[str, Any], kind: type[BaseModel], name: str
) -> None:
    found = wanted(step, snapshot_of(**options))
    sent = response_format_of(found)["json_schema"]

    assert found is kind
    assert sent["name"] == name
    assert sent["strict"] is True
    if "tasks" in sent["schema"]["properties"] and "is_later" not in options:
        assert sent["schema"]["properties"]["tasks"]["minItems"] == 1


@pytest.mark.parametrize("step", [ModelStep.FINAL, ModelStep.CONCLUSION])
def test_without_the_callers_model_there_is_nothing_to_ask_for(step: ModelStep) -> None:
    assert wanted(step, snapshot_of(), None) is None


def test_the_model_of_a_conclusion_is_made_once_for_each_type() -> None:
    first = wanted(ModelStep.CONCLUSION, snapshot_of())

    assert wanted(ModelStep.CONCLUSION, snapshot_of(planning="merged")) is first
    assert wanted(ModelStep.CONCLUSION, snapshot_of(), Report) is not first
    assert response_format_of(first)["json_schema"]["name"] == "Conclusion"
    assert response_format_of(first)["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("final_type", "value"),
    [
        pytest.param(City, {"name": "Ulm", "people": 1}, id="plain"),
        pytest.param(
            Report,
            {"theCities": [{"name": "Ulm", "people": 1}], "theNote": "so"},
            id="aliases",
        ),
        pytest.param(GoalEvaluation, {"score": 3}, id="name-of-a-public-model"),
        pytest.param(
            NamedAsADraft, {"goal_evaluation": "a", "final_response": "b"}, id="name-of-a-draft"
        ),
        pytest.param(Page[City], {"items": [{"name": "Ulm", "people": 1}]}, id="generic"),
        pytest.param(
            Tree, {"name": "a", "children": [{"name": "b", "children": []}]}, id="recursive"
        ),
        pytest.param(Names, ["a", "b"], id="root"),
    ],
)
def test_a_response_inside_of_a_conclusion_is_the_same_as_on_its_own(
    final_type: type[BaseModel], value: Any
) -> None:
    kind = wanted(ModelStep.CONCLUSION, snapshot_of(), final_type)
    given = {"goal_evaluation": REACHED, "final_response": value}
    parsed = kind.model_validate(given)

    final = final_of(ModelStep.CONCLUSION, parsed)
    assert type(final) is final_type
    assert final == final_type.model_validate(value)
    assert parsed.model_dump(mode="json", by_alias=True)["final_response"] == value
    schema = response_format_of(kind)["json_schema"]["schema"]
    assert set(schema["required"]) == {"goal_evaluation", "final_response"}
    assert schema["properties"]["goal_evaluation"]["title"] == "GoalEvaluation"


def test_docstrings_descriptions_and_nested_models_reach_the_model() -> None:
    kind = wanted(ModelStep.CONCLUSION, snapshot_of(), Report)
    shown = response_format_of(kind)["json_schema"]["schema"]["properties"]["final_response"]

    inner = shown["anyOf"][0]
    assert inner["description"] == "What was found, city by city."
    assert inner["properties"]["theCities"]["description"] == "All that were found"
    assert inner["properties"]["theCities"]["items"]["description"] == "A place with people."
    assert shown["anyOf"][1] == {"type": "null"}


def test_a_conclusion_without_a_response_has_none() -> None:
    kind = wanted(ModelStep.CONCLUSION, snapshot_of())
    parsed = kind.model_validate({"goal_evaluation": MISSED})

    assert final_of(ModelStep.CONCLUSION, parsed) is None
    assert final_of(ModelStep.FINAL, City(name="Ulm", people=1)) == City(name="Ulm", people=1)
    assert final_of(ModelStep.QUALITY, QualityDraft(is_good=True, feedback="")) is None

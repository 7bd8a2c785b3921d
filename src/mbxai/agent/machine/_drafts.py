"""What the model fills in; checked and turned into the public models by `_plan`.

Drafts differ from the public models where a model should not decide: a plan's tasks bear short keys
instead of ids and have no status or result, and a mapping is a list of pairs, which strict schemas
can say. The schema's name (`title`) is the public model's name. `wanted_type` says which draft a
step's answer must be.
"""

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
    model_validator,
)

import mbxai.agent.machine._references as references
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ModelStep

Key = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A short name that tasks refer to."""

_MAX_CONCLUSIONS: Final = 64


def _all_required(schema: dict[str, Any]) -> None:  # Any: JSON Schema
    """Ask for every field, as strict schemas must; one that is missing nevertheless is default."""
    schema["required"] = list(schema["properties"])
    for property_ in schema["properties"].values():
        property_.pop("default", None)


def _titled(name: str) -> ConfigDict:
    return ConfigDict(title=name, json_schema_extra=_all_required)


class RequirementDraft(BaseModel):
    """What is asked for."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="RequirementAnalysis")

    goal: str = Field(description="What is to be achieved, in one sentence")
    sub_goals: list[str] = Field(description="Parts of the goal; may be empty")
    success_criteria: list[str] = Field(description="How to tell that the goal is reached")
    constraints: list[str] = Field(description="Limits to respect; may be empty")
    complexity_estimate: int = Field(ge=1, le=10, description="1 (trivial) to 10 (very hard)")


class ToolUse(BaseModel):
    """One pair of the tool mapping."""

    tool: str = Field(description="Name of an available tool")
    purpose: str = Field(description="What it is used for")


class ToolAnalysisDraft(BaseModel):
    """Which tools serve the goal."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="ToolAnalysis")

    relevant_tools: list[str] = Field(description="Names of the available tools that help")
    tool_mapping: list[ToolUse] = Field(description="What each of them is used for")
    missing_capabilities: list[str] = Field(
        description="What the goal needs and no available tool offers; may be empty"
    )


class TaskDraft(BaseModel):
    """One task of a plan."""

    key: Key = Field(description="Short unique key, for example t1")
    title: str = Field(description="What is done, in a few words")
    description: str = Field(description="What is done, precisely")
    depends_on: list[Key] = Field(description="Keys of tasks that must end first; may be empty")
    tools_needed: list[str] = Field(description="Names of tools that it uses; may be empty")
    estimated_complexity: int = Field(ge=1, le=5, description="1 (trivial) to 5 (very hard)")


class ToolCallDraft(BaseModel):
    """A call with which a task begins."""

    name: str = Field(description="Name of an available tool")
    arguments: str = Field(
        description="Its arguments, as the text of a JSON object; a value that is nothing but"
        " {{t1}} or {{t1.field}} stands for the result of task t1, or a field of it"
    )


class CallingTaskDraft(TaskDraft):
    """One task of a plan, with its tool call if that is known."""

    model_config: ClassVar[ConfigDict] = _titled("Task")

    tool_call: ToolCallDraft | None = Field(
        default=None,
        description="The one tool call that does the task, if its arguments are known now or are"
        " results of other tasks",
    )

    @model_validator(mode="after")
    def _depends_on_what_it_refers_to(self) -> Self:
        needed = references.keys_in(self.tool_call.arguments) if self.tool_call else []
        self.depends_on = list(dict.fromkeys((*self.depends_on, *needed)))
        return self


# The schema of a plan wants a task. One without any is no error here: the machine asks again, and
# knows what to do if there is still none.
class TodoDraft(BaseModel):
    """The plan."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="TodoList")

    tasks: list[TaskDraft] = Field(
        description="The tasks, in a sensible order", json_schema_extra={"minItems": 1}
    )
    estimated_total_time: str = Field(description="For example: 10 minutes")


class CallingTodoDraft(BaseModel):
    """The plan."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="TodoList")

    tasks: list[CallingTaskDraft] = Field(
        description="The tasks, in a sensible order", json_schema_extra={"minItems": 1}
    )
    estimated_total_time: str = Field(description="For example: 10 minutes")


class ReplanDraft(BaseModel):
    """What changes in the plan."""

    model_config: ClassVar[ConfigDict] = _titled("TodoList")

    tasks: list[TaskDraft] = Field(description="New tasks only; may be empty")
    retry: list[Key] = Field(
        default_factory=list[str], description="Keys of failed or skipped tasks to try again"
    )
    skip: list[Key] = Field(
        default_factory=list[str], description="Keys of tasks not to be done any more"
    )
    estimated_total_time: str = Field(description="For example: 10 minutes")


class CallingReplanDraft(ReplanDraft):
    """What changes in the plan."""

    # A list may be written to, so that of a narrower type is another one; a draft is only read.
    tasks: list[CallingTaskDraft] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        description="New tasks only; may be empty"
    )


PlanDraft = TodoDraft | CallingTodoDraft | ReplanDraft
"""A plan of any kind."""


class PlanningDraft(BaseModel):
    """The requirement, the tools and the plan."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="Planning")

    requirement_analysis: RequirementDraft
    tool_analysis: ToolAnalysisDraft
    todo_list: CallingTodoDraft


class EvaluationDraft(BaseModel):
    """How far the goal is reached."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="GoalEvaluation")

    feedback: str = Field(description="What was done well and what is missing")
    completed_criteria: list[str] = Field(description="Success criteria that are met")
    remaining_criteria: list[str] = Field(description="Success criteria that are not met")
    next_steps: list[str] = Field(description="What to do about the unmet ones; may be empty")
    completion_percentage: int = Field(ge=0, le=100, description="0 to 100")
    goal_achieved: bool = Field(description="Whether the goal is reached")


class SummaryDraft(BaseModel):
    """A summary."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="Summary")

    summary: str = Field(description="What was found, decided and done, and what is still open")


class QualityDraft(BaseModel):
    """A verdict on a response."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="QualityCheck")

    feedback: str = Field(description="What is wrong or missing in the response; empty if nothing")
    is_good: bool = Field(description="Whether the response is good as it is")


class ConclusionDraft(BaseModel):
    """Whether the goal is reached; the final response, of the caller's type, comes beside it."""

    model_config: ClassVar[ConfigDict] = _titled("Conclusion")

    goal_evaluation: EvaluationDraft


_TYPES: Final[dict[ModelStep, type[BaseModel]]] = {
    ModelStep.REQUIREMENT: RequirementDraft,
    ModelStep.TOOLS: ToolAnalysisDraft,
    ModelStep.PLANNING: PlanningDraft,
    ModelStep.EVALUATION: EvaluationDraft,
    ModelStep.QUALITY: QualityDraft,
    ModelStep.COMPACTION: SummaryDraft,
}


def wanted_type(
    snapshot: AgentSnapshot, call: ModelCall, final_type: type[BaseModel] | None
) -> type[BaseModel] | None:
    """Return what the answer to a structured step must be an instance of.

    Args:
        snapshot: The state.
        call: The open call; not that of a task.
        final_type: The model of the final response, if the caller gave one.

    Returns:
        The model; None if the step needs `final_type` and there is none.
    """
    if call.step is ModelStep.FINAL:
        return final_type
    if call.step is ModelStep.CONCLUSION:
        return None if final_type is None else _conclusion_of(final_type)
    return plan_type(snapshot) if call.step is ModelStep.PLAN else _TYPES[call.step]


def planned_calls(answer: BaseModel | None) -> list[ToolCallDraft]:
    """Return the tool calls that a plan has filled in.

    Args:
        answer: The answer to a step; one that is no plan has none.
    """
    plan = answer.todo_list if isinstance(answer, PlanningDraft) else answer
    if not isinstance(plan, (CallingTodoDraft, CallingReplanDraft)):
        return []
    return [task.tool_call for task in plan.tasks if task.tool_call is not None]


def plan_type(snapshot: AgentSnapshot) -> type[PlanDraft]:
    """Return the draft of a plan: of the first one of a turn, or of one that changes it."""
    is_merged = snapshot.limits.planning == "merged"
    if snapshot.goal_evaluation is not None:
        return CallingReplanDraft if is_merged else ReplanDraft
    return CallingTodoDraft if is_merged else TodoDraft


def final_of(step: ModelStep, parsed: BaseModel) -> BaseModel | None:
    """Return the final response inside of an answer.

    Args:
        step: What the answer is to.
        parsed: The answer, an instance of what `wanted_type` gave.

    Returns:
        An instance of the caller's model; None where the answer holds none.
    """
    if step is ModelStep.FINAL:
        return parsed
    return getattr(parsed, "final_response", None) if step is ModelStep.CONCLUSION else None


@lru_cache(maxsize=_MAX_CONCLUSIONS)
def _conclusion_of(final_type: type[BaseModel]) -> type[BaseModel]:
    """Make the model of an evaluation together with the final response."""
    final_response: Any = (  # Any: a type that is only known now
        final_type | None,
        Field(default=None, description="The final response; null if the goal is not reached"),
    )
    return create_model(
        "Conclusion",
        __base__=ConclusionDraft,
        __doc__="Whether the goal is reached, and the final response if it is.",
        final_response=final_response,
    )

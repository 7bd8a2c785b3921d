"""What an observer of a run sees, in order. Nothing in an event is secret."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from mbxai.agent._human_models import HumanInLoopRequest
from mbxai.agent._plan_models import GoalEvaluation, Task, TodoList
from mbxai.agent._result_models import AgentFailure, AgentState, TokenUsage
from mbxai.wire import ToolCalled, ToolEnded


class _Event(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class StateChanged(_Event):
    """The run entered another state."""

    type: Literal["state_changed"] = "state_changed"
    state: AgentState


class PlanChanged(_Event):
    """The plan was made or changed.

    Attributes:
        repairs: What had to be mended in the model's plan, one line a repair.
    """

    type: Literal["plan_changed"] = "plan_changed"
    todo_list: TodoList
    repairs: tuple[str, ...] = ()


class TaskChanged(_Event):
    """A task has a new status."""

    type: Literal["task_changed"] = "task_changed"
    task: Task


class HumanRequested(_Event):
    """A person is asked."""

    type: Literal["human_requested"] = "human_requested"
    request: HumanInLoopRequest


class HumanResolved(_Event):
    """A request was answered."""

    type: Literal["human_resolved"] = "human_resolved"
    interaction_id: str


class AnswerRejected(_Event):
    """An answer of the model did not fit and is asked for again."""

    type: Literal["answer_rejected"] = "answer_rejected"
    step: str
    problems: tuple[str, ...]


class UsageAdded(_Event):
    """A model call was counted."""

    type: Literal["usage_added"] = "usage_added"
    step: str
    usage: TokenUsage


class GoalEvaluated(_Event):
    """The goal was evaluated."""

    type: Literal["goal_evaluated"] = "goal_evaluated"
    evaluation: GoalEvaluation


class RunFailed(_Event):
    """The run rests in FAILED."""

    type: Literal["run_failed"] = "run_failed"
    error: AgentFailure


AgentEvent = (
    StateChanged
    | PlanChanged
    | TaskChanged
    | ToolCalled
    | ToolEnded
    | HumanRequested
    | HumanResolved
    | AnswerRejected
    | UsageAdded
    | GoalEvaluated
    | RunFailed
)
"""Everything that `agent.stream(...)` yields."""

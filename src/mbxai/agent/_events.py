"""What an observer of a run sees, in order. Nothing in an event is secret."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from mbxai.agent._human_models import HumanInLoopRequest
from mbxai.agent._plan_models import GoalEvaluation, Task, TodoList
from mbxai.agent._result_models import AgentFailure, AgentState, TokenUsage
from mbxai.wire import ToolCalled, ToolEnded, ToolProgressed


class _Event(BaseModel):
    """Base of the events.

    Attributes:
        seq: Number of the event within its session, from 1 and without gaps. One that is not
            counted, as a piece of text, has the number of the event before it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    seq: int = 0


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


class HumanExpired(_Event):
    """Nobody answered a request in time.

    Attributes:
        action: What was done instead: "proceed", "skip", "approve", "decline", "abort", "tell"
            (the model was told), "cancel" (the tool was), "accept" or "fail" (a goal that is not
            reached).
    """

    type: Literal["human_expired"] = "human_expired"
    interaction_id: str
    action: str


class CredentialConcealed(_Event):
    """An answer in words held what looks like a credential; it is kept apart.

    Attributes:
        handles: What stands in the answer instead.
    """

    type: Literal["credential_concealed"] = "credential_concealed"
    interaction_id: str
    handles: tuple[str, ...]


class QuestionRefused(_Event):
    """A tool's question was answered "decline" without asking a person.

    Attributes:
        source: Name of the MCP server that asked; empty for a tool of one's own.
        name: Name of the tool.
        reason: Why nobody may be asked this.
    """

    type: Literal["question_refused"] = "question_refused"
    source: str
    name: str
    reason: str


class ToolUnplanned(_Event):
    """A call has an effect that the plan did not name, and text of others has been read since.

    Attributes:
        asked: Whether a person is asked; if not, the call was refused.
    """

    type: Literal["tool_unplanned"] = "tool_unplanned"
    task_id: str
    call_id: str
    name: str
    asked: bool


class ToolsChanged(_Event):
    """A turn goes on with other tools than before; names of those.

    What a person had agreed to is asked anew where its tool has changed.
    """

    type: Literal["tools_changed"] = "tools_changed"
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class ContextCompacted(_Event):
    """A conversation that had grown too long was made shorter.

    Attributes:
        task_id: The task's conversation; None for that of earlier turns.
        before_tokens: How long it was, estimated.
    """

    type: Literal["context_compacted"] = "context_compacted"
    task_id: str | None
    before_tokens: int


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


class ResponseJudged(_Event):
    """The model judged a final response before it was given.

    Attributes:
        feedback: What is to be improved; empty if nothing.
    """

    type: Literal["response_judged"] = "response_judged"
    is_good: bool
    feedback: str = ""


class ResponseDelta(_Event):
    """A piece of the final response as the model writes it.

    The pieces of one model call, joined, are the JSON text of the final response; it is checked
    when it is whole, and what did not fit is written anew after an `AnswerRejected`. Pieces are
    not stored, and their `seq` is that of the event before them.
    """

    type: Literal["response_delta"] = "response_delta"
    text: str


class BudgetReached(_Event):
    """A bound is reached; the session rests until it is continued with a larger one.

    Attributes:
        limit: The bound's name, such as "max_cost_usd".
    """

    type: Literal["budget_reached"] = "budget_reached"
    limit: str
    message: str


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
    | ToolProgressed
    | HumanRequested
    | HumanResolved
    | HumanExpired
    | CredentialConcealed
    | QuestionRefused
    | ToolUnplanned
    | ToolsChanged
    | ContextCompacted
    | AnswerRejected
    | UsageAdded
    | GoalEvaluated
    | ResponseJudged
    | ResponseDelta
    | BudgetReached
    | RunFailed
)
"""Everything that `agent.stream(...)` yields."""

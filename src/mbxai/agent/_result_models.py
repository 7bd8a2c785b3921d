"""Models of the outcome: state, tokens, cost, error, response."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, cast
from uuid import uuid4

from pydantic import BaseModel, Field
from typing_extensions import TypeVar

from mbxai.agent._human_models import HumanInLoopRequest, Question
from mbxai.agent._plan_models import (
    GoalEvaluation,
    RequirementAnalysis,
    Task,
    TodoList,
    ToolAnalysis,
)

FinalT = TypeVar("FinalT", default=Any)  # Any: the model that a caller chose


class AgentState(StrEnum):
    """Where a run stands."""

    ANALYZING_REQUIREMENT = "analyzing_requirement"
    ANALYZING_TOOLS = "analyzing_tools"
    GENERATING_TODO = "generating_todo"
    EXECUTING_TASKS = "executing_tasks"
    WAITING_FOR_HUMAN = "waiting_for_human"
    EVALUATING_GOAL = "evaluating_goal"
    COMPLETED = "completed"
    FAILED = "failed"


class TokenUsage(BaseModel):
    """Tokens and cost of one or more model calls.

    Attributes:
        cost_usd: USD that OpenRouter charged; 0.0 where the server does not say.
        cached_tokens: Those of `prompt_tokens` that a provider's cache had.
        reasoning_tokens: Those of `completion_tokens` that were thought and not said.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Sum two usages."""
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class ModelCallUsage(TokenUsage):
    """What one model call used; an entry of the ledger.

    Attributes:
        step: What the call was for, such as "todo_generation" or "task_execution".
        task_id: The task it belonged to; None outside of tasks.
        turn: Which prompt of the session it belonged to, from 1.
        attempt: 1 for the first try of a step, counted up with each answer that did not fit.
        model: The model that answered; empty where it is not known.
        generation_id: OpenRouter's id of the answer; empty where there is none.
        is_usable: Whether the answer fitted.
    """

    step: str
    task_id: str | None = None
    turn: int = 1
    attempt: int = 1
    model: str = ""
    generation_id: str = ""
    is_usable: bool = True


class TokenSummary(BaseModel):
    """Tokens and cost by step, over all turns of a session.

    Attributes:
        task_execution: One entry a model call of a task, tool rounds included.
        dialog_interactions: One entry a model call that asked a person.
    """

    requirement_analysis: TokenUsage = TokenUsage()
    tool_analysis: TokenUsage = TokenUsage()
    todo_generation: TokenUsage = TokenUsage()
    task_execution: list[TokenUsage] = Field(default_factory=list[TokenUsage])
    dialog_interactions: list[TokenUsage] = Field(default_factory=list[TokenUsage])
    goal_evaluation: TokenUsage = TokenUsage()
    final_response: TokenUsage = TokenUsage()

    def total(self) -> TokenUsage:
        """Return the sum over all steps."""
        return sum(
            [*self.task_execution, *self.dialog_interactions],
            start=self.requirement_analysis
            + self.tool_analysis
            + self.todo_generation
            + self.goal_evaluation
            + self.final_response,
        )

    @property
    def total_tokens(self) -> int:
        """Tokens of all steps."""
        return self.total().total_tokens

    @property
    def total_prompt_tokens(self) -> int:
        """Prompt tokens of all steps."""
        return self.total().prompt_tokens

    @property
    def total_completion_tokens(self) -> int:
        """Completion tokens of all steps."""
        return self.total().completion_tokens

    @property
    def total_cost_usd(self) -> float:
        """USD of all steps."""
        return self.total().cost_usd

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Show what it is and what it took, not what it says."""
        from mbxai._notebook import summary_facts  # noqa: PLC0415  # only where it is looked at

        return summary_facts(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import summary_html  # noqa: PLC0415  # only where it is looked at

        return summary_html(self)


class AgentFailure(BaseModel):
    """Why a run rests in FAILED.

    Attributes:
        type: Class name of the error, or `GoalNotReached`, `Aborted`, `Cancelled`,
            `PlanError`.
        message: What happened.
        step: The step that failed.
        retryable: Whether calling again with the same agent id tries the failed step again; if
            not, a new prompt starts a new turn.
    """

    type: str
    message: str
    step: str = ""
    retryable: bool = False


class Result(BaseModel):
    """A plain answer in words."""

    result: str


class QualityCheck(BaseModel):
    """A verdict on a draft."""

    is_good: bool
    feedback: str = ""


class AgentResponse(BaseModel, Generic[FinalT]):
    """Everything known of a run.

    `AgentResponse[Order]` tells type checkers, and a web framework's schema, what the final
    response is; `AgentResponse` alone stands for any.

    Attributes:
        questions: Open QUESTION requests in their short form.
        human_interaction_request: The first open request; None if there is none.
        human_interaction_requests: All open requests, oldest first.
        final_response: An instance of the caller's model; its JSON value where no model was given.
            None until the run is complete, though its type does not say so.
        ledger: What each model call used, oldest first, over all turns of the session.
        error: Why the run failed; None otherwise.
    """

    agent_id: str = Field(default_factory=lambda: str(uuid4()))
    state: AgentState
    questions: list[Question] = Field(default_factory=list[Question])
    requirement_analysis: RequirementAnalysis | None = None
    tool_analysis: ToolAnalysis | None = None
    todo_list: TodoList | None = None
    current_task: Task | None = None
    human_interaction_request: HumanInLoopRequest | None = None
    human_interaction_requests: list[HumanInLoopRequest] = Field(
        default_factory=list[HumanInLoopRequest]
    )
    goal_evaluation: GoalEvaluation | None = None
    if TYPE_CHECKING:
        # Who asks `is_complete()` first need not ask again; code written for 2.3 stays as it is.
        final_response: FinalT = cast("FinalT", None)
    else:
        final_response: FinalT | None = None
    token_summary: TokenSummary = Field(default_factory=TokenSummary)
    ledger: list[ModelCallUsage] = Field(default_factory=list[ModelCallUsage])
    error: AgentFailure | None = None

    def has_questions(self) -> bool:
        """Tell whether open questions wait for an answer."""
        return bool(self.questions)

    def needs_human_interaction(self) -> bool:
        """Tell whether a person must answer before the run can go on."""
        return self.human_interaction_request is not None

    def is_complete(self) -> bool:
        """Tell whether the final response is there."""
        return self.state is AgentState.COMPLETED and self.final_response is not None

    def is_waiting_for_human(self) -> bool:
        """Tell whether the run rests until a person answers."""
        return self.state is AgentState.WAITING_FOR_HUMAN

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Show what it is and what it took, not what it says."""
        from mbxai._notebook import response_facts  # noqa: PLC0415  # only where it is looked at

        return response_facts(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import response_html  # noqa: PLC0415  # only where it is looked at

        return response_html(self)

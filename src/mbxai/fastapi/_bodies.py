"""What clients of the service send and get."""

from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mbxai.agent.models import (
    AgentFailure,
    AgentState,
    GoalEvaluation,
    HumanInLoopRequest,
    TodoList,
    TokenSummary,
)

M = TypeVar("M")


class ContinueRequest(BaseModel):
    """A further prompt of a session.

    Attributes:
        prompt: What is to be achieved.
        response_schema: Name of the final response's schema; None where the service has only one.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1)
    response_schema: str | None = None


class StartRequest(ContinueRequest):
    """The first prompt of a session."""


class SessionStarted(BaseModel):
    """A session, or a turn of it, was begun.

    Attributes:
        agent_id: The session's id.
    """

    agent_id: str


class SessionState(BaseModel, Generic[M]):
    """How a session stands.

    Attributes:
        agent_id: The session's id.
        prompt: What its last turn is to achieve.
        state: The step that it is in.
        is_running: Whether it goes on without anybody's doing.
        version: Grows with every change.
        todo_list: The plan and how its tasks stand.
        interactions: What people are asked now.
        goal_evaluation: What came of it, once that is known.
        final_response: The final response, once there is one.
        token_summary: Tokens and cost in USD by step.
        error: Why it rests in "failed".
    """

    agent_id: str
    prompt: str
    state: AgentState
    is_running: bool
    version: int
    todo_list: TodoList | None = None
    interactions: list[HumanInLoopRequest] = Field(default_factory=list[HumanInLoopRequest])
    goal_evaluation: GoalEvaluation | None = None
    final_response: M | None = None
    token_summary: TokenSummary = Field(default_factory=TokenSummary)
    error: AgentFailure | None = None


class SessionItem(BaseModel):
    """What a list tells of a session.

    Attributes:
        agent_id: The session's id.
        state: The step that it was in when it was saved last.
        version: How often it was saved.
        created_at: In seconds since 1970.
        updated_at: In seconds since 1970.
    """

    agent_id: str
    state: str
    version: int
    created_at: float
    updated_at: float


class SessionList(BaseModel):
    """A part of the list of sessions.

    Attributes:
        sessions: Newest first.
        next_cursor: What to ask for the next part with; None after the last one.
    """

    sessions: list[SessionItem]
    next_cursor: str | None = None


class AnswerForm(BaseModel):
    """A request to a person, and what an answer looks like.

    Attributes:
        interaction: The request.
        answer_schema: JSON Schema of the answer; secret fields are `writeOnly`.
    """

    interaction: HumanInLoopRequest
    answer_schema: dict[str, Any]  # Any: JSON Schema

"""The agent: six steps from a prompt to a typed final response, with people in the loop."""

from mbxai.agent._client import AsyncAgentClient
from mbxai.agent._sessions import AsyncAgentSessions
from mbxai.agent._sessions_sync import AgentSessions
from mbxai.agent._stream import AsyncAgentStream
from mbxai.agent._stream_sync import AgentStream
from mbxai.agent._sync import AgentClient
from mbxai.agent._turns import AgentOptions, SubmitOptions
from mbxai.agent._worker import AsyncAgentWorker
from mbxai.agent._worker_sync import AgentWorker
from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    Answer,
    AnswerDeadline,
    AnswerList,
    DialogOption,
    GoalEvaluation,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
    HumanInteractionType,
    InMemorySessionHandler,
    ModelCallUsage,
    QualityCheck,
    Question,
    QuestionList,
    RequirementAnalysis,
    Result,
    SessionHandler,
    Task,
    TaskStatus,
    TodoList,
    TokenSummary,
    TokenUsage,
    ToolAnalysis,
)
from mbxai.wire import Budget

__all__ = [
    "AgentClient",
    "AgentFailure",
    "AgentOptions",
    "AgentResponse",
    "AgentSessions",
    "AgentState",
    "AgentStream",
    "AgentWorker",
    "Answer",
    "AnswerDeadline",
    "AnswerList",
    "AsyncAgentClient",
    "AsyncAgentSessions",
    "AsyncAgentStream",
    "AsyncAgentWorker",
    "Budget",
    "DialogOption",
    "GoalEvaluation",
    "HumanInLoopRequest",
    "HumanInLoopResponse",
    "HumanInLoopResponseBatch",
    "HumanInteractionType",
    "InMemorySessionHandler",
    "ModelCallUsage",
    "QualityCheck",
    "Question",
    "QuestionList",
    "RequirementAnalysis",
    "Result",
    "SessionHandler",
    "SubmitOptions",
    "Task",
    "TaskStatus",
    "TodoList",
    "TokenSummary",
    "TokenUsage",
    "ToolAnalysis",
]

"""The agent's public models; this module only re-exports."""

from mbxai.agent._human_models import (
    Answer,
    AnswerDeadline,
    AnswerList,
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
    HumanInteractionType,
    Question,
    QuestionList,
)
from mbxai.agent._plan_models import (
    GoalEvaluation,
    RequirementAnalysis,
    Task,
    TaskStatus,
    TodoList,
    ToolAnalysis,
)
from mbxai.agent._result_models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    ModelCallUsage,
    QualityCheck,
    Result,
    TokenSummary,
    TokenUsage,
)
from mbxai.sessions import InMemorySessionHandler, SessionHandler

__all__ = [
    "AgentFailure",
    "AgentResponse",
    "AgentState",
    "Answer",
    "AnswerDeadline",
    "AnswerList",
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
    "Task",
    "TaskStatus",
    "TodoList",
    "TokenSummary",
    "TokenUsage",
    "ToolAnalysis",
]

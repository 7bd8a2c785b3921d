"""The events of a run; this module only re-exports."""

from mbxai.agent._events import (
    AgentEvent,
    AnswerRejected,
    GoalEvaluated,
    HumanRequested,
    HumanResolved,
    PlanChanged,
    RunFailed,
    StateChanged,
    TaskChanged,
    UsageAdded,
)
from mbxai.wire import ToolCalled, ToolEnded

__all__ = [
    "AgentEvent",
    "AnswerRejected",
    "GoalEvaluated",
    "HumanRequested",
    "HumanResolved",
    "PlanChanged",
    "RunFailed",
    "StateChanged",
    "TaskChanged",
    "ToolCalled",
    "ToolEnded",
    "UsageAdded",
]

"""What the protocols of front ends have in common. Pure."""

import json
from typing import Any, Final, cast

from mbxai.agent.models import AgentState

CANCELLED: Final = "Cancelled"
"""The type of the error of a run that was cancelled."""

PHASES: Final = frozenset(
    {
        AgentState.ANALYZING_REQUIREMENT,
        AgentState.ANALYZING_TOOLS,
        AgentState.GENERATING_TODO,
        AgentState.EXECUTING_TASKS,
        AgentState.EVALUATING_GOAL,
    }
)
"""States that are shown as steps of a run."""


def json_of(value: Any) -> Any:  # Any: a model, JSON, or None
    """Return a final response as JSON.

    Args:
        value: The response.
    """
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def text_of(result: Any) -> str:  # Any: JSON
    """Return the words of a final response: its only text, else all of it as JSON.

    Args:
        result: The response as JSON.
    """
    fields = cast("dict[str, Any]", result) if isinstance(result, dict) else {"": result}
    values = list(fields.values())
    if len(values) == 1 and isinstance(values[0], str) and values[0]:
        return values[0]
    return json.dumps(result, ensure_ascii=False)

"""The one tool of all plans, and what it was called with."""

from typing import Any

from plans.graphs import value_of

CALLS: list[tuple[str, str]] = []
"""Case and key of each call, in the order of the calls."""

LOOK_UP: dict[str, Any] = {  # Any: JSON Schema
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a value up.",
        "parameters": {
            "type": "object",
            "properties": {
                "case": {"type": "string", "description": "Name of the case."},
                "key": {"type": "string", "description": "Which value."},
                "inputs": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Values that it needs, in order.",
                },
            },
            "required": ["case", "key", "inputs"],
            "additionalProperties": False,
        },
    },
}
"""The tool as models see it, for agents that are written by hand."""


async def look_up(case: str, key: str, inputs: list[str]) -> str:
    """Look a value up.

    Args:
        case: Name of the case.
        key: Which value.
        inputs: Values that it needs, in order; also as they were returned, `t1=1f3a90bc`.
    """
    inputs = [given.rpartition("=")[2] for given in inputs]
    CALLS.append((case, key))
    return f"{key}={value_of(case, key, inputs)}"

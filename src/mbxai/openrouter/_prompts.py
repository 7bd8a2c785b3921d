"""Every text that the client adds to a conversation to get typed output."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json

ANSWER_TOOL_DESCRIPTION: Final = "Give the final answer. Call this once, with the whole answer."


def schema_instructions(schema: dict[str, Any]) -> str:  # Any: JSON Schema
    """Return what tells a model to answer in JSON of a schema."""
    return (
        "Answer with one JSON value that is valid under the JSON Schema below, and with nothing "
        "else: no words before or after it, no code fence, no comments.\n"
        f"JSON Schema:\n{to_json(schema).decode()}"
    )


def correction(problems: Sequence[str]) -> str:
    """Return what tells a model why its answer was not taken.

    Args:
        problems: One line a problem, `path: reason`.
    """
    listed = "\n".join(f"- {problem}" for problem in problems)
    return (
        f"The answer does not fit the schema:\n{listed}\n"
        "Answer again, with the whole answer and every problem mended."
    )

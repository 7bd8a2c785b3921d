"""What callers send as messages and tool definitions."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

MessageParam: TypeAlias = Mapping[str, Any]  # Any: content parts are open JSON of the wire
"""One message: `role` and `content`, as chat completions take them; unknown keys are sent too."""

Messages: TypeAlias = Sequence[MessageParam]
"""A conversation, oldest message first."""


class FunctionDefinition(TypedDict, total=False):
    """A function as it is offered to a model."""

    name: str
    description: str
    parameters: dict[str, Any]  # Any: JSON Schema
    strict: bool


class ToolDefinition(TypedDict):
    """A tool as it is offered to a model (`tools` of a request)."""

    type: str
    function: FunctionDefinition

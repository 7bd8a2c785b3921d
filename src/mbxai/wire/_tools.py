"""What a tool run tells the model and the application; plain data shared by tools and agents."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Effect: TypeAlias = Literal["read", "idempotent", "once"]
"""What a repeated run of a tool does: nothing, the same again, or the effect a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """What a planner must know of a tool before it is called.

    Attributes:
        name: The name that the model uses.
        description: What the tool does.
        parameters: JSON Schema of its arguments.
        effect: What a repeated run does.
        requires_approval: Whether a person must agree before each run.
        source: "local", or the name of the MCP server that has it.
    """

    name: str
    description: str
    parameters: dict[str, object]
    effect: Effect = "once"
    requires_approval: bool = False
    source: str = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The outcome of one tool call.

    Attributes:
        call_id: Id of the call as the model gave it.
        name: Name of the tool.
        content: Text for the model: the result, or what went wrong.
        is_error: Whether `content` tells of a failure.
        value: What the function returned, for the application; None on failure.
    """

    call_id: str
    name: str
    content: str
    is_error: bool = False
    value: object = field(default=None, repr=False)

    def to_message(self) -> dict[str, str]:
        """Return the `tool` message that answers the call."""
        return {"role": "tool", "tool_call_id": self.call_id, "content": self.content}

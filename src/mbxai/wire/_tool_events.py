"""What an observer sees of tool calls; the same in a tool client and in an agent.

Nothing in an event is secret: texts have been scrubbed of the credentials that are known.
"""

from typing import ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict


class ToolEventBase(BaseModel):
    """What all events of a tool call say.

    Attributes:
        call_id: Id of the call as the model gave it.
        name: Name of the tool.
        task_id: The agent's task that the call belongs to; empty outside of an agent.
        seq: Number of the event within an agent's session; 0 outside of an agent.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    call_id: str
    name: str
    task_id: str = ""
    seq: int = 0


class ToolCalled(ToolEventBase):
    """A tool is called; `arguments` hold handles, never credentials.

    Attributes:
        arguments: JSON text of the arguments, as they are given to the tool.
    """

    type: Literal["tool_called"] = "tool_called"
    arguments: str


class ToolProgressed(ToolEventBase):
    """A tool that runs says how far it is.

    Attributes:
        message: What it is doing.
        fraction: How much is done, 0 to 1; None where it cannot say.
    """

    type: Literal["tool_progressed"] = "tool_progressed"
    message: str = ""
    fraction: float | None = None


class ToolEnded(ToolEventBase):
    """A tool call ended.

    Attributes:
        is_error: Whether it failed.
        content: What the model is told; of a long text an agent's event has the first 4,000
            characters, since all of it is in the conversation.
        seconds: How long it ran.
    """

    type: Literal["tool_ended"] = "tool_ended"
    is_error: bool
    content: str = ""
    seconds: float = 0.0


class ToolPending(ToolEventBase):
    """A call waits for the application: for its approval, or to be run by it.

    Attributes:
        arguments: JSON text of the arguments.
        reason: What it waits for.
    """

    type: Literal["tool_pending"] = "tool_pending"
    arguments: str
    reason: Literal["approval", "external"]


ToolEvent: TypeAlias = ToolCalled | ToolProgressed | ToolEnded | ToolPending
"""Anything that happens to a tool call."""

"""What goes wrong with a tool, and with a conversation that uses some."""

from typing import TYPE_CHECKING

from mbxai.errors._base import MBXAIError

if TYPE_CHECKING:  # pydantic models, which `import mbxai` must not load
    from mbxai.tools.loop._run import ToolRun


class ToolError(MBXAIError):
    """Something went wrong with a tool."""


class ToolDefinitionError(ToolError, TypeError):
    """A function cannot become a tool: its name, a parameter or an annotation does not allow it."""


class ToolArgumentError(ToolError):
    """The arguments do not fit the tool's schema."""


class ToolRetry(ToolError):  # noqa: N818  # a request to the model, raised as one
    """Raised by a tool to send advice back to the model, which may call it again."""


class ToolLoopError(ToolError):
    """A conversation with tools ended before its answer.

    Attributes:
        run: What was said and done until then; its `messages` can be given to the next call, which
            goes on from there. None where nothing had happened.
    """

    def __init__(self, message: str, *, hint: str = "", run: "ToolRun | None" = None) -> None:
        """Keep what has happened."""
        super().__init__(message, hint=hint)
        self.run = run


class ToolExecutionError(ToolLoopError):
    """A tool with `on_error="raise"` failed; the cause is what its function raised."""


class ToolRoundsExceededError(ToolLoopError):
    """The model was still calling tools when the round limit was reached."""


class ToolRepeatError(ToolLoopError):
    """The model goes on repeating calls that always give the same result."""


class ToolCallsPendingError(ToolLoopError):
    """A typed answer needs calls that the caller must run or approve first: `run.pending`."""

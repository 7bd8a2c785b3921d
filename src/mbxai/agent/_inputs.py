"""What can happen to a session: the inputs of the machine."""

from collections.abc import Mapping
from typing import Any

from mbxai.agent._human_models import DialogOption
from mbxai.agent._result_models import TokenUsage
from mbxai.agent._snapshot import AnswerRecord, FinalSchema, Frozen, Limits
from mbxai.wire import Effect


class TurnStarted(Frozen):
    """A caller gave a new prompt.

    Attributes:
        nonce: Random text; the session's first one makes its ids its own.
    """

    prompt: str
    nonce: str = ""
    final_response_structure: FinalSchema
    human_in_loop: bool
    dialog_options: tuple[DialogOption, ...] = ()
    tools: tuple[str, ...] | None = None
    limits: Limits = Limits()


class Continued(Frozen):
    """A caller wants a failed step tried again, or found calls that a stopped worker left open."""


class FinalStructureChanged(Frozen):
    """A caller that lets a turn go on wants another final response."""

    final_response_structure: FinalSchema


class ToolPolicy(Frozen):
    """What the machine must know of a tool before it runs."""

    effect: Effect = "once"
    requires_approval: bool = False


class ModelReturned(Frozen):
    """A model call came back with an answer that fits its schema.

    Attributes:
        value: The structured value as JSON; the assistant message as it goes back, for a task.
        finish_reason: Why the model stopped.
        policies: Policies of the tools that may be used, by name.
    """

    call_id: str
    value: Mapping[str, Any]  # Any: JSON of the wire
    usage: TokenUsage = TokenUsage()
    finish_reason: str | None = None
    policies: Mapping[str, ToolPolicy] = {}


class ModelRejected(Frozen):
    """A model call came back with an answer that does not fit.

    Attributes:
        problems: What is wrong with it, one line a problem, for the model to read.
    """

    call_id: str
    problems: tuple[str, ...]
    usage: TokenUsage = TokenUsage()
    error_type: str = "OutputValidationError"


class ModelFailed(Frozen):
    """A model call did not come back: the key, the network, the service.

    Attributes:
        retryable: Whether the same call may succeed later.
    """

    call_id: str
    error_type: str
    message: str
    retryable: bool = True


class ToolStarted(Frozen):
    """A worker is about to run these tool calls; saved before it does."""

    call_ids: tuple[str, ...]


class ToolReturned(Frozen):
    """A tool call ended.

    Attributes:
        content: The result in words, or what went wrong; without secrets.
    """

    call_id: str
    content: str
    is_error: bool = False


class HumanAnswered(Frozen):
    """A person answered a request."""

    interaction_id: str
    answer: AnswerRecord


Input = (
    TurnStarted
    | Continued
    | FinalStructureChanged
    | ModelReturned
    | ModelRejected
    | ModelFailed
    | ToolStarted
    | ToolReturned
    | HumanAnswered
)
"""Everything that `advance` understands."""

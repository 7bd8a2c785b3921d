"""What can happen to a session: the inputs of the machine."""

from collections.abc import Mapping
from typing import Any, Literal

from mbxai.agent._human_models import DialogOption
from mbxai.agent._result_models import TokenUsage
from mbxai.agent.machine._snapshot import AnswerRecord, FinalSchema, Frozen, Limits, StoredQuestion
from mbxai.wire import Effect


class _Input(Frozen):
    """What happened, and when.

    Attributes:
        now: Seconds since 1970; 0.0 where no clock was read.
    """

    now: float = 0.0


class Ticked(_Input):
    """Time has passed; what should have been answered by now was not."""


class TurnStarted(_Input):
    """A caller gave a new prompt.

    Attributes:
        nonce: Random text; the session's first one makes its ids its own.
        request: Digest of the request that began the turn; empty where it had no name.
        definitions: Fingerprints of the tools that may be used, by name; None: not known.
        traceparent: The span in which it was given, as the W3C has it; empty where nobody traces.
    """

    prompt: str
    nonce: str = ""
    request: str = ""
    final_response_structure: FinalSchema
    human_in_loop: bool
    dialog_options: tuple[DialogOption, ...] = ()
    tools: tuple[str, ...] | None = None
    definitions: dict[str, str] | None = None
    limits: Limits = Limits()
    traceparent: str = ""


class Continued(_Input):
    """A caller wants a failed step tried again, or found calls that a stopped worker left open.

    Attributes:
        reconcilable: Names of the tools that can say what a run did that was cut off.
    """

    reconcilable: tuple[str, ...] = ()


class DefinitionSeen(_Input):
    """A worker that lets a turn go on has other tools than the one before.

    Attributes:
        tools: Fingerprints of those that may be used, by name.
    """

    tools: dict[str, str]


class FinalStructureChanged(_Input):
    """A caller that lets a turn go on wants another final response."""

    final_response_structure: FinalSchema


class ToolPolicy(Frozen):
    """What the machine must know of a tool before it runs.

    Attributes:
        requires_approval: Whether a person must agree; where that depends on the arguments, True.
        source: "local", or the name of the MCP server that has it.
        is_trusted: Whether what it returns is as good as what the caller says.
        may_repeat: Whether the same call may be repeated though it always gives the same result.
    """

    effect: Effect = "once"
    requires_approval: bool = False
    source: str = "local"
    is_trusted: bool = False
    may_repeat: bool = False


class ModelReturned(_Input):
    """A model call came back with an answer that fits its schema.

    Attributes:
        value: The structured value as JSON; the assistant message as it goes back, for a task.
        finish_reason: Why the model stopped.
        policies: Policies of the tools that may be used, by name.
        needs_approval: Ids of the calls in the message that a person must agree to, by the rules
            of their tools; digests of the calls, for a plan. None: as `policies` say.
        model: The model that answered.
        generation_id: OpenRouter's id of the answer.
        context_window: Most tokens of the model's conversation; None where it is not known.
    """

    call_id: str
    value: Mapping[str, Any]  # Any: JSON of the wire
    usage: TokenUsage = TokenUsage()
    finish_reason: str | None = None
    policies: Mapping[str, ToolPolicy] = {}
    needs_approval: tuple[str, ...] | None = None
    model: str = ""
    generation_id: str = ""
    context_window: int | None = None


class ModelRejected(_Input):
    """A model call came back with an answer that does not fit.

    Attributes:
        problems: What is wrong with it, one line a problem, for the model to read.
    """

    call_id: str
    problems: tuple[str, ...]
    usage: TokenUsage = TokenUsage()
    error_type: str = "OutputValidationError"
    model: str = ""
    generation_id: str = ""


class ModelFailed(_Input):
    """A model call did not come back: the key, the network, the service.

    Attributes:
        retryable: Whether the same call may succeed later.
        usage: What is known to have been paid for an answer that came in part.
    """

    call_id: str
    error_type: str
    message: str
    retryable: bool = True
    usage: TokenUsage = TokenUsage()
    model: str = ""
    generation_id: str = ""


class ToolStarted(_Input):
    """A worker is about to run these tool calls; saved before it does."""

    call_ids: tuple[str, ...]


class ToolReturned(_Input):
    """A tool call ended.

    Attributes:
        content: The result in words, or what went wrong; without secrets.
        has_run: Whether the content comes from the tool; False where it says why nothing was run.
        seconds: How long the tool ran.
    """

    call_id: str
    content: str
    is_error: bool = False
    has_run: bool = True
    seconds: float = 0.0


class ToolReconciled(_Input):
    """A tool said what its last run did, or could not say.

    Attributes:
        outcome: Whether it had its effect.
        content: The result of the run in words, where it had; without secrets.
    """

    call_id: str
    outcome: Literal["done", "not_done", "unknown"]
    content: str = ""


class ApprovalVoided(_Input):
    """A call was not run, because a person agreed to another one: its tool has changed since.

    Attributes:
        tools: Fingerprints of the tools that may be used, by name.
    """

    call_id: str
    tools: dict[str, str]


class ToolAsked(_Input):
    """A tool call stopped at a question; it goes on with the answer."""

    call_id: str
    question: StoredQuestion


class TurnCancelled(_Input):
    """The turn is not wanted any more; none of its calls is under way."""


class HumanAnswered(_Input):
    """A person answered a request."""

    interaction_id: str
    answer: AnswerRecord


Input = (
    TurnStarted
    | Ticked
    | Continued
    | DefinitionSeen
    | FinalStructureChanged
    | ModelReturned
    | ModelRejected
    | ModelFailed
    | ToolStarted
    | ToolReturned
    | ToolReconciled
    | ApprovalVoided
    | ToolAsked
    | HumanAnswered
    | TurnCancelled
)
"""Everything that `advance` understands."""

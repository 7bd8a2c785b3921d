"""What a conversation with tools may be told, besides what a request may say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict

from mbxai.tools._call import ToolApproval
from mbxai.tools._context import SecretSource, ToolContext
from mbxai.tools.runner._progress import ToolListener
from mbxai.tools.runner._runner import AfterCall, Approver, BeforeCall
from mbxai.wire import Budget, CompletionParams, ParseParams, ToolInfo

ToolFilter: TypeAlias = Sequence[str] | Callable[[ToolInfo], bool]
"""Which tools are offered: those named, or those for which a function answers True."""

MAX_ROUNDS: Final = 10
"""How many rounds of tool calls a conversation may have, unless the caller says otherwise."""

MAX_REPEATS: Final = 3
"""How often a call may give the same result, unless the caller says otherwise."""


class ToolClientOptions(TypedDict, total=False):
    """How a client runs the calls of its tools.

    Attributes:
        approve: Asked before `chat` or `parse` runs a call that needs approval; gets the `ToolCall`
            and, if it takes two arguments, the `ToolContext`; answers True, False, or None for not
            yet. Without it, and after None, the call is
            returned as pending.
        before_call: Called before each call with the `ToolCall` and the `ToolContext`; returns the
            call with other arguments, a `ToolResult` to be used instead of a run, or None. If it
            fails, the call is not run.
        after_call: Called after each call with the `ToolCall`, the `ToolResult` and the
            `ToolContext`; returns another result, or None. If it fails, the result is withheld.
        max_parallel_calls: How many calls of one round run at the same time; 8 by default.
        tool_timeout: Seconds for a run of a tool that names no `timeout`; 600 by default, None
            waits for ever.
    """

    approve: Approver | None
    before_call: BeforeCall | None
    after_call: AfterCall | None
    max_parallel_calls: int
    tool_timeout: float | None


class ToolLoopOptions(TypedDict, total=False):
    """How a conversation with tools goes on.

    Attributes:
        max_rounds: How many rounds of tool calls there may be, at least 1; 10 by default.
        max_repeats: How often the same call may give the same result before it is no longer run and
            the model is told so; 3 by default, None sets no limit. A tool says `may_repeat=True`
            where repeating is its use.
        budget: Bounds of cost, tokens, model calls, tool calls and seconds.
        tool_filter: Which of the registered tools are offered: their names, or a function of a
            `ToolInfo`, asked before each round.
        tool_results: Results of calls that waited for the application, by call id: a `ToolResult`,
            or whatever a tool may return.
        approvals: Words of people on calls that waited for one; `PendingCall` makes them.
        on_event: Called with each `ToolEvent`, on the event loop; it must not block.
        deps: The application's own object, given to tools as `context.deps`.
        secrets: Where `Secret` parameters get their values: a mapping, or a function of the name.
        context: Everything that surrounds the tool calls; `deps` and `secrets` win over its own.
    """

    max_rounds: int
    max_repeats: int | None
    budget: Budget | None
    tool_filter: ToolFilter | None
    tool_results: Mapping[str, object] | None
    approvals: Sequence[ToolApproval]
    on_event: ToolListener | None
    deps: Any  # the application's own
    secrets: SecretSource | None
    context: ToolContext[Any] | None  # Any: the application's own dependencies


class ToolChatParams(CompletionParams, ToolLoopOptions, total=False):
    """What `chat` takes: see `CompletionParams` and `ToolLoopOptions`."""


class ToolParseParams(ParseParams, ToolLoopOptions, total=False):
    """What `parse` takes: see `ParseParams` and `ToolLoopOptions`."""

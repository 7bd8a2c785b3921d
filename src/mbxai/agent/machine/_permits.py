"""Whether a call of a tool may run, must be agreed to by a person, or is refused. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._prompts as prompts
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent.machine._inputs import ToolPolicy
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    Interaction,
    PendingCall,
    TaskRun,
    ToolCall,
)
from mbxai.wire import call_digest

APPROVAL_OPTIONS: Final = ("approve", "decline")

_GRANT_CHARS: Final = 32
_MAX_NAMES: Final = 50
_MAX_NAME_CHARS: Final = 64
_MAX_LINE_CHARS: Final = 300
_CHANGED: Final = " It has changed since this was asked before."
_UNPLANNED: Final = (
    " The plan did not name this tool, and text that tools brought in has been read since; it may "
    "have asked for this call."
)


class Permit(NamedTuple):
    """What becomes of a call.

    Attributes:
        refusal: Why it is refused, for the model.
        is_unplanned: Whether text of others may have asked for it.
    """

    word: Literal["run", "ask", "refuse"]
    refusal: str = ""
    is_unplanned: bool = False


def permit(
    snapshot: AgentSnapshot,
    run: TaskRun,
    call: PendingCall,
    policy: ToolPolicy | None,
    *,
    needs_approval: bool,
) -> Permit:
    """Say what becomes of a call.

    Args:
        snapshot: The state.
        run: How the call's task is being executed.
        call: The call.
        policy: What is known of its tool; None: there is no such tool, so nothing will be run.
        needs_approval: Whether the tool wants the approval of a person for it.

    Returns:
        The verdict; a person is asked only where people are in the loop.
    """
    may_repeat = policy is not None and policy.may_repeat
    if not may_repeat and is_stuck(run, call, snapshot.limits.max_repeats):
        return Permit("refuse", prompts.REPEATED)
    is_unplanned = policy is not None and defence.is_unplanned(snapshot, call)
    if not (is_unplanned or needs_approval):
        return Permit("run")
    if snapshot.human_in_loop:
        return Permit("ask", is_unplanned=is_unplanned)
    if is_unplanned:
        return Permit("refuse", prompts.UNPLANNED, is_unplanned=True)
    return Permit(
        "refuse", f"{call.name} needs the approval of a person, and no person can be asked"
    )


def approval(
    call: PendingCall,
    *,
    interaction_id: str,
    task_id: str,
    is_unplanned: bool,
    grant: str = "",
    has_changed: bool = False,
) -> Interaction:
    """Return the request for a person's approval of a call.

    Args:
        call: The call.
        interaction_id: Id for the request.
        task_id: The task that waits.
        is_unplanned: Whether text of others may have asked for the call.
        grant: What exactly is agreed to, see `grant_of`.
        has_changed: Whether the tool is another one than when a person was asked before.

    Returns:
        The request, with the arguments whole and every hidden character in them written out.
    """
    hints = f"{_CHANGED if has_changed else ''}{_UNPLANNED if is_unplanned else ''}"
    return Interaction(
        id=interaction_id,
        purpose="approval",
        interaction_type=HumanInteractionType.DECISION,
        prompt=f"May the tool {described(call)} run?{hints}",
        options=APPROVAL_OPTIONS,
        context=f"Arguments: {defence.visible(call.arguments)}",
        task_id=task_id,
        call_id=call.call_id,
        grant=grant,
        is_unplanned=is_unplanned,
    )


def described(call: PendingCall) -> str:
    """Return the name of a call's tool, with the server that has it, for a person."""
    return f"{call.name!r}" + (f" of the server {call.source!r}" if call.source != "local" else "")


def grant_of(call: PendingCall | ToolCall, definitions: Mapping[str, str] | None) -> str:
    """Return what exactly a person agrees to with a call: its tool as it is, and its arguments.

    Args:
        call: The call.
        definitions: Fingerprints of the tools that there are, by name; None: not known.

    Returns:
        A digest; empty if nothing is known of the tool.
    """
    definition = (definitions or {}).get(call.name, "")
    if not definition:
        return ""
    meant = f"{call_digest(call.name, call.arguments)} {definition}"
    return hashlib.sha256(meant.encode()).hexdigest()[:_GRANT_CHARS]


def is_void(grant: str, call: PendingCall | ToolCall, definitions: Mapping[str, str]) -> bool:
    """Tell whether a person agreed to something else than what would be run.

    Args:
        grant: What was agreed to; empty: not known, and never void.
        call: The call.
        definitions: Fingerprints of the tools that there are; without the tool nothing is run.
    """
    now = grant_of(call, definitions)
    return bool(grant and now) and grant != now


def unknown_tool(name: str, policies: Mapping[str, ToolPolicy]) -> str:
    """Say that there is no such tool; empty if there is, or if nothing is known of any."""
    if not policies or name in policies:
        return ""
    known = ", ".join([*policies][:_MAX_NAMES])
    return f"There is no tool {name[:_MAX_NAME_CHARS]!r}. Tools that may be used: {known}."


def line_of(call: PendingCall, outcome: str) -> str:
    """Return what a call did, in one line for a later attempt at its task.

    Args:
        call: The call.
        outcome: What it gave, or that this is not known.
    """
    arguments, outcome = " ".join(call.arguments.split()), " ".join(outcome.split())
    return f"{call.name}({_beginning(arguments)}) -> {_beginning(outcome)}"


def is_stuck(run: TaskRun, call: PendingCall, max_repeats: int) -> bool:
    """Tell whether a call has given the same result as often as it may.

    Args:
        run: How its task is being executed.
        call: The call.
        max_repeats: How often the same call may give the same result in a row.
    """
    digest = call_digest(call.name, call.arguments)
    return run.seen.get(digest, ("", 0))[1] >= max_repeats


def _beginning(text: str) -> str:
    return text if len(text) <= _MAX_LINE_CHARS else f"{text[:_MAX_LINE_CHARS]}..."


def seen_with(run: TaskRun, call: PendingCall, result: str) -> dict[str, tuple[str, int]]:
    """Return `TaskRun.seen` with the result of one more call.

    Args:
        run: How its task is being executed.
        call: The call.
        result: What it gave.
    """
    digest = call_digest(call.name, call.arguments)
    told = hashlib.sha256(result.encode(errors="surrogatepass")).hexdigest()
    before, count = run.seen.get(digest, ("", 0))
    return {**run.seen, digest: (told, count + 1 if told == before else 1)}

"""The tools that a turn was planned with, and what other ones mean for it. Pure.

A tool is known by its fingerprint: a digest of all that a model, a planner or a person was told of
it. A person's approval holds for a tool as it was then, and for the arguments that were shown.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._recovery as recovery
from mbxai.agent._events import ToolsChanged
from mbxai.agent.machine._inputs import ApprovalVoided, DefinitionSeen, Input, TurnStarted
from mbxai.agent.machine._snapshot import AgentSnapshot, FinalSchema, Interaction, ToolCall
from mbxai.agent.machine._work import Work
from mbxai.errors import ToolsChangedError
from mbxai.wire import ToolInfo

_CHARS: Final = 32
_MAX_NAMES: Final = 20


class Change(NamedTuple):
    """What differs between two sets of tools; names in their order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def fingerprint(info: ToolInfo) -> str:
    """Return what identifies a tool as it is defined now.

    Args:
        info: What its client says of it.

    Returns:
        A digest; the same for the same definition, in whichever process.
    """
    said = [
        info.name,
        info.description,
        info.parameters,
        info.effect,
        info.requires_approval,
        info.source,
    ]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_CHARS]


def stamped(inputs: Sequence[Input], seen: Mapping[str, str]) -> list[Input]:
    """Return inputs in which a turn that begins knows its tools.

    Args:
        inputs: Inputs of the machine.
        seen: Fingerprints of all tools that there are, by name.
    """
    return [
        given.model_copy(update={"definitions": _usable(seen, given.tools)})
        if isinstance(given, TurnStarted)
        else given
        for given in inputs
    ]


def inputs_of(
    snapshot: AgentSnapshot,
    seen: Mapping[str, str],
    *,
    final_schema: FinalSchema | None = None,
    policy: Literal["continue", "refuse"] | None = None,
) -> list[Input]:
    """Say what the tools of a worker mean for a turn that it is about to let go on.

    Args:
        snapshot: The state.
        seen: Fingerprints of all tools that there are, by name.
        final_schema: The final response that the caller wants; None: as before.
        policy: What a caller wants where they differ; None: what the turn says.

    Returns:
        An input, or none if nothing has changed or nothing goes on.

    Raises:
        ToolsChangedError: They differ, and the turn is to be refused then.
    """
    if snapshot.definitions is None or not _goes_on(snapshot):
        return []
    now = _usable(seen, snapshot.tools)
    change = _change(snapshot.definitions, now)
    made_as = snapshot.final_response_structure
    other_final = final_schema is not None and made_as is not None and final_schema != made_as
    if (policy or snapshot.limits.on_changed_tools) == "refuse" and (any(change) or other_final):
        raise _refusal(snapshot.agent_id, change, other_final=other_final)
    return [DefinitionSeen(tools=now)] if any(change) else []


def seen(work: Work, event: DefinitionSeen) -> None:
    """Go on with other tools; ask anew what people agreed to of tools that have changed."""
    _learn(work, event.tools)


def voided(work: Work, event: ApprovalVoided) -> None:
    """Ask anew for a call that was not run, because its tool has changed."""
    call = work.close_call(event.call_id)
    if isinstance(call, ToolCall):
        _learn(work, event.tools)
        _ask_anew(work, call.model_copy(update={"attempt": max(call.attempt - 1, 0)}))


def ask_approval(work: Work, interaction: Interaction) -> None:
    """Ask anew whether a call may run, of which another tool or other arguments were shown.

    Args:
        work: The transition.
        interaction: The request that asked before.
    """
    calls = work.run(interaction.task_id).calls
    pending = next((c for c in calls if c.call_id == interaction.call_id), None)
    if pending is None:  # the round of the call has ended
        return
    work.ask(
        permits.approval(
            pending,
            interaction_id=work.new_id(),
            task_id=interaction.task_id,
            is_unplanned=interaction.is_unplanned,
            grant=permits.grant_of(pending, work.snapshot.definitions),
            has_changed=True,
        )
    )


def _usable(seen: Mapping[str, str], only: Collection[str] | None) -> dict[str, str]:
    return {name: known for name, known in seen.items() if only is None or name in only}


def _goes_on(snapshot: AgentSnapshot) -> bool:
    is_over = snapshot.error is not None and not snapshot.error.retryable
    return not is_over and bool(snapshot.calls or snapshot.open_interactions())


def _change(before: Mapping[str, str], now: Mapping[str, str]) -> Change:
    return Change(
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in now),
        changed=tuple(name for name in now if name in before and now[name] != before[name]),
    )


def _refusal(agent_id: str, change: Change, *, other_final: bool) -> ToolsChangedError:
    parts = [
        f"{', '.join(map(repr, names[:_MAX_NAMES]))} {what}"
        for names, what in zip(change, ("came", "went", "changed"), strict=True)
        if names
    ]
    if other_final:
        parts.append("the final response has another schema")
    return ToolsChangedError(
        f"The session {agent_id!r} was planned with other tools: {'; '.join(parts)}.",
        hint="Nothing was changed. Run it with the tools of then, or with "
        'on_changed_tools="continue".',
        agent_id=agent_id,
        tools=(*change.added, *change.removed, *change.changed),
    )


def _learn(work: Work, tools: Mapping[str, str]) -> None:
    before, now = work.snapshot.definitions, dict(tools)
    work.update(definitions=now)
    if before is None or before == now:
        return
    added, removed, changed = _change(before, now)
    work.emit(ToolsChanged(added=added, removed=removed, changed=changed))
    for interaction in work.snapshot.open_interactions():
        _check_request(work, interaction)
    for call in work.snapshot.calls:
        if (
            isinstance(call, ToolCall)
            and not (call.started or call.reconciles)
            and permits.is_void(call.grant, call, now)
        ):
            work.close_call(call.id)
            _ask_anew(work, call)


def _check_request(work: Work, interaction: Interaction) -> None:
    """Put a request in the place of one that asks about a tool as it was."""
    run = work.snapshot.runs.get(interaction.task_id)
    calls = run.calls if run is not None else ()
    pending = next((c for c in calls if c.call_id == interaction.call_id), None)
    now = work.snapshot.definitions or {}
    if pending is None or not permits.is_void(interaction.grant, pending, now):
        return
    work.withdraw([interaction])
    if interaction.paused is not None:
        recovery.ask(work, interaction.paused)
    else:
        ask_approval(work, interaction)


def _ask_anew(work: Work, call: ToolCall) -> None:
    """Ask for a call that a person had agreed to; it is no longer open."""
    if call.key or call.attempt > 0:
        recovery.ask(work, call)  # it has begun before, and goes on under its key if at all
        return
    asked = (
        i
        for i in reversed(work.snapshot.interactions)
        if (i.purpose, i.task_id, i.call_id) == ("approval", call.task_id, call.call_id)
    )
    if (interaction := next(asked, None)) is not None:
        ask_approval(work, interaction)

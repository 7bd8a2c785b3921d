"""Calls of tools that a worker began and never finished: what becomes of them. Pure.

read, idempotent          run again, under the same key
once, with `reconcile`    the tool is asked what its run did; it may say that nothing happened
once, people in the loop  where nobody else can say, a person decides
once, otherwise           the model is told that the outcome is not known
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._rounds as rounds
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent.machine._inputs import ToolReconciled
from mbxai.agent.machine._snapshot import Interaction, PendingCall, ToolCall
from mbxai.agent.machine._work import Work

DONE: Final = "it was done"
AGAIN: Final = "run it again"
SKIP: Final = "skip"
OPTIONS: Final = (DONE, AGAIN, SKIP)


def resolve(work: Work, reconcilable: Collection[str]) -> None:
    """Decide what becomes of each call of a tool that was cut off.

    Args:
        work: The transition.
        reconcilable: Names of the tools that can say what a run did.
    """
    for call in work.snapshot.calls:
        if isinstance(call, ToolCall) and call.started:
            _resolve(work, call, reconcilable)


def reconciled(work: Work, event: ToolReconciled) -> None:
    """Take what a tool says of its last run."""
    call = work.close_call(event.call_id)
    if not isinstance(call, ToolCall):
        return
    if event.outcome == "done":
        rounds.tool_returned(work, call, event.content, is_error=False)
    elif event.outcome == "not_done":
        rounds.reopen(work, call, is_repetition=True, reconciles=False)
    else:
        ask_or_tell(work, call)


def ask_or_tell(work: Work, call: ToolCall) -> None:
    """Ask a person what became of a call; where none can be asked, tell the model.

    Args:
        work: The transition.
        call: The call; it is no longer open.
    """
    if work.snapshot.human_in_loop:
        ask(work, call)
    else:
        _tell(work, call, {"error": prompts.UNKNOWN_OUTCOME}, is_error=True)


def ask(work: Work, call: ToolCall) -> None:
    """Ask a person what becomes of a call; it is kept in the request until that is known.

    Args:
        work: The transition.
        call: The call; it is no longer open.
    """
    run = work.run(call.task_id)
    pending = next((one for one in run.calls if one.call_id == call.call_id), None)
    if pending is None:  # the round of the call has ended
        return
    work.ask(
        Interaction(
            id=work.new_id(),
            purpose="recovery",
            interaction_type=HumanInteractionType.DECISION,
            prompt=_prompt(call, pending),
            options=OPTIONS,
            context=f"Arguments: {defence.visible(call.arguments)}\n"
            "If it was done, say what came of it, if you know.",
            task_id=call.task_id,
            call_id=call.call_id,
            paused=call.model_copy(update={"started": False, "reconciles": False}),
            grant=permits.grant_of(call, work.snapshot.definitions),
        )
    )


def decide(
    work: Work, interaction: Interaction, decision: str, note: str = "", *, who: str = "a person"
) -> None:
    """Do with a call that was cut off what was decided.

    Args:
        work: The transition.
        interaction: The request that asked.
        decision: One of `OPTIONS`.
        note: A person's words, such as what came of it.
        who: Who decided, for the model.
    """
    call = interaction.paused
    if call is None:
        return
    work.update(
        interactions=tuple(
            i.model_copy(update={"paused": None}) if i.id == interaction.id else i
            for i in work.snapshot.interactions
        )
    )
    if decision == AGAIN:
        # Whoever wants it run again agrees to the run.
        granted = {"approved": True, "grant": interaction.grant}
        rounds.reopen(work, call, is_repetition=True, **granted)
    elif decision == DONE:
        told = {"result": f"interrupted, but {who} says that it was done", "remark": note}
        _tell(work, call, told, is_error=False)
    else:
        told = {"error": f"{prompts.UNKNOWN_OUTCOME}; {who} skipped it", "remark": note}
        _tell(work, call, told, is_error=True)


def _resolve(work: Work, call: ToolCall, reconcilable: Collection[str]) -> None:
    if call.effect != "once":
        # Under the same id, which is its key.
        work.update(
            calls=tuple(
                c.model_copy(update={"started": False}) if c.id == call.id else c
                for c in work.snapshot.calls
            )
        )
        return
    work.close_call(call.id)
    if call.name in reconcilable:
        rounds.reopen(work, call, is_repetition=False, reconciles=True)
    else:
        ask_or_tell(work, call)


def _tell(work: Work, call: ToolCall, told: dict[str, str], *, is_error: bool) -> None:
    """Give the model something else than the tool's own result."""
    content = rounds.as_json({key: text for key, text in told.items() if text})
    rounds.note_run(work, call, content)
    rounds.tool_returned(work, call, content, is_error=is_error, has_run=False)


def _prompt(call: ToolCall, pending: PendingCall) -> str:
    begun = ""
    if call.started_at is not None:
        begun = f" after it had begun on {datetime.fromtimestamp(call.started_at, UTC):%Y-%m-%d}"
        begun += f" at {datetime.fromtimestamp(call.started_at, UTC):%H:%M:%S} UTC"
    return (
        f"The tool {permits.described(pending)} was interrupted{begun}. Whether it had its effect "
        "is not known. Was it done, shall it run again, or is it to be skipped?"
    )

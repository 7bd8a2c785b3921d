"""Requests to people whose time is up: the default action is taken instead of an answer. Pure.

A request has a deadline from when it was opened, if its turn has one. The machine reads no clock:
a request expires when an input `Ticked` comes, so a session that nobody runs rests as it is until
it is called again; then the tick comes first, and an answer that comes with that call is too late.
What the tick led to is kept also if such an answer is refused.
"""

import mbxai.agent.machine._answers as answers
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._recovery as recovery
import mbxai.agent.machine._rounds as rounds
import mbxai.agent.machine._tool_questions as questions
import mbxai.agent.machine._unreached_goals as unreached
from mbxai.agent._events import HumanExpired
from mbxai.agent._human_models import AnswerDeadline
from mbxai.agent.machine._inputs import Ticked
from mbxai.agent.machine._snapshot import AgentSnapshot, Interaction, StoredAnswer
from mbxai.agent.machine._work import Work

_NOBODY = "Nobody answered in time, which"


def due(snapshot: AgentSnapshot) -> float | None:
    """Return when the next open request expires.

    Args:
        snapshot: The state.

    Returns:
        Seconds since 1970; None if no open request ever expires.
    """
    times = [i.expires_at for i in snapshot.open_interactions() if i.expires_at is not None]
    return min(times, default=None)


def ticked(work: Work, event: Ticked) -> None:
    """Take the default action of every open request whose time is up, oldest first."""
    deadline = work.snapshot.limits.deadline or AnswerDeadline(seconds=1)
    for interaction in work.snapshot.open_interactions():
        # The action of an earlier one may have closed it.
        still_open = {other.id for other in work.snapshot.open_interactions()}
        if interaction.id in still_open and answers.is_due(interaction, event.now):
            _expire(work, interaction, deadline)


def _expire(work: Work, interaction: Interaction, deadline: AnswerDeadline) -> None:
    question = interaction.question
    closed = interaction.model_copy(
        update={
            "expired": True,
            "withdrawn": True,
            "paused": None,
            # What only the server needed goes with the answer, and is kept no longer.
            "question": question and question.model_copy(update={"state": ""}),
        }
    )
    work.update(
        interactions=tuple(
            closed if i.id == interaction.id else i for i in work.snapshot.interactions
        )
    )
    action = _action(interaction, deadline)
    work.emit(HumanExpired(interaction_id=interaction.id, action=action))
    if action == "abort":
        answers.abort(work, f"{_NOBODY} aborted the run.")
    elif interaction.purpose == "complexity":
        answers.decide_complex_task(work, interaction, action, reason=_NOBODY)
    elif interaction.purpose == "goal":
        _decide_goal(work, interaction, action)
    elif interaction.purpose == "recovery":
        recovery.decide(work, interaction, action, who="nobody answered in time, which")
    elif interaction.purpose == "approval":
        answers.decide_tool_call(
            work, interaction, is_approved=action == "approve", reason="nobody approved in time"
        )
    elif interaction.paused is not None:
        state = question.state if question is not None else ""
        answer = StoredAnswer(action=questions.CANCEL, state=state)
        rounds.go_on(work, interaction.paused, answer)
    else:
        told = rounds.as_json({"error": prompts.NOBODY_ANSWERED})
        rounds.set_result(work, interaction.task_id, str(interaction.call_id), told)


def _decide_goal(work: Work, interaction: Interaction, action: str) -> None:
    if action == "accept":
        unreached.accept(work, f"{_NOBODY} accepted what there is.")
    else:
        unreached.fail(work, interaction.context)


def _action(interaction: Interaction, deadline: AnswerDeadline) -> str:
    if interaction.purpose == "complexity":
        return deadline.complexity
    if interaction.purpose == "goal":
        return deadline.goal
    if interaction.purpose == "recovery":
        return recovery.SKIP
    if interaction.purpose == "approval":
        return questions.DECLINE if interaction.is_unplanned else deadline.approval
    if interaction.purpose == "elicitation" and deadline.ask == "tell":
        return questions.CANCEL
    return deadline.ask

"""Answers of people in the machine: whether they fit, and what they change. Pure."""

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._definition as definition
import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._recovery as recovery
import mbxai.agent.machine._rounds as rounds
import mbxai.agent.machine._tasks as tasks
import mbxai.agent.machine._tool_questions as questions
import mbxai.agent.machine._unreached_goals as unreached
from mbxai.agent._events import CredentialConcealed, HumanResolved
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentFailure
from mbxai.agent.machine._lengths import is_unicode
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    Interaction,
    ModelStep,
    StoredQuestion,
)
from mbxai.agent.machine._work import Work
from mbxai.errors import (
    InteractionExpiredError,
    InteractionMismatchError,
    InteractionNotFoundError,
)
from mbxai.wire import FormError

_LETS_ON = frozenset({("approval", "approve"), ("recovery", recovery.AGAIN)})


def check(
    snapshot: AgentSnapshot, interaction_id: str, answer: AnswerRecord, *, now: float = 0.0
) -> tuple[Interaction, AnswerRecord]:
    """Say whether an answer fits its request.

    Args:
        snapshot: The state.
        interaction_id: The request that the answer names.
        answer: The answer.
        now: When it came, in seconds since 1970; 0.0: not known, and never too late.

    Returns:
        The request and the answer with its option in the request's own spelling. The request is
        already answered if the same answer came before.

    Raises:
        InteractionNotFoundError: The session has no such request.
        InteractionMismatchError: The answer is of another type, names an option that was not
            offered, or differs from an answer that was given before.
        InteractionExpiredError: The answer came after the request's deadline.
    """
    interaction = find(snapshot, interaction_id)
    check_in_time(interaction, now)
    answer = fitted(interaction, answer)
    if interaction.answer is not None and interaction.answer != answer:
        raise InteractionMismatchError(
            f"The request {interaction_id!r} was already answered differently.",
            hint="An answer cannot be changed; give a new prompt instead.",
            interaction_id=interaction_id,
        )
    return interaction, answer


def find(snapshot: AgentSnapshot, interaction_id: str) -> Interaction:
    """Return a request.

    Args:
        snapshot: The state.
        interaction_id: Its id.

    Returns:
        The request, open or not.

    Raises:
        InteractionNotFoundError: The session has no such request.
    """
    interaction = next((i for i in snapshot.interactions if i.id == interaction_id), None)
    if interaction is None:
        raise InteractionNotFoundError(
            f"The session {snapshot.agent_id!r} has no request {interaction_id!r}.",
            hint="Answer one of response.human_interaction_requests by its id.",
            interaction_id=interaction_id,
        )
    return interaction


def check_in_time(interaction: Interaction, now: float) -> None:
    """Refuse an answer that comes after its request's deadline.

    Args:
        interaction: The request.
        now: When the answer came, in seconds since 1970.

    Raises:
        InteractionExpiredError: It is too late, whether the default action was taken already or
            not.
    """
    if interaction.expired or (wants_answer(interaction) and is_due(interaction, now)):
        raise InteractionExpiredError(
            f"Nobody answered the request {interaction.id!r} in time; it is closed.",
            hint="The agent goes on without an answer; call agent() again without this one.",
            interaction_id=interaction.id,
        )


def wants_answer(interaction: Interaction) -> bool:
    """Tell whether an answer would still change something."""
    return interaction.answer is None and not interaction.withdrawn


def is_due(interaction: Interaction, now: float) -> bool:
    """Tell whether a request's time is up.

    Args:
        interaction: The request.
        now: Seconds since 1970.
    """
    return interaction.expires_at is not None and interaction.expires_at <= now


def tool_let_on(
    snapshot: AgentSnapshot, interaction: Interaction, answer: AnswerRecord
) -> tuple[str, str]:
    """Return which tool an answer lets go on.

    Args:
        snapshot: The state.
        interaction: The request.
        answer: A fitted answer.

    Returns:
        The tool's name, empty for none, and its MCP server, empty where it is not known.
    """
    if interaction.question is not None:
        is_refused = answer.decision != questions.ACCEPT
        name = interaction.paused.name if interaction.paused is not None else ""
        return ("", "") if is_refused else (name, interaction.question.source)
    if (interaction.purpose, answer.decision) not in _LETS_ON:
        return "", ""
    run = snapshot.runs.get(interaction.task_id)
    calls = run.calls if run is not None else ()
    return next((call.name for call in calls if call.call_id == interaction.call_id), ""), ""


def apply(work: Work, interaction_id: str, answer: AnswerRecord) -> None:
    """Apply an answer; the same answer a second time changes nothing.

    Args:
        work: The transition.
        interaction_id: The request that the answer names.
        answer: The answer.

    Raises:
        InteractionNotFoundError: See `check`.
        InteractionMismatchError: See `check`.
        InteractionExpiredError: See `check`.
    """
    interaction, answer = check(work.snapshot, interaction_id, answer, now=work.now)
    if not wants_answer(interaction):
        return
    if interaction.question is not None:
        _continue_tool_call(work, interaction, interaction.question, answer)
        return
    answered = interaction.model_copy(update={"answer": answer})
    work.update(
        interactions=tuple(
            answered if i.id == interaction_id else i for i in work.snapshot.interactions
        ),
        human_context=(*work.snapshot.human_context, _in_words(interaction, answer)),
        credentials=tuple(dict.fromkeys((*work.snapshot.credentials, *answer.provides))),
    )
    work.emit(HumanResolved(interaction_id=interaction_id))
    if answer.provides and answer.response_type is not HumanInteractionType.DIALOG_OPTION:
        work.emit(CredentialConcealed(interaction_id=interaction_id, handles=answer.provides))
    if interaction.purpose == "complexity":
        decide_complex_task(work, interaction, str(answer.decision), answer.note)
    elif interaction.purpose == "goal":
        _decide_goal(work, str(answer.decision))
    elif interaction.purpose == "recovery":
        recovery.decide(work, interaction, str(answer.decision), answer.note)
    elif interaction.purpose == "approval":
        decide_tool_call(
            work,
            interaction,
            is_approved=answer.decision == "approve",
            reason="a person declined the call",
            note=answer.note,
        )
    else:
        rounds.set_result(
            work, interaction.task_id, str(interaction.call_id), rounds.as_json(_result(answer))
        )


def fitted(interaction: Interaction, answer: AnswerRecord) -> AnswerRecord:
    """Return an answer in the request's own spelling.

    Args:
        interaction: The request.
        answer: The answer.

    Returns:
        The answer; one that was fitted before stays as it is.

    Raises:
        InteractionMismatchError: It does not fit.
    """
    wanted = interaction.interaction_type
    problem = ""
    if answer.response_type is not wanted:
        problem = f"it is a {answer.response_type}, but a {wanted} is wanted"
    elif not all(map(is_unicode, _texts_of(answer))):
        problem = "it holds half of a surrogate pair, such as a cut emoji"
    elif interaction.question is not None:
        try:
            return questions.fitted(interaction.question, answer)
        except (questions.UnfitAnswerError, FormError) as error:
            problem = str(error)
    elif wanted is HumanInteractionType.DECISION:
        answer, problem = _fitted_decision(interaction, answer)
    elif wanted is HumanInteractionType.QUESTION:
        if not defence.stripped(answer.answer or "").strip():
            problem = "answer is empty"
    elif answer.dialog_option_id != interaction.dialog_option_id:
        problem = f"dialog_option_id must be {interaction.dialog_option_id!r}"
    if problem:
        raise InteractionMismatchError(
            f"The answer to request {interaction.id!r} does not fit: {problem}.",
            hint="Nothing was changed; answer again.",
            interaction_id=interaction.id,
        )
    return answer


def _texts_of(answer: AnswerRecord) -> list[str]:
    """What a person wrote."""
    values = (answer.answer, answer.note, *(answer.content or {}).values())
    return [value for value in values if isinstance(value, str)]


def _fitted_decision(interaction: Interaction, answer: AnswerRecord) -> tuple[AnswerRecord, str]:
    problem = ""
    spelled = {option.casefold().strip(): option for option in interaction.options}
    option = spelled.get((answer.decision or "").casefold().strip())
    if option is None:
        problem = f"decision must be one of {', '.join(interaction.options)}"
    elif option == "modify" and interaction.purpose == "complexity" and not answer.note.strip():
        problem = "to modify a task, say how in additional_context"
    return answer.model_copy(update={"decision": option}), problem


def _continue_tool_call(
    work: Work, interaction: Interaction, question: StoredQuestion, answer: AnswerRecord
) -> None:
    """Give a tool its answer; neither the model nor another tool is told of it."""
    changes = {"answer": answer, "paused": None}
    answered = interaction.model_copy(
        # What only the server needed goes with the answer, and is kept no longer.
        update={**changes, "question": question.model_copy(update={"state": ""})}
    )
    work.update(
        interactions=tuple(
            answered if i.id == interaction.id else i for i in work.snapshot.interactions
        )
    )
    work.emit(HumanResolved(interaction_id=interaction.id))
    if interaction.paused is not None:
        rounds.go_on(work, interaction.paused, questions.answer_of(question, answer))


def decide_complex_task(
    work: Work,
    interaction: Interaction,
    decision: str,
    note: str = "",
    *,
    reason: str = "A person",
) -> None:
    """Do with a complex task what was decided.

    Args:
        work: The transition.
        interaction: The request that asked.
        decision: "proceed", "skip", "modify" or "abort".
        note: How the task is changed, for "modify".
        reason: Who decided, for the task's error message.
    """
    task = work.task(interaction.task_id)
    if decision == "skip":
        work.change_run(task.id, skipped_by_person=True)
        work.end_task(task.id, TaskStatus.SKIPPED, error=f"{reason} skipped it.")
        return
    if decision == "abort":
        abort(work, f"{reason} aborted the run.")
        return
    if decision == "modify":
        work.change_task(task.id, description=f"{task.description}\nChanged by a person: {note}")
        work.change_run(task.id, planned=None)  # the call was filled in for the task as it was
    tasks.begin(work, work.task(task.id))


def _decide_goal(work: Work, decision: str) -> None:
    """Do with a goal that is not reached what a person decided."""
    if decision == "accept":
        unreached.accept(work, "A person accepted what there is.")
    elif decision == "try_again":
        unreached.replan(work)
    else:
        abort(work, "A person aborted the run.")


def abort(work: Work, reason: str) -> None:
    """End the run for good; what has not ended is skipped.

    Args:
        work: The transition.
        reason: Who aborted the run, in a sentence.
    """
    tasks.skip_all(work, reason)
    work.fail(AgentFailure(type="Aborted", message=reason, step=ModelStep.TASK))


def decide_tool_call(
    work: Work, interaction: Interaction, *, is_approved: bool, reason: str, note: str = ""
) -> None:
    """Run a tool's call, or tell the model why it does not run.

    Args:
        work: The transition.
        interaction: The request that asked.
        is_approved: Whether it may run.
        reason: Why it may not.
        note: A person's remark.
    """
    run = work.run(interaction.task_id)
    pending = next((call for call in run.calls if call.call_id == interaction.call_id), None)
    if pending is None:  # the round of the call has ended
        return
    if is_approved:
        grant = interaction.grant
        if permits.is_void(grant, pending, work.snapshot.definitions or {}):
            definition.ask_approval(work, interaction)
        else:
            rounds.open_tool_call(work, interaction.task_id, pending, approved=True, grant=grant)
        return
    error = {"error": f"{pending.name} was not run: {reason}", "remark": note}
    rounds.set_result(work, interaction.task_id, pending.call_id, rounds.as_json(error))


def _result(answer: AnswerRecord) -> dict[str, object]:
    """What the model gets as the result of its question."""
    if answer.response_type is HumanInteractionType.QUESTION:
        result: dict[str, object] = {"answer": answer.answer}
    elif answer.response_type is HumanInteractionType.DECISION:
        result = {"decision": answer.decision}
    else:
        result = {"dialog_option": answer.dialog_option_id, "status": "completed"}
        if answer.provides:
            result["provides"] = list(answer.provides)
    if answer.note:
        result["remark"] = answer.note
    if answer.provides and answer.response_type is not HumanInteractionType.DIALOG_OPTION:
        result |= {"provides": list(answer.provides), "about_handles": prompts.CONCEALED}
    return result


def _in_words(interaction: Interaction, answer: AnswerRecord) -> str:
    said = answer.decision or answer.answer or "completed"
    if answer.note:
        said += f" ({answer.note})"
    return f"{interaction.prompt} -> {said}"

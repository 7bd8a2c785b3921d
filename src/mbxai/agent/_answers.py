"""Answers of people in the machine: whether they fit, and what they change. Pure."""

import mbxai.agent._tasks as tasks
from mbxai.agent._events import HumanResolved
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentFailure
from mbxai.agent._snapshot import AgentSnapshot, AnswerRecord, Interaction, ModelStep
from mbxai.agent._work import Work
from mbxai.errors import InteractionMismatchError, InteractionNotFoundError


def check(
    snapshot: AgentSnapshot, interaction_id: str, answer: AnswerRecord
) -> tuple[Interaction, AnswerRecord]:
    """Say whether an answer fits its request.

    Args:
        snapshot: The state.
        interaction_id: The request that the answer names.
        answer: The answer.

    Returns:
        The request and the answer with its option in the request's own spelling. The request is
        already answered if the same answer came before.

    Raises:
        InteractionNotFoundError: The session has no such request.
        InteractionMismatchError: The answer is of another type, names an option that was not
            offered, or differs from an answer that was given before.
    """
    interaction = next((i for i in snapshot.interactions if i.id == interaction_id), None)
    if interaction is None:
        raise InteractionNotFoundError(
            f"The session {snapshot.agent_id!r} has no request {interaction_id!r}.",
            hint="Answer one of response.human_interaction_requests by its id.",
            interaction_id=interaction_id,
        )
    answer = _fitted(interaction, answer)
    if interaction.answer is not None and interaction.answer != answer:
        raise InteractionMismatchError(
            f"The request {interaction_id!r} was already answered differently.",
            hint="An answer cannot be changed; give a new prompt instead.",
            interaction_id=interaction_id,
        )
    return interaction, answer


def wants_answer(interaction: Interaction) -> bool:
    """Tell whether an answer would still change something."""
    return interaction.answer is None and not interaction.withdrawn


def apply(work: Work, interaction_id: str, answer: AnswerRecord) -> None:
    """Apply an answer; the same answer a second time changes nothing.

    Args:
        work: The transition.
        interaction_id: The request that the answer names.
        answer: The answer.

    Raises:
        InteractionNotFoundError: See `check`.
        InteractionMismatchError: See `check`.
    """
    interaction, answer = check(work.snapshot, interaction_id, answer)
    if not wants_answer(interaction):
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
    if interaction.purpose == "complexity":
        _decide_complex_task(work, interaction, answer)
    elif interaction.purpose == "approval":
        _decide_tool_call(work, interaction, answer)
    else:
        tasks.set_result(
            work, interaction.task_id, str(interaction.call_id), tasks.as_json(_result(answer))
        )


def _fitted(interaction: Interaction, answer: AnswerRecord) -> AnswerRecord:
    wanted = interaction.interaction_type
    problem = ""
    if answer.response_type is not wanted:
        problem = f"it is a {answer.response_type}, but a {wanted} is wanted"
    elif wanted is HumanInteractionType.DECISION:
        spelled = {option.casefold().strip(): option for option in interaction.options}
        option = spelled.get((answer.decision or "").casefold().strip())
        if option is None:
            problem = f"decision must be one of {', '.join(interaction.options)}"
        elif option == "modify" and interaction.purpose == "complexity" and not answer.note:
            problem = "to modify a task, say how in additional_context"
        answer = answer.model_copy(update={"decision": option})
    elif wanted is HumanInteractionType.QUESTION:
        if not (answer.answer or "").strip():
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


def _decide_complex_task(work: Work, interaction: Interaction, answer: AnswerRecord) -> None:
    task = work.task(interaction.task_id)
    if answer.decision == "skip":
        work.change_run(task.id, skipped_by_person=True)
        work.end_task(task.id, TaskStatus.SKIPPED, error="A person skipped it.")
        return
    if answer.decision == "abort":
        work.end_task(task.id, TaskStatus.SKIPPED, error="A person aborted the run.")
        for other in work.tasks():
            if other.status is TaskStatus.IN_PROGRESS:
                work.end_task(other.id, TaskStatus.SKIPPED, error="A person aborted the run.")
        tasks.skip_pending(work, "A person aborted the run.")
        failure = AgentFailure(
            type="Aborted", message="A person aborted the run.", step=ModelStep.TASK
        )
        work.fail(failure)
        return
    if answer.decision == "modify":
        work.change_task(
            task.id, description=f"{task.description}\nChanged by a person: {answer.note}"
        )
    tasks.begin(work, work.task(task.id))


def _decide_tool_call(work: Work, interaction: Interaction, answer: AnswerRecord) -> None:
    run = work.run(interaction.task_id)
    pending = next(call for call in run.calls if call.call_id == interaction.call_id)
    if answer.decision == "approve":
        tasks.open_tool_call(work, interaction.task_id, pending, approved=True)
        return
    error = {"error": f"a person declined the call of {pending.name}", "remark": answer.note}
    tasks.set_result(work, interaction.task_id, pending.call_id, tasks.as_json(error))


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
    return result


def _in_words(interaction: Interaction, answer: AnswerRecord) -> str:
    said = answer.decision or answer.answer or "completed"
    if answer.note:
        said += f" ({answer.note})"
    return f"{interaction.prompt} -> {said}"

"""Tasks in the machine: which start, and in what state the session then is. Pure."""

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._human_tools as human_tools
import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._references as references
import mbxai.agent.machine._rounds as rounds
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._plan_models import Task, TaskStatus
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._snapshot import Interaction, ModelStep, PlannedCall, ToolCall
from mbxai.agent.machine._work import Work

COMPLEXITY_OPTIONS = ("proceed", "skip", "modify", "abort")
MAX_EARLIER = 100
"""Of how many tool calls of earlier attempts a task is told; the last ones."""


def settle(work: Work) -> None:
    """Start the tasks that can start and enter the state that follows from what is open."""
    if work.snapshot.state not in (AgentState.EXECUTING_TASKS, AgentState.WAITING_FOR_HUMAN):
        return
    _block_dependents(work)
    _start_ready(work)
    if work.snapshot.calls:
        work.enter(AgentState.EXECUTING_TASKS)
    elif work.snapshot.open_interactions():
        work.enter(AgentState.WAITING_FOR_HUMAN)
    else:
        work.enter(AgentState.EVALUATING_GOAL)
        is_merged = work.snapshot.limits.planning == "merged"
        work.call_model(ModelStep.CONCLUSION if is_merged else ModelStep.EVALUATION)


def skip_pending(work: Work, reason: str) -> None:
    """Skip every task that has not started."""
    for task in work.tasks():
        if task.status is TaskStatus.PENDING:
            work.change_task(task.id, status=TaskStatus.SKIPPED, error_message=reason)


def skip_all(work: Work, reason: str) -> None:
    """Skip every task that has not ended.

    Args:
        work: The transition.
        reason: Why, in a sentence.
    """
    begun = [c for c in work.snapshot.calls if isinstance(c, ToolCall) and c.started]
    asked = (i.paused for i in work.snapshot.open_interactions() if i.purpose == "recovery")
    begun += [call for call in asked if call is not None]
    for task in work.tasks():
        if task.status is TaskStatus.IN_PROGRESS:
            names = ", ".join(call.name for call in begun if call.task_id == task.id)
            unknown = f" The outcome of {names} is not known." if names else ""
            work.end_task(task.id, TaskStatus.SKIPPED, error=reason + unknown)
    skip_pending(work, reason)


def begin(work: Work, task: Task) -> None:
    """Open a task's conversation, or the call of a tool with which the plan has it begin."""
    work.change_run(task.id, messages=prompts.task_messages(work.snapshot, task))
    planned = _filled_in(work, task)
    if planned is None:
        work.change_run(task.id, planned=None)
        work.call_model(ModelStep.TASK, task_id=task.id)
    else:
        rounds.begin_planned(work, task.id, planned)


def _filled_in(work: Work, task: Task) -> PlannedCall | None:
    """The call that the plan has filled in for a task, with the results that it refers to."""
    planned = work.run(task.id).planned
    if planned is None:
        return None
    needed = [work.task(task_id) for task_id in task.dependencies]
    results = {
        work.run(each.id).key: each.result
        for each in needed
        if each.status is TaskStatus.COMPLETED and each.result is not None
    }
    arguments = references.filled(planned.arguments, results)
    return None if arguments is None else planned.model_copy(update={"arguments": arguments})


def retry(work: Work, task_id: str) -> None:
    """Mark a task that has ended as not begun; its next attempt is told what this one did.

    Args:
        work: The transition.
        task_id: A task that is not in progress.
    """
    run = work.run(task_id)
    # A call that had no result when the task was ended may have had its effect.
    open_calls = [call for call in run.calls if call.result is None]
    waited = {
        i.call_id
        for i in work.snapshot.interactions
        if i.answer is None and i.purpose not in ("elicitation", "recovery")
    }
    unknown = [
        permits.line_of(call, prompts.UNKNOWN_OUTCOME)
        for call in open_calls
        if call.call_id not in waited and call.name not in human_tools.NAMES
    ]
    earlier = (*run.earlier, *run.did, *unknown)
    work.change_run(
        task_id,
        # What has begun would be repeated by itself; a model decides what of it is still to do.
        planned=None if run.messages else run.planned,
        earlier=earlier[-MAX_EARLIER:],
        did=(),
        seen={},
        context_tokens=0,
        result_source=None,
        messages=(),
        rounds=0,
        calls=(),
        attempts=0,
    )
    work.change_task(task_id, status=TaskStatus.PENDING, result=None, error_message=None)


def _block_dependents(work: Work) -> None:
    """Skip pending tasks that depend on one that failed or was itself blocked."""
    blocked = True
    while blocked:
        blocked = False
        lost = {
            task.id: task
            for task in work.tasks()
            if task.status is TaskStatus.FAILED
            or (task.status is TaskStatus.SKIPPED and not work.run(task.id).skipped_by_person)
        }
        for task in work.tasks():
            cause = next((lost[d] for d in task.dependencies if d in lost), None)
            if task.status is TaskStatus.PENDING and cause is not None:
                fate = "failed" if cause.status is TaskStatus.FAILED else "was skipped"
                reason = f"It depends on {cause.title!r}, which {fate}."
                work.change_task(task.id, status=TaskStatus.SKIPPED, error_message=reason)
                blocked = True


def _start_ready(work: Work) -> None:
    plan, limits = work.snapshot.todo_list, work.snapshot.limits
    ready = list(plan.ready_tasks()) if plan else []
    for task in ready:
        # A task that waits for a person takes nobody's place.
        running = {call.task_id for call in work.snapshot.calls if call.task_id}
        if len(running) >= limits.max_parallel_tasks:
            break
        if work.snapshot.iteration_count >= limits.max_task_iterations:
            break
        work.update(iteration_count=work.snapshot.iteration_count + 1)
        work.change_task(task.id, status=TaskStatus.IN_PROGRESS, attempts=task.attempts + 1)
        if _is_complex(work, task):
            _ask_to_proceed(work, task)
        else:
            begin(work, task)


def _is_complex(work: Work, task: Task) -> bool:
    bound = work.snapshot.limits.approve_complexity
    return work.snapshot.human_in_loop and bound is not None and task.estimated_complexity >= bound


def _ask_to_proceed(work: Work, task: Task) -> None:
    work.ask(
        Interaction(
            id=work.new_id(),
            purpose="complexity",
            interaction_type=HumanInteractionType.DECISION,
            prompt=f"The task {task.title!r} is complex ({task.estimated_complexity} of 5). Go on?",
            options=COMPLEXITY_OPTIONS,
            context=defence.visible(task.description),
            task_id=task.id,
        )
    )

"""Tasks in the machine: which start, how their conversation goes on, how they end. Pure."""

import json
from collections.abc import Mapping
from typing import Any

import mbxai.agent._human_tools as human_tools
import mbxai.agent._prompts as prompts
from mbxai.agent._events import AnswerRejected, ToolCalled, ToolEnded
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._inputs import ModelReturned, ToolPolicy
from mbxai.agent._plan_models import Task, TaskStatus
from mbxai.agent._result_models import AgentState
from mbxai.agent._snapshot import (
    Interaction,
    ModelCall,
    ModelStep,
    PendingCall,
    ToolCall,
)
from mbxai.agent._work import Work

# A message that ended for one of these reasons is not the whole message: nothing in it may run,
# and what it says is no result.
_NOT_FINISHED = frozenset({"length", "content_filter", "error"})

COMPLEXITY_OPTIONS = ("proceed", "skip", "modify", "abort")
APPROVAL_OPTIONS = ("approve", "decline")


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
        work.call_model(ModelStep.EVALUATION)


def skip_pending(work: Work, reason: str) -> None:
    """Skip every task that has not started."""
    for task in work.tasks():
        if task.status is TaskStatus.PENDING:
            work.change_task(task.id, status=TaskStatus.SKIPPED, error_message=reason)


def begin(work: Work, task: Task) -> None:
    """Open a task's conversation."""
    work.change_run(task.id, messages=prompts.task_messages(work.snapshot, task))
    work.call_model(ModelStep.TASK, task_id=task.id)


def asks_person(message: Mapping[str, Any]) -> bool:  # Any: a message of the wire
    """Tell whether an assistant message calls one of the tools that ask a person."""
    return any(name in human_tools.NAMES for _id, name, _arguments in _tool_calls(message))


def on_message(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Take an assistant message of a task: an outcome, or calls of tools."""
    task_id = str(call.task_id)
    calls = _tool_calls(event.value)
    _append(work, task_id, dict(event.value))
    if calls:
        _open_round(work, task_id, calls, event)
        return
    content = str(event.value.get("content") or "").strip()
    if event.finish_reason == "length":
        _ask_again(work, call, prompts.CUT_ANSWER, "The answer was cut at the token limit.")
    elif event.finish_reason in _NOT_FINISHED:
        _ask_again(work, call, prompts.WITHHELD_ANSWER, "The answer was withheld.")
    elif not content:
        _ask_again(work, call, prompts.EMPTY_ANSWER, "The answer was empty.")
    else:
        work.end_task(task_id, TaskStatus.COMPLETED, result=content)


def tool_returned(work: Work, call: ToolCall, content: str, *, is_error: bool) -> None:
    """Take the result of a tool call."""
    work.update(tool_calls=work.snapshot.tool_calls + 1)
    work.emit(
        ToolEnded(task_id=call.task_id, call_id=call.call_id, name=call.name, is_error=is_error)
    )
    set_result(work, call.task_id, call.call_id, content)


def set_result(work: Work, task_id: str, call_id: str, content: str) -> None:
    """Note a call's result; with the round's last one the conversation goes on."""
    _note_result(work, task_id, call_id, content)
    _close_round(work, task_id)


def advise(work: Work, task_id: str, advice: str) -> None:
    """Tell the model something in a task's conversation."""
    _append(work, task_id, {"role": "user", "content": advice})


def open_tool_call(
    work: Work, task_id: str, pending: PendingCall, *, approved: bool = False
) -> None:
    """Open the call of a tool that may run now."""
    work.call_tool(
        ToolCall(
            id=work.new_id(),
            task_id=task_id,
            call_id=pending.call_id,
            name=pending.name,
            arguments=pending.arguments,
            effect=pending.effect,
            approved=approved,
        )
    )
    work.emit(
        ToolCalled(
            task_id=task_id,
            call_id=pending.call_id,
            name=pending.name,
            arguments=pending.arguments,
        )
    )


def resolve_interrupted(work: Work, call: ToolCall) -> None:
    """Decide what becomes of a tool call that a worker began and never finished.

    A call that may be repeated is opened again under the same id, which is its idempotency key. One
    whose effect must not happen twice is not: its outcome is unknown, and the model is told so.
    """
    if call.effect == "once":
        work.close_call(call.id)
        tool_returned(work, call, as_json({"error": prompts.UNKNOWN_OUTCOME}), is_error=True)
        return
    work.update(
        calls=tuple(
            c.model_copy(update={"started": False}) if c.id == call.id else c
            for c in work.snapshot.calls
        )
    )


def as_json(value: Mapping[str, Any]) -> str:  # Any: JSON
    """Write a JSON object as text."""
    return json.dumps(value, ensure_ascii=False)


# --- starting -------------------------------------------------------------------------------------


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
        work.change_task(task.id, status=TaskStatus.IN_PROGRESS)
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
            context=task.description,
            task_id=task.id,
        )
    )


# --- a task's conversation ------------------------------------------------------------------------


def _append(work: Work, task_id: str, *messages: dict[str, Any]) -> None:
    work.change_run(task_id, messages=(*work.run(task_id).messages, *messages))


def _ask_again(work: Work, call: ModelCall, advice: str, problem: str) -> None:
    task_id = str(call.task_id)
    attempts = work.run(task_id).attempts + 1
    if attempts >= work.snapshot.limits.max_answer_attempts:
        work.end_task(task_id, TaskStatus.FAILED, error=f"{problem} ({attempts} times)")
        return
    work.emit(AnswerRejected(step=call.step, problems=(problem,)))
    work.change_run(task_id, attempts=attempts)
    advise(work, task_id, advice)
    work.call_model(ModelStep.TASK, task_id=task_id)


def _open_round(
    work: Work,
    task_id: str,
    calls: list[tuple[str, str, str]],
    event: ModelReturned,
) -> None:
    run, policies = work.run(task_id), event.policies
    refusal = None
    if event.finish_reason in _NOT_FINISHED:
        cut = event.finish_reason == "length"
        refusal = as_json({"error": prompts.CUT_CALL if cut else prompts.WITHHELD_CALL})
    if run.rounds >= work.snapshot.limits.max_tool_rounds:
        error = f"The model was still calling tools after {run.rounds} rounds."
        work.end_task(task_id, TaskStatus.FAILED, error=error)
        return
    pending = tuple(
        PendingCall(
            call_id=call_id,
            name=name,
            arguments=arguments,
            effect=policies.get(name, ToolPolicy()).effect,
            result=refusal,
        )
        for call_id, name, arguments in calls
    )
    work.change_run(task_id, calls=pending, rounds=run.rounds + 1, attempts=0)
    for call in pending if refusal is None else ():
        _open_call(work, task_id, call, policies.get(call.name, ToolPolicy()))
    _close_round(work, task_id)


def _open_call(work: Work, task_id: str, call: PendingCall, policy: ToolPolicy) -> None:
    if call.name in human_tools.NAMES and work.snapshot.human_in_loop:
        asked = human_tools.interaction(
            call.name,
            call.arguments,
            work.snapshot.dialog_options,
            interaction_id=work.new_id(),
            task_id=task_id,
            call_id=call.call_id,
        )
        if isinstance(asked, Interaction):
            work.ask(asked)
        else:
            _note_result(work, task_id, call.call_id, asked)
    elif policy.requires_approval and work.snapshot.human_in_loop:
        _ask_approval(work, task_id, call)
    elif policy.requires_approval:
        error = {"error": f"{call.name} needs the approval of a person, and no person can be asked"}
        _note_result(work, task_id, call.call_id, as_json(error))
    else:
        open_tool_call(work, task_id, call)


def _ask_approval(work: Work, task_id: str, call: PendingCall) -> None:
    work.ask(
        Interaction(
            id=work.new_id(),
            purpose="approval",
            interaction_type=HumanInteractionType.DECISION,
            prompt=f"May the tool {call.name!r} run?",
            options=APPROVAL_OPTIONS,
            context=f"Arguments: {call.arguments}",
            task_id=task_id,
            call_id=call.call_id,
        )
    )


def _note_result(work: Work, task_id: str, call_id: str, content: str) -> None:
    calls = tuple(
        c.model_copy(update={"result": content}) if c.call_id == call_id else c
        for c in work.run(task_id).calls
    )
    work.change_run(task_id, calls=calls)


def _close_round(work: Work, task_id: str) -> None:
    """Give the results to the model, once the round's last one is there."""
    calls = work.run(task_id).calls
    if not calls or any(call.result is None for call in calls):
        return
    _append(
        work,
        task_id,
        *({"role": "tool", "tool_call_id": call.call_id, "content": call.result} for call in calls),
    )
    work.change_run(task_id, calls=())
    work.call_model(ModelStep.TASK, task_id=task_id)


def _tool_calls(message: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (id, name, arguments) of the calls in an assistant message."""
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]

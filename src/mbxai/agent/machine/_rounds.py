"""A task's conversation in the machine: messages, rounds of tool calls, the outcome. Pure."""

import json
from collections.abc import Mapping
from typing import Any

import mbxai.agent.machine._compaction as compaction
import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._human_tools as human_tools
import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._tool_questions as questions
from mbxai.agent._events import (
    AnswerRejected,
    QuestionRefused,
    ToolCalled,
    ToolEnded,
    ToolUnplanned,
)
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent.machine._asked_calls import AskedCall, asked_calls, kept
from mbxai.agent.machine._inputs import ModelReturned, ToolPolicy
from mbxai.agent.machine._snapshot import (
    Interaction,
    ModelCall,
    ModelStep,
    PendingCall,
    PlannedCall,
    StoredAnswer,
    StoredQuestion,
    ToolCall,
)
from mbxai.agent.machine._work import Work

# A message that ended for one of these reasons is not the whole message: nothing in it may run,
# and what it says is no result.
_NOT_FINISHED = frozenset({"length", "content_filter", "error"})
_TOLD_CHARS = 4000  # the log has it, beside the conversation

MAX_QUESTIONS = 20
"""Most questions of a tool in one call; more are a loop."""


def asks_person(message: Mapping[str, Any]) -> bool:  # Any: a message of the wire
    """Tell whether an assistant message calls one of the tools that ask a person."""
    return any(call.name in human_tools.NAMES for call in asked_calls(message))


def on_message(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Take an assistant message of a task: an outcome, or calls of tools."""
    task_id = str(call.task_id)
    calls = asked_calls(event.value)
    _append(work, task_id, kept(event.value, calls))
    work.change_run(task_id, context_tokens=event.usage.total_tokens)
    work.update(context_window=event.context_window or work.snapshot.context_window)
    if calls:
        _open_round(work, task_id, calls, event)
        return
    content = str(event.value.get("content") or "").strip()
    if event.finish_reason == "length":
        _ask_again(work, call, prompts.CUT_ANSWER, "The answer was cut at the token limit.")
    elif event.finish_reason in _NOT_FINISHED:
        _ask_again(work, call, prompts.WITHHELD_ANSWER, "The answer was withheld.")
    elif not defence.stripped(content).strip():
        _ask_again(work, call, prompts.EMPTY_ANSWER, "The answer was empty.")
    else:
        work.end_task(task_id, TaskStatus.COMPLETED, result=content)


def begin_planned(work: Work, task_id: str, planned: PlannedCall) -> None:
    """Begin a task with a call that the plan has filled in.

    Its result is that of the task; if it fails or is not run, the task goes on as a conversation in
    which the call stands, so that the model can mend it.
    """
    call = PendingCall(
        call_id=work.new_id(),
        name=planned.name,
        arguments=planned.arguments,
        effect=planned.effect,
        source=planned.source,
        is_trusted=planned.is_trusted,
    )
    function = {"name": call.name, "arguments": call.arguments}
    asked = {"id": call.call_id, "type": "function", "function": function}
    _append(work, task_id, {"role": "assistant", "content": None, "tool_calls": [asked]})
    work.change_run(task_id, calls=(call,))
    policy = ToolPolicy(effect=planned.effect)
    _open_call(work, task_id, call, policy, needs_approval=planned.requires_approval)
    _close_round(work, task_id)


def tool_returned(
    work: Work,
    call: ToolCall,
    content: str,
    *,
    is_error: bool,
    has_run: bool = True,
    seconds: float = 0.0,
) -> None:
    """Take the result of a tool call.

    Args:
        work: The transition.
        call: The call; it is no longer open.
        content: The result in words.
        is_error: Whether it tells of a failure.
        has_run: Whether the content comes from the tool.
        seconds: How long the tool ran.
    """
    work.update(tool_calls=work.snapshot.tool_calls + 1)
    work.emit(
        ToolEnded(
            task_id=call.task_id,
            call_id=call.call_id,
            name=call.name,
            is_error=is_error,
            content=content[:_TOLD_CHARS],
            seconds=seconds,
        )
    )
    if has_run:
        note_run(work, call, content)
    set_result(work, call.task_id, call.call_id, content, has_run=has_run, is_error=is_error)


def tool_asked(work: Work, call: ToolCall, question: StoredQuestion) -> None:
    """Ask a person what a tool wants to know; its call goes on with the answer.

    Where no person can be asked, the tool is told so ("cancel"); what nobody may be asked is
    declined.
    """
    call = call.model_copy(update={"questions": call.questions + 1})
    if call.questions > MAX_QUESTIONS:
        error = {"error": f"{call.name} asked more than {MAX_QUESTIONS} questions in one call"}
        tool_returned(work, call, as_json(error), is_error=True, has_run=False)
    elif not work.snapshot.human_in_loop:
        go_on(work, call, StoredAnswer(action=questions.CANCEL, state=question.state))
    elif reason := questions.refusal(question):
        work.emit(QuestionRefused(source=question.source, name=call.name, reason=reason))
        go_on(work, call, StoredAnswer(action=questions.DECLINE, state=question.state))
    else:
        work.ask(questions.interaction(question, call, interaction_id=work.new_id()))


def go_on(work: Work, call: ToolCall, answer: StoredAnswer) -> None:
    """Open a paused call again: another run with the answer, under the first run's key."""
    reopen(work, call, is_repetition=False, answer=answer)


def reopen(work: Work, call: ToolCall, *, is_repetition: bool, **changes: object) -> None:
    """Open a call again that is not open any more, under the key of its first run.

    Args:
        work: The transition.
        call: The call as it was.
        is_repetition: Whether the tool is run once more from its beginning.
        **changes: Other fields of the call that differ.
    """
    again: dict[str, object] = {
        "id": work.new_id(),  # so that a late outcome of the run before changes nothing
        "key": call.key or call.id,
        "started": False,
        "attempt": call.attempt if is_repetition else max(call.attempt - 1, 0),
    }
    work.call_tool(call.model_copy(update=again | changes))


def set_result(
    work: Work,
    task_id: str,
    call_id: str,
    content: str,
    *,
    has_run: bool = False,
    is_error: bool = False,
) -> None:
    """Note a call's result; with the round's last one the conversation goes on.

    Args:
        work: The transition.
        task_id: The task.
        call_id: The model's id of the call.
        content: What the model is told.
        has_run: Whether that comes from a tool, and not from a person or from here.
        is_error: Whether it tells of a failure.
    """
    _note_result(work, task_id, call_id, content, has_run=has_run, is_error=is_error)
    _close_round(work, task_id)


def advise(work: Work, task_id: str, advice: str) -> None:
    """Tell the model something in a task's conversation."""
    _append(work, task_id, {"role": "user", "content": advice})


def open_tool_call(
    work: Work, task_id: str, pending: PendingCall, *, approved: bool = False, grant: str = ""
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
            grant=grant,
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


def note_run(work: Work, call: ToolCall, content: str) -> None:
    """Remember what a tool did, for the next attempt, and what it gave, against repetitions.

    Args:
        work: The transition.
        call: The call.
        content: What it gave, or that this is not known.
    """
    run = work.run(call.task_id)
    pending = next((c for c in run.calls if c.call_id == call.call_id), None)
    if pending is not None:
        did = (*run.did, permits.line_of(pending, content))
        work.change_run(call.task_id, did=did, seen=permits.seen_with(run, pending, content))


def as_json(value: Mapping[str, Any]) -> str:  # Any: JSON
    """Write a JSON object as text."""
    return json.dumps(value, ensure_ascii=False)


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


def _open_round(work: Work, task_id: str, calls: list[AskedCall], event: ModelReturned) -> None:
    run, policies = work.run(task_id), event.policies
    if run.rounds >= work.snapshot.limits.max_tool_rounds:
        error = f"The model was still calling tools after {run.rounds} rounds."
        work.end_task(task_id, TaskStatus.FAILED, error=error)
        return
    pending = tuple(_pending(work, call, event) for call in calls)
    work.change_run(task_id, calls=pending, rounds=run.rounds + 1, attempts=0)
    for call in pending:
        if call.result is None:
            policy, wants = policies.get(call.name), event.needs_approval
            is_gated = policy is not None and policy.requires_approval
            needs_approval = is_gated if wants is None else call.call_id in wants
            _open_call(work, task_id, call, policy, needs_approval=needs_approval)
    _close_round(work, task_id)


def _pending(work: Work, call: AskedCall, event: ModelReturned) -> PendingCall:
    """Return a call of the new round; with its result already, if it cannot be run at all."""
    policy = event.policies.get(call.name, ToolPolicy())
    refusal = call.refusal
    if event.finish_reason in _NOT_FINISHED:
        refusal = prompts.CUT_CALL if event.finish_reason == "length" else prompts.WITHHELD_CALL
    elif not (work.snapshot.human_in_loop and call.name in human_tools.NAMES):
        refusal = refusal or permits.unknown_tool(call.name, event.policies)
    return PendingCall(
        call_id=call.call_id,
        name=call.name,
        arguments=call.arguments,
        effect=policy.effect,
        source=policy.source,
        is_trusted=policy.is_trusted,
        result=as_json({"error": refusal}) if refusal else None,
    )


def _open_call(
    work: Work, task_id: str, call: PendingCall, policy: ToolPolicy | None, *, needs_approval: bool
) -> None:
    if call.name in human_tools.NAMES and work.snapshot.human_in_loop:
        _ask_person(work, task_id, call)
        return
    run = work.run(task_id)
    permit = permits.permit(work.snapshot, run, call, policy, needs_approval=needs_approval)
    if permit.is_unplanned:
        asked = permit.word == "ask"
        work.emit(ToolUnplanned(task_id=task_id, call_id=call.call_id, name=call.name, asked=asked))
    if permit.word == "run":
        open_tool_call(work, task_id, call)
    elif permit.word == "ask":
        request = permits.approval(
            call,
            interaction_id=work.new_id(),
            task_id=task_id,
            is_unplanned=permit.is_unplanned,
            grant=permits.grant_of(call, work.snapshot.definitions),
        )
        work.ask(request)
    else:
        _note_result(work, task_id, call.call_id, as_json({"error": permit.refusal}))


def _ask_person(work: Work, task_id: str, call: PendingCall) -> None:
    asked = human_tools.interaction(
        call.name,
        call.arguments,
        work.snapshot.dialog_options,
        interaction_id=work.new_id(),
        task_id=task_id,
        call_id=call.call_id,
        earlier=work.snapshot.interactions,
    )
    if isinstance(asked, Interaction):
        work.ask(asked)
    else:
        _note_result(work, task_id, call.call_id, asked)


def _note_result(
    work: Work,
    task_id: str,
    call_id: str,
    content: str,
    *,
    has_run: bool = False,
    is_error: bool = True,
) -> None:
    changes = {"result": content, "has_run": has_run, "is_error": is_error}
    calls = tuple(
        c.model_copy(update=changes) if c.call_id == call_id else c for c in work.run(task_id).calls
    )
    work.change_run(task_id, calls=calls)


def _close_round(work: Work, task_id: str) -> None:
    """Give the results to the model, once the round's last one is there."""
    run = work.run(task_id)
    if not run.calls or any(call.result is None for call in run.calls):
        return
    if any(call.has_run and not call.is_trusted for call in run.calls):
        work.update(read_untrusted=True)
    _append(work, task_id, *(_told(work, call) for call in run.calls))
    work.change_run(task_id, calls=())
    first = run.calls[0]
    if run.planned is not None and run.rounds == 0 and first.has_run and not first.is_error:
        work.change_run(task_id, result_source=(first.name, first.source))
        work.end_task(task_id, TaskStatus.COMPLETED, result=first.result)
    else:
        compaction.go_on(work, task_id)


def _told(work: Work, call: PendingCall) -> dict[str, Any]:
    """The message by which the model gets a result; what comes from a tool is marked as data."""
    content = str(call.result)
    if call.has_run:
        tag = defence.tag_of(work.snapshot)
        content = defence.marked(content, name=call.name, source=call.source, tag=tag)
    return {"role": "tool", "tool_call_id": call.call_id, "content": content}

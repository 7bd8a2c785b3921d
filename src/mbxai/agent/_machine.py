"""The agent's machine: `advance(snapshot, event) -> (snapshot, commands, events)`.

Pure and synchronous: no clock, no random numbers, no I/O; ids come from the agent id and a sequence
number. `_ON_INPUT` names the handler of each input and `_ON_ANSWER` of each step's answer; after
every input `tasks.settle` starts what can start and finds the state to rest in. An input that names
a call which is not open (it came twice, or too late) changes nothing.

    ANALYZING_REQUIREMENT -> ANALYZING_TOOLS -> GENERATING_TODO -> EXECUTING_TASKS
        -> EVALUATING_GOAL -> COMPLETED
    EVALUATING_GOAL -> GENERATING_TODO        goal not reached: a new round, finished work is kept
    EXECUTING_TASKS <-> WAITING_FOR_HUMAN     nothing can go on until a person answers
    any -> FAILED                             and back, when a failed step is tried again
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import mbxai.agent._answers as answers
import mbxai.agent._plan as plan
import mbxai.agent._prompts as prompts
import mbxai.agent._tasks as tasks
from mbxai.agent._drafts import EvaluationDraft, RequirementDraft, TodoDraft, ToolAnalysisDraft
from mbxai.agent._events import AgentEvent, AnswerRejected, GoalEvaluated, PlanChanged, StateChanged
from mbxai.agent._inputs import (
    Continued,
    FinalStructureChanged,
    HumanAnswered,
    Input,
    ModelFailed,
    ModelRejected,
    ModelReturned,
    ToolReturned,
    ToolStarted,
    TurnStarted,
)
from mbxai.agent._plan_models import GoalEvaluation, RequirementAnalysis, TaskStatus, TodoList
from mbxai.agent._result_models import AgentFailure, AgentState
from mbxai.agent._snapshot import AgentSnapshot, ModelCall, ModelStep, TaskRun, ToolCall
from mbxai.agent._work import Work


class Advance(NamedTuple):
    """What one input led to.

    Attributes:
        snapshot: The new state.
        commands: Calls that the input opened; they also stand in `snapshot.calls`.
        events: What observers see, in order.
    """

    snapshot: AgentSnapshot
    commands: tuple[ModelCall | ToolCall, ...]
    events: tuple[AgentEvent, ...]


def advance(snapshot: AgentSnapshot, event: Input) -> Advance:
    """Apply one input to a session's state.

    Args:
        snapshot: The state; not changed.
        event: What happened.

    Returns:
        The new state, the calls to make now, and what to tell observers.

    Raises:
        InteractionNotFoundError: An answer names a request that the session does not have.
        InteractionMismatchError: An answer does not fit its request.
    """
    work = Work(snapshot)
    _ON_INPUT[type(event)](work, event)
    tasks.settle(work)
    before = {call.id for call in snapshot.calls}
    commands = tuple(call for call in work.snapshot.calls if call.id not in before)
    return Advance(work.snapshot, commands, tuple(work.events))


# --- inputs ---------------------------------------------------------------------------------------


def _turn_started(work: Work, event: TurnStarted) -> None:
    before = work.snapshot
    work.update(
        turn=before.turn + 1,
        nonce=before.nonce or event.nonce,
        original_prompt=before.original_prompt or event.prompt,
        prompt=event.prompt,
        final_response_structure=event.final_response_structure,
        human_in_loop=event.human_in_loop,
        dialog_options=event.dialog_options,
        tools=event.tools,
        limits=event.limits,
        conversation_history=(
            *before.conversation_history,
            {"role": "user", "content": event.prompt},
        ),
        requirement_analysis=None,
        tool_analysis=None,
        todo_list=None,
        runs={},
        calls=(),
        interactions=(),
        human_context=(),
        iteration_count=0,
        replans=0,
        goal_evaluation=None,
        final_response=None,
        error=None,
        state=AgentState.ANALYZING_REQUIREMENT,
    )
    work.emit(StateChanged(state=AgentState.ANALYZING_REQUIREMENT))
    work.call_model(ModelStep.REQUIREMENT)


def _continued(work: Work, _event: Continued) -> None:
    work.update(error=None)
    for call in work.snapshot.calls:
        if isinstance(call, ToolCall) and call.started:
            tasks.resolve_interrupted(work, call)
    if work.snapshot.state is AgentState.FAILED:
        steps = (c.step for c in work.snapshot.calls if isinstance(c, ModelCall))
        step = next((s for s in steps if s is not ModelStep.TASK), ModelStep.TASK)
        work.enter(_STATE_OF[step])


def _final_structure_changed(work: Work, event: FinalStructureChanged) -> None:
    work.update(final_response_structure=event.final_response_structure)


def _model_returned(work: Work, event: ModelReturned) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ModelCall):
        asked = call.step is ModelStep.TASK and tasks.asks_person(event.value)
        work.count(call, event.usage, asked_person=asked)
        _ON_ANSWER[call.step](work, call, event)


def _model_rejected(work: Work, event: ModelRejected) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ModelCall):
        work.count(call, event.usage)
        _reject(work, call, event.problems, event.error_type)


def _model_failed(work: Work, event: ModelFailed) -> None:
    call = next((c for c in work.snapshot.calls if c.id == event.call_id), None)
    if isinstance(call, ModelCall) and work.snapshot.error is None:
        work.fail(
            AgentFailure(
                type=event.error_type,
                message=event.message,
                step=call.step,
                retryable=event.retryable,
            )
        )


def _tool_started(work: Work, event: ToolStarted) -> None:
    work.update(
        calls=tuple(
            call.model_copy(update={"started": True, "attempt": call.attempt + 1})
            if isinstance(call, ToolCall) and call.id in event.call_ids
            else call
            for call in work.snapshot.calls
        )
    )


def _tool_returned(work: Work, event: ToolReturned) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ToolCall):
        tasks.tool_returned(work, call, event.content, is_error=event.is_error)


def _human_answered(work: Work, event: HumanAnswered) -> None:
    answers.apply(work, event.interaction_id, event.answer)


# --- answers of the model, by step ----------------------------------------------------------------


def _on_requirement(work: Work, _call: ModelCall, event: ModelReturned) -> None:
    draft = RequirementDraft.model_validate(event.value)
    work.update(requirement_analysis=RequirementAnalysis.model_validate(draft.model_dump()))
    work.enter(AgentState.ANALYZING_TOOLS)
    work.call_model(ModelStep.TOOLS)


def _on_tools(work: Work, _call: ModelCall, event: ModelReturned) -> None:
    draft = ToolAnalysisDraft.model_validate(event.value)
    work.update(tool_analysis=plan.tool_analysis(draft, list(event.policies)))
    work.enter(AgentState.GENERATING_TODO)
    work.call_model(ModelStep.PLAN)


def _on_plan(work: Work, call: ModelCall, event: ModelReturned) -> None:
    draft = TodoDraft.model_validate(event.value)
    finished = {
        work.run(task.id).key: task.id
        for task in work.tasks()
        if task.status is TaskStatus.COMPLETED or work.run(task.id).skipped_by_person
    }
    problems = plan.plan_problems(draft, finished)
    if problems and call.attempt < work.snapshot.limits.max_answer_attempts:
        _reject(work, call, tuple(problems), "PlanError")
        return
    draft, repairs = plan.repaired_plan(draft, finished)
    ids = [work.new_id() for _ in draft.tasks]
    planned = plan.planned_tasks(draft, ids, finished, list(event.policies))
    work.update(
        todo_list=TodoList(
            tasks=[*work.tasks(), *(task for _key, task in planned)],
            estimated_total_time=draft.estimated_total_time,
        ),
        runs={**work.snapshot.runs, **{task.id: TaskRun(key=key) for key, task in planned}},
    )
    if work.snapshot.todo_list:
        work.emit(PlanChanged(todo_list=work.snapshot.todo_list, repairs=tuple(repairs)))
    work.enter(AgentState.EXECUTING_TASKS)


def _on_evaluation(work: Work, _call: ModelCall, event: ModelReturned) -> None:
    draft = EvaluationDraft.model_validate(event.value)
    evaluation = GoalEvaluation.model_validate(draft.model_dump())
    work.update(goal_evaluation=evaluation)
    work.emit(GoalEvaluated(evaluation=evaluation))
    if evaluation.goal_achieved:
        tasks.skip_pending(work, "The goal was reached without it.")
        work.call_model(ModelStep.FINAL)
    elif work.snapshot.replans < work.snapshot.limits.max_replans:
        _replan(work)
    else:
        message = f"The goal is not reached ({evaluation.completion_percentage} %): "
        message += "; ".join(evaluation.remaining_criteria) or evaluation.feedback
        work.fail(AgentFailure(type="GoalNotReached", message=message, step=ModelStep.EVALUATION))


def _replan(work: Work) -> None:
    """Go on with what is still planned; only if nothing is, ask for new tasks."""
    work.update(replans=work.snapshot.replans + 1, iteration_count=0)
    if any(task.status is TaskStatus.PENDING for task in work.tasks()):
        work.enter(AgentState.EXECUTING_TASKS)
    else:
        work.enter(AgentState.GENERATING_TODO)
        work.call_model(ModelStep.PLAN)


def _on_final(work: Work, _call: ModelCall, event: ModelReturned) -> None:
    value = dict(event.value)
    answer = {"role": "assistant", "content": tasks.as_json(value)}
    work.update(
        final_response=value,
        conversation_history=(*work.snapshot.conversation_history, answer),
    )
    work.enter(AgentState.COMPLETED)


def _reject(work: Work, call: ModelCall, problems: tuple[str, ...], error_type: str) -> None:
    """Ask again with feedback; past the bound the task, or the run, fails."""
    if call.attempt < work.snapshot.limits.max_answer_attempts:
        work.emit(AnswerRejected(step=call.step, problems=problems))
        if call.task_id is not None:
            tasks.advise(work, call.task_id, prompts.unusable_answer(problems))
        work.call_model(
            call.step, task_id=call.task_id, attempt=call.attempt + 1, feedback=problems
        )
        return
    message = f"The model's answer could not be used {call.attempt} times: {'; '.join(problems)}"
    if call.task_id is not None:
        work.end_task(call.task_id, TaskStatus.FAILED, error=message)
        return
    work.call_model(call.step)
    work.fail(AgentFailure(type=error_type, message=message, step=call.step, retryable=True))


_STATE_OF = {
    ModelStep.REQUIREMENT: AgentState.ANALYZING_REQUIREMENT,
    ModelStep.TOOLS: AgentState.ANALYZING_TOOLS,
    ModelStep.PLAN: AgentState.GENERATING_TODO,
    ModelStep.TASK: AgentState.EXECUTING_TASKS,
    ModelStep.EVALUATION: AgentState.EVALUATING_GOAL,
    ModelStep.FINAL: AgentState.EVALUATING_GOAL,
}

_ON_ANSWER: dict[ModelStep, Callable[[Work, ModelCall, ModelReturned], None]] = {
    ModelStep.REQUIREMENT: _on_requirement,
    ModelStep.TOOLS: _on_tools,
    ModelStep.PLAN: _on_plan,
    ModelStep.TASK: tasks.on_message,
    ModelStep.EVALUATION: _on_evaluation,
    ModelStep.FINAL: _on_final,
}

_ON_INPUT: dict[type, Callable[[Work, Any], None]] = {  # Any: each handler takes its own input
    TurnStarted: _turn_started,
    Continued: _continued,
    FinalStructureChanged: _final_structure_changed,
    ModelReturned: _model_returned,
    ModelRejected: _model_rejected,
    ModelFailed: _model_failed,
    ToolStarted: _tool_started,
    ToolReturned: _tool_returned,
    HumanAnswered: _human_answered,
}

"""The agent's machine: `advance(snapshot, event) -> (snapshot, commands, events)`.

Pure and synchronous: no clock, no random numbers, no I/O; ids come from the agent id and a sequence
number. `_transitions` has every change of state. `_ON_INPUT` names the handler of each input and
`_ON_ANSWER` of each step's answer; after every input `tasks.settle` starts what can start and finds
the state to rest in. An input that names a call which is not open (it came twice, or too late)
changes nothing.

    ANALYZING_REQUIREMENT -> ANALYZING_TOOLS -> GENERATING_TODO -> EXECUTING_TASKS
        -> EVALUATING_GOAL -> COMPLETED
    EVALUATING_GOAL -> GENERATING_TODO        goal not reached: a new round, finished work is kept
    EXECUTING_TASKS <-> WAITING_FOR_HUMAN     nothing can go on until a person answers
    EVALUATING_GOAL <-> WAITING_FOR_HUMAN     not reached in the last round: a person decides
    any -> FAILED                             and back, when a failed step is tried again
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import mbxai.agent.machine._answers as answers
import mbxai.agent.machine._compaction as compaction
import mbxai.agent.machine._completion as completion
import mbxai.agent.machine._conclusion as conclusion
import mbxai.agent.machine._deadlines as deadlines
import mbxai.agent.machine._definition as definition
import mbxai.agent.machine._planning as planning
import mbxai.agent.machine._recovery as recovery
import mbxai.agent.machine._rejections as rejections
import mbxai.agent.machine._rounds as rounds
import mbxai.agent.machine._tasks as tasks
import mbxai.agent.machine._transitions as transitions
from mbxai.agent._events import AgentEvent, AnswerRejected, StateChanged
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentFailure, AgentState, TokenUsage
from mbxai.agent.machine._inputs import (
    ApprovalVoided,
    Continued,
    DefinitionSeen,
    FinalStructureChanged,
    HumanAnswered,
    Input,
    ModelFailed,
    ModelRejected,
    ModelReturned,
    Ticked,
    ToolAsked,
    ToolReconciled,
    ToolReturned,
    ToolStarted,
    TurnCancelled,
    TurnStarted,
)
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ModelStep, ToolCall
from mbxai.agent.machine._work import Work

_REQUESTS: Final = 32
_CANCELLED: Final = "The run was cancelled."


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
        InteractionExpiredError: An answer came after its request's deadline.
    """
    work = Work(snapshot, event.now)
    _ON_INPUT[type(event)](work, event)
    tasks.settle(work)
    before = {call.id for call in snapshot.calls}
    commands = tuple(call for call in work.snapshot.calls if call.id not in before)
    return Advance(work.snapshot, commands, tuple(work.events))


# --- inputs ---------------------------------------------------------------------------------------


def _turn_started(work: Work, event: TurnStarted) -> None:
    before = work.snapshot
    transitions.check(before.state, AgentState.ANALYZING_REQUIREMENT)
    work.update(
        turn=before.turn + 1,
        nonce=before.nonce or event.nonce,
        requests=(*before.requests, event.request)[-_REQUESTS:]
        if event.request
        else before.requests,
        original_prompt=before.original_prompt or event.prompt,
        prompt=event.prompt,
        final_response_structure=event.final_response_structure,
        human_in_loop=event.human_in_loop,
        dialog_options=event.dialog_options,
        tools=event.tools,
        definitions=event.definitions,
        limits=event.limits,
        traceparent=event.traceparent,
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
        draft_response=None,
        draft_feedback="",
        quality_checks=0,
        read_untrusted=False,
        named_tools=None,
        error=None,
        state=AgentState.ANALYZING_REQUIREMENT,
    )
    work.emit(StateChanged(state=AgentState.ANALYZING_REQUIREMENT))
    compaction.begin_turn(work)


def _continued(work: Work, event: Continued) -> None:
    work.update(error=None)
    recovery.resolve(work, event.reconcilable)
    if work.snapshot.state is AgentState.FAILED:
        # A call of no task is the only one, and says where the run stood.
        alone = (c for c in work.snapshot.calls if isinstance(c, ModelCall) and c.task_id is None)
        call = next(alone, None)
        step = ModelStep.TASK if call is None else call.step
        is_beginning = call is not None and step is ModelStep.COMPACTION
        work.enter(AgentState.ANALYZING_REQUIREMENT if is_beginning else _STATE_OF[step])


def _final_structure_changed(work: Work, event: FinalStructureChanged) -> None:
    work.update(final_response_structure=event.final_response_structure)
    completion.forget(work)


def _model_returned(work: Work, event: ModelReturned) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ModelCall):
        asked = (
            call.step is ModelStep.TASK
            and work.snapshot.human_in_loop
            and rounds.asks_person(event.value)
        )
        work.update(model=event.model or work.snapshot.model, failures=0)
        work.count(call, event, asked_person=asked)
        _ON_ANSWER[call.step](work, call, event)


def _model_rejected(work: Work, event: ModelRejected) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ModelCall):
        work.count(call, event)
        rejections.reject(work, call, event.problems, event.error_type)


def _model_failed(work: Work, event: ModelFailed) -> None:
    call = next((c for c in work.snapshot.calls if c.id == event.call_id), None)
    if not isinstance(call, ModelCall):
        return
    if event.usage != TokenUsage():
        work.count(call, event)
    if work.snapshot.error is not None:
        return
    if call.step is ModelStep.COMPACTION and not event.retryable:
        # The run can do without a summary, as where the text to be summed up is too long itself.
        work.close_call(call.id)
        compaction.give_up(work, call)
    elif work.snapshot.draft_response is not None and not event.retryable:
        # It could neither be judged nor improved; the one that there is fits.
        work.close_call(call.id)
        work.emit(AnswerRejected(step=call.step, problems=(event.message,)))
        completion.complete(work)
    else:
        if call.task_id is not None and not event.retryable:
            # The run is over: none of its tasks is in progress or still to come.
            work.end_task(call.task_id, TaskStatus.FAILED, error=event.message)
            tasks.skip_all(work, "The run failed in another task.")
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
            _as_started(call, event.now)
            if isinstance(call, ToolCall) and call.id in event.call_ids and not call.started
            else call
            for call in work.snapshot.calls
        )
    )


def _as_started(call: ToolCall, now: float) -> ToolCall:
    # What a tool is asked of its last run leaves the time of that run as it is.
    began = call.started_at if call.reconciles else (now or None)
    changes = {"started": True, "started_at": began, "attempt": call.attempt + 1}
    return call.model_copy(update=changes)


def _tool_returned(work: Work, event: ToolReturned) -> None:
    call = work.close_call(event.call_id)
    if not isinstance(call, ToolCall):
        return
    if call.reconciles:
        recovery.ask_or_tell(work, call)  # it was to say what its last run did, and did not
        return
    rounds.tool_returned(
        work,
        call,
        event.content,
        is_error=event.is_error,
        has_run=event.has_run,
        seconds=event.seconds,
    )


def _tool_asked(work: Work, event: ToolAsked) -> None:
    call = work.close_call(event.call_id)
    if isinstance(call, ToolCall):
        rounds.tool_asked(work, call, event.question)


def _turn_cancelled(work: Work, _event: TurnCancelled) -> None:
    if not work.snapshot.can_be_cancelled:
        return
    begun = [c.name for c in work.snapshot.calls if isinstance(c, ToolCall) and c.started]
    unknown = f" The outcome of {', '.join(begun)} is not known." if begun else ""
    tasks.skip_all(work, _CANCELLED)
    work.fail(AgentFailure(type="Cancelled", message=_CANCELLED + unknown))


def _human_answered(work: Work, event: HumanAnswered) -> None:
    answers.apply(work, event.interaction_id, event.answer)


_STATE_OF = {
    ModelStep.REQUIREMENT: AgentState.ANALYZING_REQUIREMENT,
    ModelStep.TOOLS: AgentState.ANALYZING_TOOLS,
    ModelStep.PLAN: AgentState.GENERATING_TODO,
    ModelStep.PLANNING: AgentState.ANALYZING_REQUIREMENT,
    ModelStep.TASK: AgentState.EXECUTING_TASKS,
    ModelStep.EVALUATION: AgentState.EVALUATING_GOAL,
    ModelStep.CONCLUSION: AgentState.EVALUATING_GOAL,
    ModelStep.FINAL: AgentState.EVALUATING_GOAL,
    ModelStep.QUALITY: AgentState.EVALUATING_GOAL,
    ModelStep.COMPACTION: AgentState.EXECUTING_TASKS,
}

_ON_ANSWER: dict[ModelStep, Callable[[Work, ModelCall, ModelReturned], None]] = {
    ModelStep.REQUIREMENT: planning.on_requirement,
    ModelStep.TOOLS: planning.on_tools,
    ModelStep.PLAN: planning.on_plan,
    ModelStep.PLANNING: planning.on_planning,
    ModelStep.TASK: rounds.on_message,
    ModelStep.COMPACTION: compaction.on_summary,
    ModelStep.EVALUATION: conclusion.on_evaluation,
    ModelStep.CONCLUSION: conclusion.on_conclusion,
    ModelStep.FINAL: conclusion.on_final,
    ModelStep.QUALITY: conclusion.on_quality,
}

_ON_INPUT: dict[type, Callable[[Work, Any], None]] = {  # Any: each handler takes its own input
    TurnStarted: _turn_started,
    Continued: _continued,
    FinalStructureChanged: _final_structure_changed,
    ModelReturned: _model_returned,
    ModelRejected: _model_rejected,
    ModelFailed: _model_failed,
    ToolStarted: _tool_started,
    DefinitionSeen: definition.seen,
    ToolReturned: _tool_returned,
    ToolReconciled: recovery.reconciled,
    ApprovalVoided: definition.voided,
    ToolAsked: _tool_asked,
    HumanAnswered: _human_answered,
    Ticked: deadlines.ticked,
    TurnCancelled: _turn_cancelled,
}

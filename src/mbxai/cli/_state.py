"""What a view of a run knows: one frozen state, reduced from the run's events. Pure."""

from dataclasses import dataclass, field, replace
from typing import Final

from mbxai.agent.events import (
    AgentEvent,
    AnswerRejected,
    BudgetReached,
    ContextCompacted,
    CredentialConcealed,
    GoalEvaluated,
    HumanExpired,
    HumanRequested,
    HumanResolved,
    PlanChanged,
    QuestionRefused,
    ResponseDelta,
    ResponseJudged,
    RunFailed,
    StateChanged,
    TaskChanged,
    ToolCalled,
    ToolEnded,
    ToolProgressed,
    ToolsChanged,
    ToolUnplanned,
    UsageAdded,
)
from mbxai.agent.models import (
    AgentResponse,
    AgentState,
    GoalEvaluation,
    HumanInLoopRequest,
    Task,
    TokenUsage,
)

PHASES: Final = (
    AgentState.ANALYZING_REQUIREMENT,
    AgentState.ANALYZING_TOOLS,
    AgentState.GENERATING_TODO,
    AgentState.EXECUTING_TASKS,
    AgentState.EVALUATING_GOAL,
    AgentState.COMPLETED,
)
"""The six steps, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A tool call that has not ended.

    Attributes:
        arguments: JSON text; holds handles, never credentials.
    """

    call_id: str
    task_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run as a person sees it.

    Attributes:
        goal: What the person asked for; empty where a session goes on.
        model: Name of the model.
        phase: The step that the run is in, or was in when it came to rest: one of `PHASES`.
        state: The state as the agent names it; None before the first event.
        tasks: The plan, in order.
        running_tools: Tool calls that have not ended, oldest first.
        tool_calls: How many tool calls have ended.
        requests: What people are asked now, oldest first.
        usage: Tokens and cost so far, of the whole session.
        note: The last thing worth a remark: an answer that did not fit, a plan that was mended.
        evaluation: How far the goal is reached, as last judged.
        error: Why the run failed; empty if it did not.
        is_stopped: Whether the run was stopped before it came to rest.
    """

    goal: str = ""
    model: str = ""
    phase: AgentState = AgentState.ANALYZING_REQUIREMENT
    state: AgentState | None = None
    tasks: tuple[Task, ...] = ()
    running_tools: tuple[ToolRun, ...] = ()
    tool_calls: int = 0
    requests: tuple[HumanInLoopRequest, ...] = ()
    usage: TokenUsage = field(default_factory=TokenUsage)
    note: str = ""
    evaluation: GoalEvaluation | None = None
    error: str = ""
    is_stopped: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the run goes on by itself."""
        return not self.is_stopped and self.state not in {
            AgentState.COMPLETED,
            AgentState.FAILED,
            AgentState.WAITING_FOR_HUMAN,
        }

    def task_title(self, task_id: str | None) -> str:
        """Return a task's title; empty if the plan has no such task."""
        return next((task.title for task in self.tasks if task.id == task_id), "")


def resumed(response: AgentResponse, *, goal: str, model: str) -> RunState:
    """Return the view's state of a session that exists already.

    Args:
        response: The session's state.
        goal: What the person asked for now.
        model: Name of the model.
    """
    state = response.state
    return RunState(
        goal=goal,
        model=model,
        phase=state if state in PHASES else AgentState.EXECUTING_TASKS,
        state=state,
        tasks=tuple(response.todo_list.tasks if response.todo_list else ()),
        requests=tuple(response.human_interaction_requests),
        usage=response.token_summary.total(),
        evaluation=response.goal_evaluation,
        error=response.error.message if response.error else "",
    )


def reduce(state: RunState, event: AgentEvent) -> RunState:
    """Return the state after an event.

    Args:
        state: The state before; not changed.
        event: What happened.
    """
    match event:
        case StateChanged():
            return _entered(state, event.state)
        case PlanChanged():
            return replace(state, tasks=tuple(event.todo_list.tasks), note="; ".join(event.repairs))
        case TaskChanged():
            tasks = [event.task if task.id == event.task.id else task for task in state.tasks]
            return replace(state, tasks=tuple(tasks))
        case UsageAdded():
            return replace(state, usage=state.usage + event.usage)
        case GoalEvaluated():
            return replace(state, evaluation=event.evaluation)
        case RunFailed():
            return replace(state, error=event.error.message)
        case ToolCalled() | ToolEnded() | HumanRequested() | HumanResolved() | HumanExpired():
            return _interactive(state, event)
        case _:
            return replace(state, note=_remark(event))


def _interactive(
    state: RunState,
    event: ToolCalled | ToolEnded | HumanRequested | HumanResolved | HumanExpired,
) -> RunState:
    match event:
        case ToolCalled():
            run = ToolRun(
                call_id=event.call_id,
                task_id=event.task_id,
                name=event.name,
                arguments=event.arguments,
            )
            return replace(state, running_tools=(*state.running_tools, run), note="")
        case ToolEnded():
            ended = (event.task_id, event.call_id)
            left = [run for run in state.running_tools if (run.task_id, run.call_id) != ended]
            return replace(state, running_tools=tuple(left), tool_calls=state.tool_calls + 1)
        case HumanRequested():
            return replace(state, requests=(*state.requests, event.request))
        case HumanResolved() | HumanExpired():
            left_requests = [r for r in state.requests if r.id != event.interaction_id]
            return replace(state, requests=tuple(left_requests))


_Remarkable = (
    AnswerRejected
    | BudgetReached
    | ContextCompacted
    | CredentialConcealed
    | QuestionRefused
    | ResponseDelta
    | ResponseJudged
    | ToolProgressed
    | ToolsChanged
    | ToolUnplanned
)


def _remark(event: _Remarkable) -> str:
    match event:
        case AnswerRejected():
            return f"asked again: {'; '.join(event.problems)}"
        case BudgetReached():
            return event.message
        case ContextCompacted():
            return "a long conversation was summed up"
        case CredentialConcealed():
            return "an answer held a credential, which is kept apart"
        case QuestionRefused():
            return f"{event.source or event.name} may not ask: {event.reason}"
        case ResponseDelta():
            return "the final response is being written"
        case ResponseJudged():
            return "" if event.is_good else f"improving the final response: {event.feedback}"
        case ToolProgressed():
            return f"{event.name}: {event.message}"
        case ToolsChanged() | ToolUnplanned():
            return _about_tools(event)


def _about_tools(event: ToolsChanged | ToolUnplanned) -> str:
    if isinstance(event, ToolUnplanned):
        return f"{event.name} is called, which the plan did not name"
    names = (*event.added, *event.removed, *event.changed)
    return f"it goes on with other tools: {', '.join(names)}"


def _entered(state: RunState, entered: AgentState) -> RunState:
    if entered is AgentState.ANALYZING_REQUIREMENT:  # a new turn
        state = RunState(goal=state.goal, model=state.model, usage=state.usage)
    if entered is AgentState.FAILED:
        state = replace(state, running_tools=(), requests=())
    phase = entered if entered in PHASES else state.phase
    return replace(state, state=entered, phase=phase, note="")

"""A run as plain lines and as JSON lines, for pipes, logs and other programs. Pure."""

import json
from typing import Final

from pydantic import BaseModel

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
from mbxai.agent.models import AgentResponse, HumanInLoopRequest, Task
from mbxai.cli._state import RunState
from mbxai.cli._text import dollars, one_line, tokens

_ARGUMENTS: Final = 200  # characters of a tool call's arguments


def event_line(event: AgentEvent, state: RunState) -> str:
    """Return an event as one line of text: a word, then what happened.

    Args:
        event: What happened.
        state: The run after the event.

    Returns:
        The line; empty for a piece of the final response, which is shown as a whole.
    """
    match event:
        case StateChanged():
            return _line("phase", event.state.replace("_", " "))
        case PlanChanged():
            count = len(event.todo_list.tasks)
            mended = f"; mended: {'; '.join(event.repairs)}" if event.repairs else ""
            return _line("plan", f"{count} task{'' if count == 1 else 's'}{mended}")
        case TaskChanged():
            return _line("task", _task(event.task))
        case UsageAdded():
            total = f"{tokens(state.usage.total_tokens)}, {dollars(state.usage.cost_usd)}"
            return _line("usage", f"{total} so far")
        case ToolCalled() | ToolProgressed() | ToolEnded() | ToolUnplanned():
            return _line("tool", _tool(event))
        case ToolsChanged():
            return _line("tools", changed_tools(event))
        case AnswerRejected() | ContextCompacted() | ResponseJudged() | ResponseDelta():
            return _remark_line(event)
        case GoalEvaluated() | BudgetReached() | RunFailed():
            return _outcome_line(event)
        case _:
            return _line("asks", _interaction(event))


def changed_tools(event: ToolsChanged) -> str:
    """Return in words how the tools differ from those of before.

    Args:
        event: What happened.
    """
    parts = {"new": event.added, "gone": event.removed, "changed": event.changed}
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in parts.items() if names)


def _tool(event: ToolCalled | ToolProgressed | ToolEnded | ToolUnplanned) -> str:
    match event:
        case ToolCalled():
            return f"{event.name} {one_line(event.arguments, _ARGUMENTS)}"
        case ToolProgressed():
            done = "" if event.fraction is None else f" {event.fraction:.0%}"
            return f"{event.name}{done} {event.message}"
        case ToolEnded():
            return f"{event.name} {'failed' if event.is_error else 'done'}"
        case ToolUnplanned():
            return (
                f"{event.name} is not planned, {'a person is asked' if event.asked else 'refused'}"
            )


def _remark_line(
    event: AnswerRejected | ContextCompacted | ResponseJudged | ResponseDelta,
) -> str:
    match event:
        case AnswerRejected():
            return _line("again", f"{event.step}: {'; '.join(event.problems)}")
        case ContextCompacted():
            return _line("memory", f"{tokens(event.before_tokens)} are summed up")
        case ResponseJudged():
            verdict = "good as it is" if event.is_good else f"to be improved: {event.feedback}"
            return _line("quality", verdict)
        case ResponseDelta():
            return ""


def _outcome_line(event: GoalEvaluated | BudgetReached | RunFailed) -> str:
    match event:
        case GoalEvaluated():
            evaluation = event.evaluation
            outcome = "reached" if evaluation.goal_achieved else "not reached"
            return _line("goal", f"{outcome}, {evaluation.completion_percentage} %")
        case BudgetReached():
            return _line("budget", event.message)
        case RunFailed():
            return _line("failed", event.error.message)


def _interaction(
    event: HumanRequested | HumanResolved | HumanExpired | CredentialConcealed | QuestionRefused,
) -> str:
    match event:
        case HumanRequested():
            return event.request.prompt
        case HumanResolved():
            return "answered"
        case HumanExpired():
            return f"nobody answered in time: {event.action}"
        case CredentialConcealed():
            return "the answer held a credential, which is kept apart"
        case QuestionRefused():
            return f"{event.source or event.name}, declined: {event.reason}"


def plan_lines(state: RunState) -> list[str]:
    """Return the plan, one line a task."""
    return [_line("task", _task(task)) for task in state.tasks]


def event_json(event: AgentEvent) -> str:
    """Return an event as one line of JSON; its `type` says which one it is."""
    return event.model_dump_json()


def outcome_json(response: AgentResponse) -> str:
    """Return how a run ended as one line of JSON of type `outcome`.

    Args:
        response: The state in which the run rests.
    """
    usage = response.token_summary.total()
    requests: list[HumanInLoopRequest] = response.human_interaction_requests
    return json.dumps(
        {
            "type": "outcome",
            "agent_id": response.agent_id,
            "state": response.state.value,
            "final_response": json_value(response.final_response),
            "human_interaction_requests": [r.model_dump(mode="json") for r in requests],
            "error": response.error.model_dump(mode="json") if response.error else None,
            "usage": usage.model_dump(mode="json"),
        },
        ensure_ascii=False,
    )


def pretty_json(value: object) -> str:
    """Return a final response as indented JSON."""
    return json.dumps(json_value(value), ensure_ascii=False, indent=2)


def json_value(value: object) -> object:
    """Return a final response as a JSON value."""
    return value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value


def _line(word: str, text: str) -> str:
    return f"{word:<7} {one_line(text)}"


def _task(task: Task) -> str:
    reason = f" ({task.error_message})" if task.error_message else ""
    return f"{task.status.replace('_', ' ')}: {task.title}{reason}"

"""A run as plain lines and as JSON lines, for pipes, logs and other programs. Pure."""

import json
from typing import Final

from pydantic import BaseModel

from mbxai.agent.events import (
    AgentEvent,
    AnswerRejected,
    GoalEvaluated,
    HumanRequested,
    HumanResolved,
    PlanChanged,
    RunFailed,
    StateChanged,
    TaskChanged,
    ToolCalled,
    ToolEnded,
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
        case AnswerRejected():
            return _line("again", f"{event.step}: {'; '.join(event.problems)}")
        case GoalEvaluated():
            evaluation = event.evaluation
            outcome = "reached" if evaluation.goal_achieved else "not reached"
            return _line("goal", f"{outcome}, {evaluation.completion_percentage} %")
        case RunFailed():
            return _line("failed", event.error.message)
        case _:
            return _interaction_line(event)


def _interaction_line(event: ToolCalled | ToolEnded | HumanRequested | HumanResolved) -> str:
    match event:
        case ToolCalled():
            return _line("tool", f"{event.name} {one_line(event.arguments, _ARGUMENTS)}")
        case ToolEnded():
            return _line("tool", f"{event.name} {'failed' if event.is_error else 'done'}")
        case HumanRequested():
            return _line("asks", event.request.prompt)
        case HumanResolved():
            return _line("asks", "answered")


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

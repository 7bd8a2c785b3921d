"""Sessions as text and as JSON. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mbxai.agent.models import AgentResponse, HumanInLoopRequest
from mbxai.cli._lines import json_value
from mbxai.cli._text import dollars, escaped, one_line, printable, tokens
from mbxai.sessions import SessionRecord, SessionSummary

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60))
_STATUS_WIDTH: Final = 22


def age(seconds: float) -> str:
    """Return a span of time in its largest whole unit, for example `3 h`."""
    for name, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{max(int(seconds), 0)} s"


def summary_line(session: SessionSummary, *, now: float, width: int) -> str:
    """Return a session of a list as one line: id, status, age, version.

    Args:
        session: The session.
        now: Seconds since the epoch.
        width: Columns of the id.
    """
    held = "  claimed" if session.is_claimed else ""
    since = age(now - session.updated_at)
    status = one_line(session.status) or "-"
    name = one_line(session.agent_id)
    line = f"{name:<{width}}  {status:<{_STATUS_WIDTH}}  {since:>7}"
    return f"{line}  version {session.version}{held}"


def summary_json(session: SessionSummary) -> str:
    """Return a session of a list as one line of JSON of type `session`."""
    return json_line(
        {
            "type": "session",
            "agent_id": session.agent_id,
            "scope": session.scope,
            "status": session.status,
            "version": session.version,
            "is_claimed": session.is_claimed,
            "created_at": session.created_at,
            "updated_at": session.updated_at,
        }
    )


def session_text(response: AgentResponse, record: SessionRecord) -> str:
    """Return a session's state as lines of text.

    Args:
        response: Its state.
        record: How it is stored.
    """
    usage = response.token_summary.total()
    lines = [
        _line("session", response.agent_id),
        _line("state", response.state.value.replace("_", " ")),
        _line("version", str(record.version)),
        _line("created", _time(record.created_at)),
        _line("saved", _time(record.updated_at)),
        _line("usage", f"{tokens(usage.total_tokens)}, {dollars(usage.cost_usd)}"),
    ]
    if response.requirement_analysis is not None:
        lines.append(_line("goal", response.requirement_analysis.goal))
    for task in response.todo_list.tasks if response.todo_list else ():
        reason = f" ({task.error_message})" if task.error_message else ""
        lines.append(_line("task", f"{task.status.replace('_', ' ')}: {task.title}{reason}"))
    for request in response.human_interaction_requests:
        lines += _request(request)
    if response.error is not None:
        lines.append(_line("failed", response.error.message))
    if response.final_response is not None:
        answer = json.dumps(json_value(response.final_response), ensure_ascii=False, indent=2)
        lines += [_line("answer", ""), escaped(answer)]
    return "\n".join(lines)


def session_json(response: AgentResponse, record: SessionRecord) -> str:
    """Return a session's state as one line of JSON of type `session`.

    Args:
        response: Its state.
        record: How it is stored.
    """
    requests: Sequence[HumanInLoopRequest] = response.human_interaction_requests
    tasks = response.todo_list.tasks if response.todo_list else []
    return json_line(
        {
            "type": "session",
            "agent_id": response.agent_id,
            "scope": record.scope,
            "state": response.state.value,
            "version": record.version,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "tasks": [task.model_dump(mode="json") for task in tasks],
            "human_interaction_requests": [request.model_dump(mode="json") for request in requests],
            "final_response": json_value(response.final_response),
            "error": response.error.model_dump(mode="json") if response.error else None,
            "usage": response.token_summary.total().model_dump(mode="json"),
        }
    )


def json_line(value: Mapping[str, object]) -> str:
    """Return a JSON object as one line; nothing in it steers a terminal."""
    return escaped(json.dumps(value, ensure_ascii=False))


def export_json(exported: Mapping[str, object], *, as_line: bool) -> str:
    """Return an exported session as JSON; nothing in it steers a terminal.

    Args:
        exported: The session.
        as_line: Whether it is one line.
    """
    return escaped(json.dumps(exported, ensure_ascii=False, indent=None if as_line else 2))


def tools_of(info: Mapping[str, Any]) -> list[str]:  # Any: JSON of the session
    """Return the names of the tools that a session has called, or is about to call.

    Args:
        info: The session's fields.
    """
    runs: dict[str, dict[str, Any]] = info["runs"]
    asked: list[dict[str, Any]] = info["interactions"]
    calls: list[dict[str, Any]] = [call for run in runs.values() for call in run["calls"]]
    calls += [interaction["paused"] for interaction in asked if interaction["paused"]]
    return sorted({str(call["name"]) for call in calls})


def _request(request: HumanInLoopRequest) -> list[str]:
    kind = request.interaction_type.value.replace("_", " ")
    lines = [_line("asks", f"{request.id} {kind}: {printable(request.prompt)}")]
    if request.options:
        lines.append(_line("", f"options: {', '.join(request.options)}"))
    if request.expires_at is not None:
        lines.append(_line("", f"until {request.expires_at:%Y-%m-%d %H:%M:%S} UTC"))
    return lines


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(word: str, text: str) -> str:
    return f"{word:<8} {one_line(text)}".rstrip()

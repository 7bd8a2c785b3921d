"""A run as HTML and as one line of text. Pure."""

from collections.abc import Iterator
from typing import Final

from mbxai._notebook import Markup, card, counted, listing, money, paragraph, tasks_table
from mbxai.agent.models import AgentState
from mbxai.cli._state import PHASES, RunState
from mbxai.cli._view import PHASE_NAMES

_ARGUMENTS: Final = 200  # characters of a tool call's arguments


def run_html(state: RunState) -> str:
    """Return a run as a person sees it in a cell.

    Args:
        state: The run.
    """
    return card("Agent run", _facts(state), *_body(state))


def run_text(state: RunState) -> str:
    """Return where a run stands, as one line.

    Args:
        state: The run.
    """
    return f"Agent run: {', '.join(filter(None, _facts(state)))}"


def _facts(state: RunState) -> list[str]:
    usage = state.usage
    return [
        _standing(state),
        counted(len(state.tasks), "task") if state.tasks else "",
        counted(state.tool_calls, "tool call") if state.tool_calls else "",
        counted(usage.total_tokens, "token") if usage.total_tokens else "",
        money(usage.cost_usd),
    ]


def _standing(state: RunState) -> str:
    if state.is_stopped:
        return "stopped"
    return (state.state or AgentState.ANALYZING_REQUIREMENT).replace("_", " ")


def _body(state: RunState) -> Iterator[Markup]:
    yield paragraph("  ".join(_phases(state)))
    yield tasks_table(state.tasks)
    running = [f"{run.name} {run.arguments[:_ARGUMENTS]}" for run in state.running_tools]
    yield listing("Running", running if state.is_running else ())
    yield listing("Open questions", [request.prompt for request in state.requests])
    yield paragraph(state.error)
    yield paragraph("" if state.state is AgentState.COMPLETED else state.note)


def _phases(state: RunState) -> Iterator[str]:
    now = PHASES.index(state.phase)
    for index, phase in enumerate(PHASES):
        if index < now or state.state is AgentState.COMPLETED:
            mark = "✓"
        elif index > now:
            mark = "○"
        else:
            mark = _now(state)
        yield f"{mark}\N{NO-BREAK SPACE}{PHASE_NAMES[phase]}"


def _now(state: RunState) -> str:
    if state.state is AgentState.FAILED:
        return "✗"
    if state.state is AgentState.WAITING_FOR_HUMAN:
        return "?"
    return "–" if state.is_stopped else "▸"  # noqa: RUF001  # a dash is what is meant

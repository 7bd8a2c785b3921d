"""The live view of a run: lines of styled text from a `RunState`. Pure; nothing is printed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mbxai.agent.models import AgentState, Task, TaskStatus
from mbxai.cli._state import PHASES, RunState, ToolRun
from mbxai.cli._text import dollars, one_line, tokens

if TYPE_CHECKING:
    from rich.text import Text

PHASE_NAMES: Final = {
    AgentState.ANALYZING_REQUIREMENT: "requirement",
    AgentState.ANALYZING_TOOLS: "tools",
    AgentState.GENERATING_TODO: "plan",
    AgentState.EXECUTING_TASKS: "tasks",
    AgentState.EVALUATING_GOAL: "evaluation",
    AgentState.COMPLETED: "answer",
}
"""The six steps as people read them."""

_FRAMES_A_SECOND: Final = 8
_SURROUNDINGS: Final = 9  # lines that are no tasks: header, phases, footer, note, blanks


@dataclass(frozen=True, slots=True)
class Marks:
    """The signs in front of phases and tasks, one character each.

    Attributes:
        spinner: Shown one after the other where something runs.
    """

    done: str = "✓"
    failed: str = "✗"
    waiting: str = "?"
    pending: str = "○"
    skipped: str = "–"  # noqa: RUF001  # a dash is what is meant
    ellipsis: str = "…"
    dot: str = "·"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


ASCII_MARKS: Final = Marks("*", "x", "?", ".", "-", "...", "|", "|/-\\")
"""For terminals that show nothing else."""

UNICODE_MARKS: Final = Marks()
"""For all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where the view is shown.

    Attributes:
        width: Columns; every line fits.
        height: Rows; a plan that is longer is shown around the tasks in progress.
        marks: The signs to use.
    """

    width: int = 80
    height: int = 24
    marks: Marks = UNICODE_MARKS


def lines_of(state: RunState, *, seconds: float, room: Room) -> "list[Text]":
    """Return the view, top line first.

    Args:
        state: The run.
        seconds: Since the run began; also turns the spinners.
        room: Where it is shown.
    """
    spinner = room.marks.spinner
    spin = spinner[int(seconds * _FRAMES_A_SECOND) % len(spinner)]
    lines = [_header(state, seconds, room), _line(), _phases(state, spin, room), _line()]
    if state.tasks:
        lines += [*_plan(state, spin, room), _line()]
    lines.append(_footer(state, room))
    if state.note and state.is_running:
        lines.append(_line(f"  {one_line(state.note)}", "dim"))
    for line in lines:
        line.no_wrap = True
        line.truncate(room.width, overflow="ellipsis")
    return lines


def _line(text: str = "", style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style=style)


def _header(state: RunState, seconds: float, room: Room) -> "Text":
    clock = f" {_clock(seconds)}"
    line = _line(one_line(state.goal) or "The session goes on", "bold")
    left = max(room.width - len(clock), 1)
    line.truncate(left, overflow="ellipsis", pad=True)
    return line.append(clock, "not bold dim")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _phases(state: RunState, spin: str, room: Room) -> "Text":
    now = PHASES.index(state.phase)
    whole, narrow = _line(" "), _line(" ")
    for index, phase in enumerate(PHASES):
        if index < now or state.state is AgentState.COMPLETED:
            mark, style = room.marks.done, "green"
        elif index > now:
            mark, style = room.marks.pending, "dim"
        else:
            mark, style = _now(state, spin, room.marks)
            narrow.append(f" {mark} {PHASE_NAMES[phase]}", style)
            narrow.append(f"  step {index + 1} of {len(PHASES)}", "dim")
        whole.append(f" {mark} {PHASE_NAMES[phase]}", style).append(" ")
    whole.rstrip()
    if state.state is AgentState.COMPLETED:
        narrow = _line(f"  {room.marks.done} {PHASE_NAMES[AgentState.COMPLETED]}", "green")
    return whole if whole.cell_len <= room.width else narrow


def _now(state: RunState, spin: str, marks: Marks) -> tuple[str, str]:
    if state.state is AgentState.FAILED:
        return marks.failed, "bold red"
    if state.state is AgentState.WAITING_FOR_HUMAN:
        return marks.waiting, "bold yellow"
    if state.is_stopped:
        return marks.skipped, "bold yellow"
    return spin, "bold cyan"


# --- the plan -------------------------------------------------------------------------------------


def _plan(state: RunState, spin: str, room: Room) -> "list[Text]":
    """Return the tasks; of a plan that does not fit, those around the first unfinished one."""
    blocks = [list(_task(task, state, spin, room.marks)) for task in state.tasks]
    ended = {TaskStatus.COMPLETED, TaskStatus.SKIPPED}
    open_tasks = (i for i, task in enumerate(state.tasks) if task.status not in ended)
    focus = next(open_tasks, len(blocks) - 1)
    first, last = 0, len(blocks)
    most = max(room.height - _SURROUNDINGS, 3)

    def height() -> int:
        folded = (first > 0) + (last < len(blocks))
        return folded + sum(len(block) for block in blocks[first:last])

    while height() > most and last - first > 1:
        if first < focus:
            first += 1
        else:
            last -= 1
    shown = [line for block in blocks[first:last] for line in block]
    if first:
        shown.insert(0, _line(f"  {room.marks.ellipsis} {first} before", "dim"))
    if last < len(blocks):
        shown.append(_line(f"  {room.marks.ellipsis} {len(blocks) - last} more", "dim"))
    return shown


def _task(task: Task, state: RunState, spin: str, marks: Marks) -> "Iterator[Text]":
    asks = any(request.task_id == task.id for request in state.requests)
    mark, style = _task_mark(task, spin, marks, asks=asks, is_running=state.is_running)
    line = _line(f"  {mark} ", style)
    yield line.append(one_line(task.title), "" if style in {"green", "bold cyan"} else style)
    if task.error_message:
        reason_style = "red" if task.status is TaskStatus.FAILED else "dim"
        yield _line(f"      {one_line(task.error_message)}", reason_style)
    for run in state.running_tools:
        if run.task_id == task.id:
            yield _tool(run)


def _task_mark(
    task: Task, spin: str, marks: Marks, *, asks: bool, is_running: bool
) -> tuple[str, str]:
    match task.status:
        case TaskStatus.COMPLETED:
            return marks.done, "green"
        case TaskStatus.FAILED:
            return marks.failed, "red"
        case TaskStatus.SKIPPED:
            return marks.skipped, "dim"
        case TaskStatus.IN_PROGRESS:
            if asks:
                return marks.waiting, "yellow"
            return (spin, "bold cyan") if is_running else (marks.pending, "dim")
        case TaskStatus.PENDING:
            return (marks.waiting, "yellow") if asks else (marks.pending, "dim")


def _tool(run: ToolRun) -> "Text":
    line = _line(f"      {one_line(run.name)}", "cyan")
    arguments = one_line(run.arguments)
    return line if arguments in {"", "{}"} else line.append(f" {arguments}", "not bold dim")


# --- the footer -----------------------------------------------------------------------------------


def _footer(state: RunState, room: Room) -> "Text":
    parts = [tokens(state.usage.total_tokens), dollars(state.usage.cost_usd)]
    if state.tool_calls:
        parts.append(f"{state.tool_calls} tool call{'' if state.tool_calls == 1 else 's'}")
    if state.model:
        parts.append(one_line(state.model))
    return _line("  " + f" {room.marks.dot} ".join(parts), "dim")

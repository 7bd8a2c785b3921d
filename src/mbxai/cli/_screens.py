"""Where a run is shown: a live view, plain lines, or JSON lines."""

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from mbxai.agent.events import AgentEvent
from mbxai.agent.models import AgentResponse, AgentState
from mbxai.cli._lines import event_json, event_line, outcome_json, plan_lines, pretty_json
from mbxai.cli._state import RunState
from mbxai.cli._view import ASCII_MARKS, UNICODE_MARKS, Room, lines_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_REFRESHES_A_SECOND: Final = 8
_MARGIN: Final = 2  # columns that stay free, so that the ^C a terminal echoes starts no new line


class Screen(Protocol):
    """Where a run is shown.

    Attributes:
        console: Where questions to the person are written.
    """

    console: "Console"

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Say what is being done before the run begins."""
        ...

    def show(self, state: RunState) -> None:
        """Begin to show the run, or go on after `hide`."""
        ...

    def update(self, event: AgentEvent, state: RunState) -> None:
        """Show what happened."""
        ...

    def hide(self) -> None:
        """Make room for questions or messages; harmless if nothing is shown."""
        ...

    def stop(self, state: RunState) -> None:
        """Show how far the run came."""
        ...

    def end(self, response: AgentResponse, state: RunState) -> None:
        """Show how the run ended, and the final response if there is one."""
        ...


def screen(*, as_json: bool) -> Screen:
    """Return the screen that fits standard output.

    Args:
        as_json: One JSON object a line.
    """
    from rich.console import Console

    if as_json:
        return JSONScreen(Console(stderr=True))
    console = Console()
    if not console.is_terminal or console.is_dumb_terminal or console.no_color:
        return PlainScreen(console)
    return LiveScreen(console)


class JSONScreen:
    """JSON lines on standard output: the events, then one of type `outcome`."""

    def __init__(self, console: "Console") -> None:
        """Take the place for questions, which is not standard output."""
        self.console = console

    def busy(self, doing: str) -> AbstractContextManager[object]:  # noqa: ARG002  # nobody watches
        """Show nothing."""
        return nullcontext()

    def show(self, state: RunState) -> None:
        """Show nothing; the events tell."""

    def update(self, event: AgentEvent, state: RunState) -> None:  # noqa: ARG002  # as in Screen
        """Write the event."""
        _write(event_json(event))

    def hide(self) -> None:
        """Do nothing."""

    def stop(self, state: RunState) -> None:
        """Show nothing; the events told."""

    def end(self, response: AgentResponse, state: RunState) -> None:  # noqa: ARG002  # as in Screen
        """Write the outcome."""
        _write(outcome_json(response))


class PlainScreen:
    """One line an event, then the final response as indented JSON."""

    def __init__(self, console: "Console") -> None:
        """Take the place for questions."""
        self.console = console

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Write what is being done."""
        _write(f"{'start':<7} {doing}")
        return nullcontext()

    def show(self, state: RunState) -> None:
        """Show nothing; the events tell."""

    def update(self, event: AgentEvent, state: RunState) -> None:
        """Write the event."""
        if line := event_line(event, state):
            _write(line)

    def hide(self) -> None:
        """Do nothing."""

    def stop(self, state: RunState) -> None:
        """Show nothing; the events told."""

    def end(self, response: AgentResponse, state: RunState) -> None:
        """Write the plan of a failed run, or the final response."""
        if response.state is AgentState.FAILED:
            for line in plan_lines(state):
                _write(line)
        if response.is_complete():
            _write(pretty_json(response.final_response))


class LiveScreen:
    """A view that is redrawn in place; what was typed and the last view stay on the terminal."""

    def __init__(self, console: "Console") -> None:
        """Take the terminal."""
        self.console = console
        self._state = RunState()
        self._live: Live | None = None
        self._seconds = 0.0  # of the run until it was last hidden
        self._shown_at = 0.0

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Show a spinner and what is being done."""
        return self.console.status(f"{doing} ...", spinner_style="cyan")

    def show(self, state: RunState) -> None:
        """Begin to redraw."""
        from rich.live import Live

        self._state = state
        self._shown_at = time.monotonic()
        self._live = Live(
            get_renderable=self._view,
            console=self.console,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
        )
        self._live.start(refresh=True)

    def update(self, event: AgentEvent, state: RunState) -> None:  # noqa: ARG002  # as in Screen
        """Let the next refresh show it."""
        self._state = state

    def hide(self) -> None:
        """Remove the view."""
        live, self._live = self._live, None
        if live is not None:
            self._seconds = self._elapsed()
            self._shown_at = 0.0
            live.stop()

    def stop(self, state: RunState) -> None:
        """Leave the last view on the terminal."""
        self.hide()
        self._state = state
        self.console.print(self._view())

    def end(self, response: AgentResponse, state: RunState) -> None:
        """Leave the last view on the terminal, and the final response below it."""
        self.stop(state)
        if response.is_complete():
            self.console.print()
            self.console.print_json(pretty_json(response.final_response))

    def _elapsed(self) -> float:
        running = time.monotonic() - self._shown_at if self._shown_at else 0.0
        return self._seconds + running

    def _view(self) -> "RenderableType":
        from rich.console import Group

        size = self.console.size
        marks = ASCII_MARKS if self.console.options.ascii_only else UNICODE_MARKS
        width = max(size.width - _MARGIN, 1)
        room = Room(width=width, height=size.height, marks=marks)
        return Group(*lines_of(self._state, seconds=self._elapsed(), room=room))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

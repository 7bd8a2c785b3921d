"""Where a run is shown: a cell that is updated in place, or lines of text."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast
from uuid import uuid4

from mbxai.agent.events import AgentEvent
from mbxai.cli._lines import event_line
from mbxai.cli._state import RunState
from mbxai.notebook._view import run_html, run_text


class Output(Protocol):
    """Where a run is shown."""

    def update(self, event: AgentEvent, state: RunState) -> None:
        """Show what happened."""
        ...

    def end(self, state: RunState) -> None:
        """Show where the run rests, or how far it came."""
        ...


def output_here() -> Output:
    """Return the output that fits where this code runs.

    IPython is not imported: in a cell it is there.
    """
    find: Callable[[], object] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if find is None else find()
    # IPython in a terminal has no kernel, and cannot change what it has printed.
    if getattr(shell, "kernel", None) is None:
        return _Lines()
    return _Cell(cast("_Shell", shell).display_pub)


class _Publisher(Protocol):
    def publish(
        self,
        data: Mapping[str, str],
        metadata: Mapping[str, Any],  # Any: JSON of the protocol
        *,
        transient: Mapping[str, str],
        update: bool,
    ) -> None: ...


class _Shell(Protocol):
    @property
    def display_pub(self) -> _Publisher: ...


class _Cell:
    """The output of a cell."""

    def __init__(self, publisher: _Publisher) -> None:
        self._publisher = publisher
        self._display_id = uuid4().hex
        self._shown = ""

    def update(self, event: AgentEvent, state: RunState) -> None:  # noqa: ARG002  # as in Output
        self._show(state)

    def end(self, state: RunState) -> None:
        self._show(state)

    def _show(self, state: RunState) -> None:
        html = run_html(state)
        if html == self._shown:  # as for most pieces of a final response
            return
        self._publisher.publish(
            {"text/html": html, "text/plain": run_text(state)},
            {},
            transient={"display_id": self._display_id},
            update=bool(self._shown),
        )
        self._shown = html


class _Lines:
    """Standard output, one line an event."""

    def update(self, event: AgentEvent, state: RunState) -> None:
        if line := event_line(event, state):
            _write(line)

    def end(self, state: RunState) -> None:
        _write(run_text(state))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

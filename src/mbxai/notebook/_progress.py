"""A run that is shown while it happens, where the code runs: in a cell, or line by line."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, Self, overload

import anyio
from pydantic import BaseModel
from typing_extensions import TypeVar

from mbxai.agent import AgentStream, AsyncAgentStream
from mbxai.agent.events import AgentEvent
from mbxai.agent.models import AgentResponse, AgentState
from mbxai.cli._state import RunState, reduce, resumed
from mbxai.errors import ConfigurationError
from mbxai.notebook._output import Output, output_here

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given

_WAKING_SECONDS: Final = 0.25


@overload
def show_progress(
    run: AgentStream[M],
    *,
    before: AgentResponse[Any] | None = None,  # Any: only its plan is read
) -> AgentResponse[M]: ...
@overload
def show_progress(
    run: AsyncAgentStream[M],
    *,
    before: AgentResponse[Any] | None = None,  # Any: only its plan is read
) -> Coroutine[Any, Any, AgentResponse[M]]: ...  # Any: what an event loop exchanges
def show_progress(
    run: AgentStream[M] | AsyncAgentStream[M], *, before: AgentResponse[Any] | None = None
) -> AgentResponse[M] | Coroutine[Any, Any, AgentResponse[M]]:
    """Run an agent and show the phases, the plan, tool calls, tokens and cost.

    A cell of a notebook is updated in place; elsewhere each event is a line on standard output.
    Write `show_progress(agent.stream(...))`, or `await show_progress(agent.stream(...))` where the
    agent is an `AsyncAgentClient`. Interrupting it stops the run; its session is kept.

    Args:
        run: What `agent.stream(...)` returned, not yet entered.
        before: The session's state as it was, where the run goes on with a session; without it, a
            plan that was made before is shown at the end only.

    Returns:
        The state in which the run rests, which may wait for a person. Of an `AsyncAgentStream`, a
        coroutine of it.

    Raises:
        ConfigurationError: `run` is something else.
        MBXAIError: As for `agent()`; the view shows how far the run came.
    """
    if isinstance(run, AsyncAgentStream):
        return _awaited(run, before)
    if isinstance(run, AgentStream):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        return _blocking(run, before)
    raise ConfigurationError(
        f"show_progress takes an AgentStream or an AsyncAgentStream, not {type(run).__name__}.",
        hint="Pass agent.stream(...) itself.",
    )


def _blocking(run: AgentStream[M], before: AgentResponse[Any] | None) -> AgentResponse[M]:
    with run, _Board(output_here(), before) as board:
        for event in run:
            board.take(event)
        board.rest(run.response)
        return run.response


async def _awaited(run: AsyncAgentStream[M], before: AgentResponse[Any] | None) -> AgentResponse[M]:
    waking = asyncio.create_task(_keep_awake())
    try:
        async with run:
            with _Board(output_here(), before) as board:
                async for event in run:
                    board.take(event)
                board.rest(run.response)
                return run.response
    finally:
        waking.cancel()


async def _keep_awake() -> None:
    # On an interrupt, ipykernel cancels the cell in a callback that does not wake a loop which
    # waits for the network, so that the run would go on until the model's next word.
    while True:  # noqa: ASYNC110  # nothing is waited for
        await anyio.sleep(_WAKING_SECONDS)


class _Board:
    """What is shown of one run; leaving it with an exception shows that the run was stopped."""

    def __init__(self, output: Output, before: AgentResponse[Any] | None) -> None:
        self._output = output
        self._state = RunState() if before is None else resumed(before, goal="", model="")
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None and self._has_begun:
            if self._state.state is not AgentState.FAILED:
                self._state = replace(self._state, is_stopped=True)
            self._output.end(self._state)

    def take(self, event: AgentEvent) -> None:
        self._has_begun = True
        self._state = reduce(self._state, event)
        self._output.update(event, self._state)

    def rest(self, response: AgentResponse[Any]) -> None:
        last = self._state
        self._state = replace(
            resumed(response, goal="", model=""), phase=last.phase, tool_calls=last.tool_calls
        )
        self._output.end(self._state)

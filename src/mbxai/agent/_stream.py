"""A run that is watched: events as they happen, the response after the last one."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, cast

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel
from typing_extensions import TypeVar

from mbxai.agent._events import AgentEvent
from mbxai.agent._result_models import AgentResponse
from mbxai.errors import AgentError, AgentFailedError, BudgetExceededError

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given


class AsyncAgentStream(Generic[M]):
    """The events of one run.

    Use it as `async with agent.stream(...) as run: async for event in run: ...`, and read
    `run.response` afterwards. Leaving the block early stops the run; its session is kept.
    """

    def __init__(
        self, run: Callable[[Callable[[AgentEvent], object]], Awaitable[AgentResponse[M]]]
    ) -> None:
        """Take a run that has not begun.

        Args:
            run: Runs the session, giving each event to the observer that it is called with.
        """
        self._run = run
        self._group: TaskGroup | None = None
        self._response: AgentResponse[M] | None = None
        self._error: BaseException | None = None
        self._events: MemoryObjectReceiveStream[AgentEvent] | None = None

    @property
    def response(self) -> AgentResponse[M]:
        """The state in which the run rests.

        Raises:
            AgentError: The run has not come to rest yet.
        """
        if self._response is None:
            raise AgentError(
                "The run has not come to rest.", hint="Read its events to the end first."
            )
        return self._response

    async def __aenter__(self) -> Self:
        """Begin the run."""
        # Unbounded, since the machine must not wait for an observer; a run has few events.
        send, self._events = anyio.create_memory_object_stream[AgentEvent](math.inf)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._observe, send)
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Stop the run if it has not come to rest."""
        group, self._group = self._group, None
        try:
            if group is not None:
                group.cancel_scope.cancel()
                await group.__aexit__(None, None, None)
        finally:  # a loop that ends cancels this, too
            if self._events is not None:
                self._events.close()

    async def aclose(self) -> None:
        """Stop the run if it has not come to rest."""
        await self.__aexit__()

    def __aiter__(self) -> Self:
        """Return the stream."""
        return self

    async def __anext__(self) -> AgentEvent:
        """Return the next event; after the last one, raise what the run raised, if it did."""
        if self._events is None:
            raise AgentError("The run has not begun.", hint="Use `async with agent.stream(...)`.")
        try:
            return await self._events.receive()
        except anyio.EndOfStream:
            if self._error is not None:
                raise self._error from self._error.__cause__
            raise StopAsyncIteration from None

    async def _observe(self, send: MemoryObjectSendStream[AgentEvent]) -> None:
        with send:
            try:
                self._response = await self._run(send.send_nowait)
            except (AgentFailedError, BudgetExceededError) as error:
                self._response = cast("AgentResponse[M] | None", error.response)
                self._error = error
            except Exception as error:  # noqa: BLE001  # raised to the reader of the events
                self._error = error

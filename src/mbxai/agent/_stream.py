"""A run that is watched: events as they happen, the response after the last one."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Generic, Self, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel
from typing_extensions import TypeVar

from mbxai._cancellation import is_being_cancelled, outlast
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
        self._task: asyncio.Task[None] | None = None
        self._response: AgentResponse[M] | None = None
        self._error: BaseException | None = None
        self._events: MemoryObjectReceiveStream[AgentEvent] | None = None
        self._ends = ExitStack()

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
        """Begin the run.

        Raises:
            AgentError: It was begun already.
        """
        if self._events is not None:
            raise AgentError("The run was begun already.", hint="Call stream() again.")
        # Unbounded, since the machine must not wait for an observer; a run has few events.
        send, self._events = anyio.create_memory_object_stream[AgentEvent](math.inf)
        self._ends.callback(send.close)  # the task may be cancelled before it begins
        self._ends.callback(self._events.close)
        # Not a task group: a generator that reads this may be closed by another task, as web
        # servers and the end of a loop do, and a task group cannot be.
        self._task = asyncio.create_task(self._observe(send))
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Stop the run if it has not come to rest."""
        try:
            if self._task is not None:
                self._task.cancel()
                # Until it has given its session back.
                if (cancelled := await outlast(self._task)) is not None:
                    raise cancelled
        finally:  # a loop that ends cancels this, too
            self._ends.close()

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
        except anyio.ClosedResourceError:  # it was left
            raise StopAsyncIteration from None
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
            except asyncio.CancelledError as error:
                if is_being_cancelled():
                    raise
                self._error = error  # of something within the user's own store
            except Exception as error:  # noqa: BLE001  # raised to the reader of the events
                self._error = error

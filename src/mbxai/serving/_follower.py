"""What happens in a session, for somebody who watches: from its log, and live."""

import weakref
from collections import deque
from contextlib import suppress
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mbxai.agent import AsyncAgentClient
from mbxai.agent._session_log import SessionLog
from mbxai.agent.events import AgentEvent, ResponseDelta, StateChanged, ToolProgressed
from mbxai.errors import SessionError, SessionNotFoundError
from mbxai.serving._session_view import RESTS, read_view

_BUFFER: Final = 256
_WAIT_SECONDS: Final = 15.0


class Follower:
    """Iterates over what happens in a session; also an asynchronous context manager.

    Numbered events come from the log, each once and in order, whichever process runs the session.
    Pieces of text and progress of tools come besides, where it runs in this process. The iteration
    ends when the turn is over, the session is deleted, or the service ends.
    """

    def __init__(self, events: MemoryObjectReceiveStream[AgentEvent], tail: "_Tail") -> None:
        """Take over a stream of events; `RunManager.follow` does this.

        Args:
            events: Where they come from.
            tail: What reads the log.
        """
        self._events = events
        self._tail = tail
        self._last = tail.after
        self._held: deque[AgentEvent] = deque()
        self._ready: deque[AgentEvent] = deque()
        self._finalizer = weakref.finalize(self, _leave, events, tail.scope)
        self._finalizer.atexit = False

    def __aiter__(self) -> Self:
        """The events themselves."""
        return self

    async def __anext__(self) -> AgentEvent:
        """Return the next event.

        Raises:
            StopAsyncIteration: Nothing more will happen here.
            SessionError: The log cannot be read.
        """
        while not self._ready:
            try:
                self._take(await self._events.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                failure, self._tail.failure = self._tail.failure, None
                raise (failure or StopAsyncIteration) from None
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        """The events themselves."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Follow no more."""
        await self.aclose()

    @property
    def is_over(self) -> bool:
        """Whether the iteration ended because nothing more will happen in the session.

        If not, the service ends, or the events were closed: another one tells the rest.
        """
        return self._tail.is_over

    async def aclose(self) -> None:
        """Follow no more; safe from any task, and more than once."""
        self._finalizer()

    def _take(self, event: AgentEvent) -> None:
        if not isinstance(event, ResponseDelta | ToolProgressed):
            self._last = event.seq
            self._ready.append(event)
            while self._held and self._held[0].seq <= self._last:
                self._ready.append(self._held.popleft())
        elif event.seq <= self._last:
            self._ready.append(event)
        else:
            # What it came after is not saved yet, or not read.
            self._held.append(event)


class _Tail:
    """The task that reads a log for one follower."""

    def __init__(
        self, agent: AsyncAgentClient, agent_id: str, after: int, *, until_waiting: bool
    ) -> None:
        """Read nothing yet."""
        self.until_waiting: bool = until_waiting
        self.agent: AsyncAgentClient = agent
        self.agent_id: str = agent_id
        self.after: int = after
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.failure: SessionError | None = None
        self.is_over: bool = False
        self.outbox: MemoryObjectSendStream[AgentEvent]
        self.inbox: MemoryObjectReceiveStream[AgentEvent]
        self.outbox, self.inbox = anyio.create_memory_object_stream[AgentEvent](_BUFFER)

    async def run(self) -> None:
        """Read until the turn is over, or nobody listens any more."""
        try:
            with self.scope, self.outbox:
                await _read_on(self)
                self.is_over = True
        except SessionError as error:
            self.failure = error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # nobody listens any more

    def tell(self, event: AgentEvent) -> None:
        """Pass on what the log does not keep."""
        # Who is too slow misses pieces, never numbered events.
        with suppress(anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.outbox.send_nowait(event)


class Followers:
    """All who watch sessions in this process."""

    def __init__(self) -> None:
        """Start without any."""
        self._tails: dict[tuple[str, str], set[_Tail]] = {}
        self._is_ended = False

    def tell(self, scope: str, agent_id: str, event: AgentEvent) -> None:
        """Pass on what a run of this process says and the log does not keep.

        Args:
            scope: Whose session it is.
            agent_id: Which session.
            event: What happened.
        """
        if isinstance(event, ResponseDelta | ToolProgressed):
            for tail in self._tails.get((scope, agent_id), ()):
                tail.tell(event)

    def follow(
        self,
        group: TaskGroup,
        agent: AsyncAgentClient,
        agent_id: str,
        after: int,
        *,
        until_waiting: bool,
    ) -> Follower:
        """Begin to follow a session.

        Args:
            group: Runs what reads the log.
            agent: Of the session's scope.
            agent_id: Which session.
            after: Number of the last event that is known.
            until_waiting: Whether to end where people are waited for, too.
        """
        tail = _Tail(agent, agent_id, after, until_waiting=until_waiting)
        if self._is_ended:
            tail.scope.cancel()
        group.start_soon(self._run, tail)
        return Follower(tail.inbox, tail)

    def end(self) -> None:
        """Let nobody follow any more, now or later."""
        self._is_ended = True
        for tails in self._tails.values():
            for tail in tails:
                tail.scope.cancel()

    async def _run(self, tail: _Tail) -> None:
        key = (tail.agent.scope, tail.agent_id)
        self._tails.setdefault(key, set()).add(tail)
        try:
            await tail.run()
        finally:
            self._tails[key].discard(tail)
            if not self._tails[key]:
                del self._tails[key]


async def _read_on(tail: _Tail) -> None:
    agent, agent_id = tail.agent, tail.agent_id
    log = SessionLog(agent.store, agent_id, scope=agent.scope, after=tail.after)
    may_be_over = True
    while True:
        events = await log.read()
        for event in events:
            await tail.outbox.send(event)
            if tail.until_waiting:
                may_be_over = True
            elif isinstance(event, StateChanged):
                may_be_over = event.state in RESTS
        if events:
            continue
        try:
            if may_be_over and not await goes_on(agent, agent_id, waits=not tail.until_waiting):
                return
            # After a while without news it may have been deleted.
            may_be_over = not await log.wait(_WAIT_SECONDS)
        except SessionNotFoundError:
            return


async def goes_on(agent: AsyncAgentClient, agent_id: str, *, waits: bool) -> bool:
    """Say whether more will happen in a session.

    Args:
        agent: Of the session's scope.
        agent_id: Which session.
        waits: Whether one that waits for people counts.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    view = await read_view(agent, agent_id)
    return view.response.state not in RESTS and (waits or view.is_running)


def _leave(events: MemoryObjectReceiveStream[AgentEvent], scope: anyio.CancelScope) -> None:
    events.close()
    scope.cancel()

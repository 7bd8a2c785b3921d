"""Runs that outlive the requests which begin them: begun, answered, followed, cancelled."""

import asyncio
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self, Unpack

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel
from typing_extensions import TypeVar

from mbxai.agent import (
    AgentClient,
    AsyncAgentClient,
    AsyncAgentWorker,
    SubmitOptions,
)
from mbxai.agent._people import HumanResponse
from mbxai.agent._worker import FailureCallback
from mbxai.agent.events import AgentEvent
from mbxai.errors import (
    ConfigurationError,
    TooManyRunsError,
)
from mbxai.serving._exit_signals import on_exit_signal
from mbxai.serving._follower import Follower, Followers
from mbxai.serving._session_view import SessionView, read_view
from mbxai.sessions import DueSession

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given

_RETRY_SECONDS: Final = 5.0


class RunManager:
    """Runs sessions apart from the requests that begin them; an asynchronous context manager.

    A request that ends, or breaks, ends no run. What is begun here is stored first and then run by
    a worker of this process or of any other that has the same store; so is what a process leaves
    behind. At the end of the block runs have their grace, and are then due for another worker. Who
    follows is let go as soon as SIGTERM or SIGINT comes, since servers wait for open responses.

    Example:
        async with RunManager(agent) as runs:
            agent_id = await runs.start("Ship the lamp", Receipt, scope=user)
            async with await runs.follow(agent_id, scope=user) as events:
                async for event in events:
                    print(event.type)
    """

    def __init__(
        self,
        agent: AsyncAgentClient | AgentClient,
        *,
        max_running: int = 8,
        max_waiting: int = 100,
        works: bool = True,
        poll_seconds: float = 1.0,
        grace_seconds: float = 10.0,
        on_error: FailureCallback | None = None,
    ) -> None:
        """Make a manager; nothing runs before its block is entered.

        Args:
            agent: Runs the sessions of all scopes; it stays the caller's to close.
            max_running: Sessions that run at once in this process, at most.
            max_waiting: Sessions that may wait for a worker, over all processes, before no more
                are begun.
            works: Whether this process runs sessions; if not, workers elsewhere do.
            poll_seconds: Pause between two looks for sessions that others left behind, about.
            grace_seconds: How long runs may take to come to rest at the end.
            on_error: As for `AsyncAgentWorker`.

        Raises:
            ConfigurationError: The agent is none, or an option is impossible.
        """
        if isinstance(max_waiting, bool) or not 1 <= max_waiting <= 1000:
            raise ConfigurationError(f"max_waiting must be 1 to 1000, not {max_waiting!r}.")
        self._worker = AsyncAgentWorker(
            agent,
            concurrency=max_running,
            poll_seconds=poll_seconds,
            grace_seconds=grace_seconds,
            on_error=on_error,
            watcher=self._tell,
        )
        # The worker has refused what is no agent.
        self._agent = agent.async_client if isinstance(agent, AgentClient) else agent
        self._works = works
        self._max_waiting = max_waiting
        self._followers = Followers()
        self._group: TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to run sessions.

        Raises:
            ConfigurationError: The block was entered before.
        """
        if self._group is not None:
            raise ConfigurationError("This RunManager runs already.", hint="Make another one.")
        self._loop = asyncio.get_running_loop()
        self._stack.enter_context(on_exit_signal(self.end_followers))
        self._group = await self._stack.enter_async_context(anyio.create_task_group())
        if self._works:
            self._group.start_soon(self._worker.run)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Take nothing new, give runs their grace, and end who follows."""
        self._worker.stop()
        self._followers.end()
        try:
            return await self._stack.__aexit__(exc_type, exc, traceback)
        except BaseExceptionGroup as errors:
            # What the block raised, or the worker; not the group of both.
            first = errors.exceptions[0]
            raise first from first.__cause__

    def end_followers(self) -> None:
        """Let nobody follow any more; runs go on. From any thread, or from a signal's handler."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._followers.end)

    async def start(
        self,
        prompt: str,
        final_response_structure: type[BaseModel],
        *,
        scope: str = "",
        may_create: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Begin a session, or a new turn of one.

        Args:
            prompt: What is to be achieved.
            final_response_structure: Pydantic model of the final response.
            scope: Whose session.
            may_create: Whether `agent_id` may be the id of a new session.
            **options: As for `agent.submit()`; with `request_key`, what comes twice is begun once.

        Returns:
            The session's id.

        Raises:
            TooManyRunsError: Too many sessions wait for a worker.
            SessionBusyError: The turn of the session of `agent_id` is not over.
            SessionNotFoundError: There is no session of `agent_id`.
            ConfigurationError: As for `agent.submit()`.
        """
        agent = self._agent.for_scope(scope)
        if (agent_id := options.get("agent_id")) and not may_create:
            await agent.sessions.get(agent_id)
        waiting = await agent.store.due(limit=self._max_waiting)
        if len(waiting) >= self._max_waiting:
            raise TooManyRunsError(
                f"{len(waiting)} sessions wait for a worker.",
                hint="Try again in a while, or start more workers.",
                retry_after=_RETRY_SECONDS,
            )
        agent_id = await agent.submit(prompt, final_response_structure, **options)
        self._worker.wake()
        return agent_id

    async def answer(
        self, agent_id: str, human_response: HumanResponse, *, scope: str = ""
    ) -> None:
        """Give answers of people to a session, whoever runs it.

        Args:
            agent_id: Which session.
            human_response: One answer, a list, or a batch; a batch may be partial.
            scope: Whose session.

        Raises:
            SessionNotFoundError: There is no such session.
            InteractionError: An answer does not fit, or came too late.
            ConfigurationError: An answer brings a credential, and the store keeps it unsealed.
        """
        await self._agent.for_scope(scope).sessions.answer(agent_id, human_response)
        self._worker.wake()

    async def cancel(self, agent_id: str, *, scope: str = "") -> bool:
        """Have a session's turn end, whoever runs it; see `agent.sessions.cancel()`.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            Whether its turn was not over yet.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return await self._agent.for_scope(scope).sessions.cancel(agent_id)

    async def view(
        self,
        agent_id: str,
        final_response_structure: type[BaseModel] | None = None,
        *,
        scope: str = "",
    ) -> SessionView:
        """Return how a session stands.

        Args:
            agent_id: Which session.
            final_response_structure: Pydantic model of the final response, to have it typed.
            scope: Whose session.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return await read_view(self._agent.for_scope(scope), agent_id, final_response_structure)

    async def follow(
        self, agent_id: str, *, scope: str = "", after: int = 0, until_waiting: bool = False
    ) -> Follower:
        """Follow what happens in a session.

        Args:
            agent_id: Which session.
            scope: Whose session.
            after: Number (`seq`) of the last event that is known.
            until_waiting: Whether to end where people are waited for, not only at the turn's end.

        Returns:
            The events, to be closed when nobody wants them any more.

        Raises:
            SessionNotFoundError: There is no such session.
            ConfigurationError: The manager's block is not entered.
        """
        if self._group is None:
            raise ConfigurationError("This RunManager does not run.", hint="Use `async with`.")
        agent = self._agent.for_scope(scope)
        await read_view(agent, agent_id)
        return self._followers.follow(
            self._group, agent, agent_id, after, until_waiting=until_waiting
        )

    def _tell(self, session: DueSession, event: AgentEvent) -> None:
        self._followers.tell(session.scope, session.agent_id, event)

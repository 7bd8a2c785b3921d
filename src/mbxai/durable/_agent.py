"""Agent sessions as durable workflows, which outlive processes, deploys and machines."""

import asyncio
import copy
import time
from collections.abc import Sequence
from typing import Any, Final, Self, Unpack

import anyio
from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.durable._names as names
import mbxai.durable._rest as rest
from mbxai.agent import (
    AgentClient,
    AgentOptions,
    AgentResponse,
    AgentState,
    AsyncAgentClient,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
)
from mbxai.durable._desk import Desk, TurnWorkflow
from mbxai.durable._engine import Engine
from mbxai.durable._schedules import DurableSchedule
from mbxai.durable._slots import Slot
from mbxai.errors import (
    AgentError,
    ConfigurationError,
    SessionBusyError,
    SessionNotFoundError,
)
from mbxai.sessions import InMemorySessionStore, SessionRecord, new_agent_id

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given

_LOOK_SECONDS: Final = 1.0
_BUSY_SECONDS: Final = 0.1
_BUSY_TRIES: Final = 10


class AsyncDurableAgent:
    """An agent whose sessions are seen through by DBOS workflows on Postgres.

    Any process may start sessions, answer for people and wait for results; those that call `work()`
    run them, as many at once as the limits allow. When a worker dies, another one goes on with its
    sessions. The workflows keep ids only: a session's state, the answers of people and the log are
    in the agent's own store, so the agent's other methods read the same session, and may go on with
    it. An effect that began is never begun again by a repeated step, see `Effect`.
    """

    def __init__(
        self,
        agent: AsyncAgentClient | AgentClient,
        database_url: str,
        *,
        name: str = "mbxai_agent",
        max_runs: int | None = None,
        max_runs_per_worker: int | None = None,
        schedules: Sequence[DurableSchedule] = (),
        poll_seconds: float = 1.0,
        takeover_seconds: float = 10.0,
    ) -> None:
        """Make a durable agent; nothing is opened before it is needed.

        Args:
            agent: Runs the sessions. Its store must be one that all processes reach.
            database_url: Address of the Postgres database of the workflows, such as
                `postgresql://user@host/name`; it may be the database of the sessions. A pooler
                before it must keep a session to its connection.
            name: Tells durable agents apart that share the database; the same in every process.
            max_runs: Sessions that run at once, over all workers; None: no limit. Sessions that
                wait for people do not count. Workers that start set this for all.
            max_runs_per_worker: Sessions that run at once in each worker; None: no limit.
            schedules: Prompts that start sessions at times, once each over all workers.
            poll_seconds: Pause between two looks of a worker for work, and for the end of a run.
            takeover_seconds: Pause between two looks of a worker for work that others left behind.

        Raises:
            ConfigurationError: An argument is impossible, or the agent's store is in memory.
        """
        for option, value in (("max_runs", max_runs), ("max_runs_per_worker", max_runs_per_worker)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{option} must be 1 or more, not {value!r}.")
        if max_runs is not None and max_runs_per_worker is not None:
            max_runs_per_worker = min(max_runs, max_runs_per_worker)
        for option, seconds in (("poll", poll_seconds), ("takeover", takeover_seconds)):
            if not seconds > 0:
                raise ConfigurationError(f"{option}_seconds must be positive, not {seconds!r}.")
        if not database_url.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ConfigurationError(
                "database_url is no address of a Postgres database.",
                hint="It begins with postgresql://.",
            )
        agent = agent.async_client if isinstance(agent, AgentClient) else agent
        if isinstance(agent.store, InMemorySessionStore):
            raise ConfigurationError(
                "The agent keeps its sessions in memory, where no other process finds them.",
                hint="Give it session_handler=SQLiteSessionStore(...) or another store.",
            )
        self._agent = agent
        self._name = names.checked_name(name)
        self._url = database_url
        self._desk = Desk(database_url, self._name)
        self._limits = (max_runs, max_runs_per_worker)
        self._schedules = tuple(schedules)
        self._poll_seconds = poll_seconds
        self._takeover_seconds = takeover_seconds
        self._stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    # --- sessions ---------------------------------------------------------------------------------

    async def start(
        self,
        prompt: str,
        final_response_structure: type[M],
        *,
        turn: int = 1,
        **options: Unpack[AgentOptions],
    ) -> str:
        """Have a worker run a prompt. Whoever says it again, under the same id, gets the same run.

        The session is stored at once, by `submit()` of the agent, and a workflow is enqueued. Where
        the caller dies between the two, saying it again does the rest.

        Args:
            prompt: What is to be achieved.
            final_response_structure: Pydantic model of the final response.
            turn: Which turn of the session the prompt begins, from 1. A turn that has begun is not
                begun again.
            **options: As for `submit()` of the agent; `agent_id` names the session, a new one gets
                a new id.

        Returns:
            The session's id.

        Raises:
            ConfigurationError: The turn before was never begun, or an argument is impossible.
            SessionBusyError: The turn before has not ended, or another worker runs the session.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        agent_id = options.get("agent_id") or new_agent_id()
        begun = await self._turn_of(agent_id)
        if begun < turn:
            begun = await self._begin(
                prompt, final_response_structure, turn, {**options, "agent_id": agent_id}
            )
        if begun < turn:
            raise ConfigurationError(
                f"Turn {turn} cannot begin: the last one is turn {begun}.",
                hint="Give turn= of the turn that is meant.",
            )
        if begun == turn:
            await self._desk.enqueue(self._agent.scope, agent_id, turn, attempt=0)
        return agent_id

    async def send(
        self,
        agent_id: str,
        human_response: HumanInLoopResponse
        | HumanInLoopResponseBatch
        | Sequence[HumanInLoopResponse],
    ) -> None:
        """Give answers of people to a session, and have it go on.

        They are checked, and kept in the session's own store; the workflow is told only that there
        are some. The same answer may come twice; of two different ones the first counts.

        Args:
            agent_id: Which session.
            human_response: One answer, a list, or a batch; a batch may be partial.

        Raises:
            SessionNotFoundError: There is no such session.
            InteractionError: An answer does not fit, or came too late.
            ConfigurationError: An answer brings a credential, and the session's store does not
                seal: it would be kept in clear text.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        await self._agent.sessions.answer(agent_id, human_response)
        await self.resume(agent_id)

    async def resume(self, agent_id: str) -> None:
        """Have a session go on now.

        It may have stopped at a bound, failed for a passing reason, been cancelled, or been
        answered by other means than `send()`.

        Args:
            agent_id: Which session.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        turn = await self._turn_of(agent_id)
        if turn == 0:
            raise _not_found(agent_id)
        scope = self._agent.scope
        latest = await self._desk.latest(scope, agent_id, turn)
        if latest is not None and latest.is_going():
            await self._desk.tell(latest.workflow_id)
            return
        attempt = 0 if latest is None else names.attempt_of(latest.workflow_id) + 1
        await self._desk.enqueue(scope, agent_id, turn, attempt=attempt)

    async def result(
        self,
        agent_id: str,
        final_response_structure: type[M] | None = None,
        *,
        timeout_seconds: float | None = None,
        raise_on_failure: bool = True,
    ) -> AgentResponse[M]:
        """Wait until a session rests: completed, waiting for a person, or failed.

        Args:
            agent_id: Which session.
            final_response_structure: Pydantic model of the final response, to have it typed.
            timeout_seconds: How long to wait at most; None: for ever.
            raise_on_failure: Whether a session that rests in FAILED raises.

        Returns:
            The state in which it rests; when the time is up, the state in which it is.

        Raises:
            SessionNotFoundError: There is no such session.
            AgentFailedError: The session rests in FAILED; `.response` tells everything known.
            BudgetExceededError: A bound is reached; `resume()` goes on where there is a larger one.
            AgentError: The workflow was cancelled, or broke; `resume()` goes on.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            turn = await self._turn_of(agent_id)
            # Before the state, which may say that it waits while a run is going on.
            latest = await self._desk.latest(self._agent.scope, agent_id, turn)
            record = await self._record(agent_id)
            response = await self._agent.sessions.get(agent_id, final_response_structure)
            if _rests(response, record, latest):
                if response.state is AgentState.FAILED and raise_on_failure:
                    raise rest.failed(response)
                return response
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return response
            await self._agent.store.wait(
                agent_id,
                after=record.seq,
                timeout_seconds=min(left, self._poll_seconds, _LOOK_SECONDS),
                scope=self._agent.scope,
            )

    async def cancel(self, agent_id: str) -> bool:
        """Stop the workflow of a session's turn; the session is kept, and `resume()` goes on.

        A run is stopped within seconds, as by a cancelled `agent()`.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one to stop.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        turn = await self._turn_of(agent_id)
        if turn == 0:
            raise _not_found(agent_id)
        latest = await self._desk.latest(self._agent.scope, agent_id, turn)
        if latest is None or not latest.is_going():
            return False
        await self._desk.cancel(latest.workflow_id)
        return True

    async def unschedule(self, schedule: str) -> None:
        """Remove a schedule that is no longer given to any worker.

        Args:
            schedule: Its name.

        Raises:
            SessionStoreError: The workflows' database cannot be used.
        """
        await self._desk.unschedule(schedule)

    def for_scope(self, scope: str) -> Self:
        """Return a durable agent for the sessions of one tenant or user.

        Workers run the sessions of all scopes; schedules start those of the agent that works.

        Args:
            scope: Whose sessions; up to 256 characters without control characters.

        Returns:
            A durable agent; closing it closes the connections of all of them.

        Raises:
            ConfigurationError: It cannot be one.
        """
        other = copy.copy(self)
        other._agent = self._agent.for_scope(scope)  # noqa: SLF001 - of its own kind
        return other

    # --- workers ----------------------------------------------------------------------------------

    async def work(self, *, grace_seconds: float = 10.0) -> None:
        """Run sessions in this process, until `stop()` or until this is cancelled.

        Tools and callbacks run on the engine's own event loop, in a thread of its own. One durable
        agent at a time works in a process; its tables are made where there are none.

        Args:
            grace_seconds: After `stop()`, how long runs may take to come to rest. Those that do not
                are cancelled, and go on in another worker.

        Raises:
            ConfigurationError: The engine is in use in this process, or a schedule is none.
            SessionStoreError: The database cannot be used when the work begins; later on it is
                waited for.
        """
        stop = (asyncio.get_running_loop(), asyncio.Event())
        engine = Engine(
            self._desk,
            name=self._name,
            database_url=self._url,
            agent_of=self._agent_of,
            start=self._start_scheduled,
            schedules=self._schedules,
            max_runs=self._limits[0],
            max_runs_per_worker=self._limits[1],
            poll_seconds=self._poll_seconds,
        )
        slot = Slot(self._url, self._name)
        grace = 0.0
        self._stops.append(stop)
        try:
            async with slot.held() as executor_id:
                try:
                    await engine.launch(executor_id)
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._watch, slot, engine)
                        await stop[1].wait()
                        group.cancel_scope.cancel()
                    grace = grace_seconds
                finally:
                    with anyio.CancelScope(shield=True):
                        await engine.stop(grace_seconds=grace)
        finally:
            self._stops.remove(stop)

    def stop(self) -> None:
        """Have `work()` return, from any thread or from a handler of SIGTERM."""
        for loop, event in list(self._stops):
            loop.call_soon_threadsafe(event.set)

    async def aclose(self) -> None:
        """Close the connections to the database; a later call opens them again."""
        await self._desk.aclose()

    async def __aenter__(self) -> Self:
        """Return the durable agent."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def _watch(self, slot: Slot, engine: Engine) -> None:
        await slot.watch(engine, every_seconds=self._takeover_seconds)

    def _agent_of(self, scope: str) -> AsyncAgentClient:
        return self._agent if scope == self._agent.scope else self._agent.for_scope(scope)

    async def _start_scheduled(self, schedule: DurableSchedule, agent_id: str) -> str:
        options: AgentOptions = {**schedule.options, "agent_id": agent_id}
        return await self.start(schedule.prompt, schedule.final_response_structure, **options)

    async def _begin(
        self, prompt: str, final_response_structure: type[M], turn: int, options: AgentOptions
    ) -> int:
        """Store the turn, and return which one the session is in then."""
        agent_id = options.get("agent_id") or ""
        for is_last in (False,) * _BUSY_TRIES + (True,):
            try:
                await self._agent.submit(prompt, final_response_structure, **options)
                break
            except SessionBusyError:
                # Another caller may be storing the same turn at this moment.
                if await self._turn_of(agent_id) >= turn:
                    break
                if is_last:
                    raise
            await anyio.sleep(_BUSY_SECONDS)
        return await self._turn_of(agent_id)

    async def _turn_of(self, agent_id: str) -> int:
        try:
            info = await self._agent.sessions.info(agent_id)
        except SessionNotFoundError:
            return 0
        return int(info["turn"])

    async def _record(self, agent_id: str) -> SessionRecord:
        record = await self._agent.store.load(agent_id, scope=self._agent.scope)
        if record is None:
            raise _not_found(agent_id)
        return record


def _rests(response: AgentResponse, record: SessionRecord, latest: TurnWorkflow | None) -> bool:
    """Tell whether nothing happens in a session before somebody does something.

    Raises:
        AgentError: Its workflow ended before its turn.
    """
    if response.is_complete():
        return True
    if response.state is AgentState.FAILED and not (response.error and response.error.retryable):
        return True
    if latest is None or latest.is_going():
        has_news = record.answers_posted > record.answers_read
        is_running = latest is not None and latest.is_running
        return response.is_waiting_for_human() and not has_news and not is_running
    if latest.rest is None:
        what = "was cancelled" if latest.status == "CANCELLED" else "broke"
        raise AgentError(
            f"The workflow of session {response.agent_id!r} {what}.",
            hint="The session is kept; resume() goes on with it.",
        )
    if failure := latest.rest["failure"]:
        raise rest.error_of(failure, response.agent_id, response)
    return True


def _not_found(agent_id: str) -> SessionNotFoundError:
    return SessionNotFoundError(f"Agent session {agent_id} not found", agent_id=agent_id)

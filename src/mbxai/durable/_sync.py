"""The blocking durable agent: the same API for callers that do not await."""

import copy
from collections.abc import Sequence
from typing import Any, Self, Unpack

from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.portal as portal
from mbxai.agent import (
    AgentClient,
    AgentOptions,
    AgentResponse,
    AsyncAgentClient,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
)
from mbxai.durable._agent import AsyncDurableAgent
from mbxai.durable._schedules import DurableSchedule

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given


class DurableAgent:
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
        self._core = AsyncDurableAgent(
            agent,
            database_url,
            name=name,
            max_runs=max_runs,
            max_runs_per_worker=max_runs_per_worker,
            schedules=schedules,
            poll_seconds=poll_seconds,
            takeover_seconds=takeover_seconds,
        )

    @property
    def async_client(self) -> AsyncDurableAgent:
        """The asynchronous durable agent behind this facade."""
        return self._core

    def start(
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
        return portal.run(self._core.start, prompt, final_response_structure, turn=turn, **options)

    def send(
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
        portal.run(self._core.send, agent_id, human_response)

    def resume(self, agent_id: str) -> None:
        """Have a session go on now.

        It may have stopped at a bound, failed for a passing reason, been cancelled, or been
        answered by other means than `send()`.

        Args:
            agent_id: Which session.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionStoreError: The session's store or the workflows' database cannot be used.
        """
        portal.run(self._core.resume, agent_id)

    def result(
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
        return portal.run(
            self._core.result,
            agent_id,
            final_response_structure,
            timeout_seconds=timeout_seconds,
            raise_on_failure=raise_on_failure,
        )

    def cancel(self, agent_id: str) -> bool:
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
        return portal.run(self._core.cancel, agent_id)

    def unschedule(self, schedule: str) -> None:
        """Remove a schedule that is no longer given to any worker.

        Args:
            schedule: Its name.

        Raises:
            SessionStoreError: The workflows' database cannot be used.
        """
        portal.run(self._core.unschedule, schedule)

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
        other._core = self._core.for_scope(scope)  # noqa: SLF001 - of its own kind
        return other

    def work(self, *, grace_seconds: float = 10.0) -> None:
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
        portal.run(self._core.work, grace_seconds=grace_seconds)

    def stop(self) -> None:
        """Have `work()` return, from any thread or from a handler of SIGTERM."""
        self._core.stop()

    def close(self) -> None:
        """Close the connections to the database; a later call opens them again."""
        portal.run(self._core.aclose)

    def __enter__(self) -> Self:
        """Return the durable agent."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Close the connections."""
        self.close()

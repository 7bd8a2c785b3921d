"""Sessions from outside, for callers that do not await."""

from typing import Any

from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.portal as portal
from mbxai.agent._events import AgentEvent
from mbxai.agent._people import HumanResponse
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._sessions import AsyncAgentSessions
from mbxai.sessions import SessionPage

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given


class AgentSessions:
    """The sessions of an agent's scope, whoever runs them.

    It is `agent.sessions`. Nothing here claims a session, so all of it works while another process
    runs it.
    """

    def __init__(self, core: AsyncAgentSessions) -> None:
        """Take the asynchronous ones; made by the agent.

        Args:
            core: What does the work.
        """
        self._core = core

    def get(
        self,
        agent_id: str,
        final_response_structure: type[M] | None = None,
        *,
        at: int | None = None,
    ) -> AgentResponse[M]:
        """Return a session's state.

        Args:
            agent_id: Which session.
            final_response_structure: Pydantic model of the final response, to have it typed.
            at: Number (`seq`) of the event after which the state is wanted; None: as last saved.

        Returns:
            The state.

        Raises:
            SessionNotFoundError: There is no such session.
            ConfigurationError: There is no such event, or the log does not reach back to it.
        """
        return portal.run(self._core.get, agent_id, final_response_structure, at=at)

    def info(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return a session's fields as JSON values, without credentials.

        Args:
            agent_id: Which session.

        Returns:
            The fields of the state and those that mbxai 2.3 had, `conversation_length` among them.

        Raises:
            SessionNotFoundError: There is no such session; also a `ValueError`.
        """
        return portal.run(self._core.info, agent_id)

    def answer(self, agent_id: str, human_response: HumanResponse) -> None:
        """Leave answers of people for whoever runs the session, or will run it.

        They are checked at once. The same answer may come twice; of two different ones the first
        counts. A running session takes them in within a second, a worker takes up one that rests,
        and so does the next call of `agent()`.

        Args:
            agent_id: Which session.
            human_response: One answer, a list, or a batch; a batch may be partial.

        Raises:
            SessionNotFoundError: There is no such session.
            InteractionError: An answer does not fit, or came too late.
            ConfigurationError: An answer brings a credential, and the store keeps it unsealed.
        """
        portal.run(self._core.answer, agent_id, human_response)

    def cancel(self, agent_id: str) -> bool:
        """Have a session's turn end, whoever runs it.

        No call of the model and no tool begins any more; calls of the model are cut off, tools
        that run are waited for. The session then rests in FAILED, its error's type is `Cancelled`,
        and a new prompt begins a new turn. A session that nobody runs rests at once, another one
        within a second, or when its tools have come back.

        Args:
            agent_id: Which session.

        Returns:
            Whether its turn was not over yet.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionStoreError: The store cannot be written.
        """
        return portal.run(self._core.cancel, agent_id)

    def events(
        self, agent_id: str, *, after: int = 0, follow: bool = False
    ) -> "portal.StreamPump[AgentEvent]":
        """Give what happened in a session, from its log: all of it, or what came after an event.

        Args:
            agent_id: Which session.
            after: Number (`seq`) of the last event that is known.
            follow: Whether to wait for later ones, until the caller leaves.

        Yields:
            Events by number. Pieces of text and progress of tools are not kept.

        Raises:
            SessionNotFoundError: There is no such session, or no longer.
            SessionDataError: A row of the log cannot be read.
        """
        return portal.StreamPump(lambda: self._core.events(agent_id, after=after, follow=follow))

    def fork(self, agent_id: str, *, at: int | None = None, new_agent_id: str | None = None) -> str:
        """Make another session that begins where this one was.

        What the fork does from there on it does itself, effects of tools included. Credentials
        stay with the session that they were given to.

        Args:
            agent_id: Which session.
            at: Number (`seq`) of the event after which the fork begins; None: as it is now.
            new_agent_id: The fork's id; None: a new one.

        Returns:
            The fork's id.

        Raises:
            SessionNotFoundError: There is no such session.
            ConfigurationError: There is no such event, or the log does not reach back to it.
            SessionConflictError: There is a session of the new id.
        """
        return portal.run(self._core.fork, agent_id, at=at, new_agent_id=new_agent_id)

    def export(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return all that is known of a session, to be kept or shown elsewhere.

        Args:
            agent_id: Which session.

        Returns:
            JSON values: the fields of `info()`, and `events`. Credentials are not in it, and what
            looks like one is replaced by dots.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return portal.run(self._core.export, agent_id)

    def delete(self, agent_id: str) -> bool:
        """Delete a session and the credentials that people gave it.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        return portal.run(self._core.delete, agent_id)

    def sweep(self) -> int:
        """Remove sessions whose time is up, those of other scopes as well.

        Returns:
            How many were removed.
        """
        return portal.run(self._core.sweep)

    def list(
        self, *, status: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> SessionPage:
        """Name the sessions, the newest first.

        Args:
            status: Only those in this state, such as "waiting_for_human"; None: all.
            cursor: `next_cursor` of the page before; None: from the beginning.
            limit: Sessions at most, 1 to 1000.

        Returns:
            A page.

        Raises:
            ConfigurationError: The cursor is none, or the limit is impossible.
        """
        return portal.run(self._core.list, status=status, cursor=cursor, limit=limit)

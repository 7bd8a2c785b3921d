"""Sessions from outside: listed, looked at, followed, answered, forked, exported, deleted."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Final, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.agent._inbox as inbox
import mbxai.agent._response as response
from mbxai._redaction import redact
from mbxai.agent._events import AgentEvent
from mbxai.agent._people import HumanResponse
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._runs import AgentSetup, not_found, settle
from mbxai.agent._session_log import EVENTS, SessionLog, events_of
from mbxai.agent.machine._snapshot import AgentSnapshot
from mbxai.agent.running._driver import CREDENTIALS
from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
)
from mbxai.sessions import LogRow, SessionPage, new_agent_id
from mbxai.sessions.journal import first_row, read_state, state_at

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given

_ROWS: Final = 200
_WAIT_SECONDS: Final = 30.0


class AsyncAgentSessions:
    """The sessions of an agent's scope, whoever runs them.

    It is `agent.sessions`. Nothing here claims a session, so all of it works while another process
    runs it.
    """

    def __init__(self, setup: AgentSetup) -> None:
        """Take an agent's store; made by the agent.

        Args:
            setup: The agent.
        """
        self._setup = setup
        self._store = setup.means.store
        self._scope = setup.means.scope

    async def get(
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
        snapshot = response.snapshot_of(agent_id, await self._state(agent_id, at))
        stored = response.response_of(snapshot, final_response_structure)
        return cast("AgentResponse[M]", stored)

    async def info(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return a session's fields as JSON values, without credentials.

        Args:
            agent_id: Which session.

        Returns:
            The fields of the state and those that mbxai 2.3 had, `conversation_length` among them.

        Raises:
            SessionNotFoundError: There is no such session; also a `ValueError`.
        """
        return response.session_info(await self._snapshot(agent_id))

    async def answer(self, agent_id: str, human_response: HumanResponse) -> None:
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
        await inbox.post(
            self._store,
            await self._snapshot(agent_id),
            human_response,
            scope=self._scope,
            now=time.time(),
        )

    async def cancel(self, agent_id: str) -> bool:
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
        snapshot = await self._snapshot(agent_id)
        if not snapshot.can_be_cancelled:
            return False
        await inbox.post_cancellation(self._store, snapshot, scope=self._scope)
        with suppress(SessionBusyError, SessionConflictError):  # whoever has it takes it in
            await settle(self._setup, agent_id)
        return True

    async def events(
        self, agent_id: str, *, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[AgentEvent]:
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
        await self._snapshot(agent_id)
        log = SessionLog(self._store, agent_id, scope=self._scope, after=after)
        while True:
            if events := await log.read():
                for event in events:
                    yield event
            elif not follow:
                return
            elif not await log.wait(_WAIT_SECONDS):
                await self._snapshot(agent_id)

    async def fork(
        self, agent_id: str, *, at: int | None = None, new_agent_id: str | None = None
    ) -> str:
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
        state = await self._state(agent_id, at)
        state.pop(CREDENTIALS, None)
        fork_id = new_agent_id or _new_id()
        state = {**state, "agent_id": fork_id}
        snapshot = response.snapshot_of(fork_id, state)
        await self._store.create(
            fork_id,
            {},
            scope=self._scope,
            rows=[first_row(state, [], time.time())],
            status=snapshot.state.value,
        )
        return fork_id

    async def export(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return all that is known of a session, to be kept or shown elsewhere.

        Args:
            agent_id: Which session.

        Returns:
            JSON values: the fields of `info()`, and `events`. Credentials are not in it, and what
            looks like one is replaced by dots.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        events = [event.model_dump(mode="json") async for event in self.events(agent_id)]
        exported = {**await self.info(agent_id), EVENTS: events}
        scrub = self._setup.means.vault.scrubber(agent_id)
        return cast("dict[str, Any]", _without_secrets(exported, scrub))

    async def delete(self, agent_id: str) -> bool:
        """Delete a session and the credentials that people gave it.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        self._setup.means.vault.forget(agent_id)
        return await self._store.delete(agent_id, scope=self._scope)

    async def sweep(self) -> int:
        """Remove sessions whose time is up, those of other scopes as well.

        Returns:
            How many were removed.
        """
        return await self._store.sweep()

    async def list(
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
        return await self._store.list(scope=self._scope, status=status, cursor=cursor, limit=limit)

    async def _snapshot(self, agent_id: str) -> AgentSnapshot:
        found = await read_state(self._store, agent_id, self._scope)
        if found is None or not found[1]:
            raise not_found(agent_id)
        return response.snapshot_of(agent_id, found[1])

    async def _rows(self, agent_id: str, *, after: int) -> "list[LogRow]":
        return await self._store.read_log(agent_id, scope=self._scope, after=after, limit=_ROWS)

    async def _state(self, agent_id: str, at: int | None) -> dict[str, Any]:  # Any: JSON
        found = await read_state(self._store, agent_id, self._scope)
        if found is None or not found[1]:
            raise not_found(agent_id)
        record, state = found
        if at is None:
            return state
        seq = await self._row_of(agent_id, at)
        earlier = None
        if seq is not None and seq <= record.seq:
            earlier = await state_at(self._store, agent_id, self._scope, seq)
        if earlier is None:
            raise ConfigurationError(
                f"Session {agent_id!r} cannot be read as it was at event {at}.",
                hint="Give the number of an event that agent.sessions.events() has, or None; older"
                " rows of the log may have been dropped.",
            )
        return earlier

    async def _row_of(self, agent_id: str, event_seq: int) -> int | None:
        """Return the number of the row that holds an event."""
        seq = 0
        while rows := await self._rows(agent_id, after=seq):
            for row in rows:
                if any(event.seq == event_seq for event in events_of(row, agent_id)):
                    return row.seq
            seq = rows[-1].seq
        return None


_new_id = new_agent_id  # `fork` has an argument of that name


def _without_secrets(value: object, scrub: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return redact(scrub(value))
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: _without_secrets(item, scrub) for key, item in items}
    if isinstance(value, list):
        return [_without_secrets(item, scrub) for item in cast("list[object]", value)]
    return value

"""A session's log, read as it grows."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from mbxai.agent._events import AgentEvent
from mbxai.errors import SessionDataError
from mbxai.sessions import LogRow, SessionStore

EVENTS: Final = "events"
"""The key of a row's content under which its events are."""

_EVENT: Final[TypeAdapter[AgentEvent]] = TypeAdapter(AgentEvent)
_ROWS: Final = 200


class SessionLog:
    """What happened in a session after an event that is known; each event comes once."""

    def __init__(
        self, store: SessionStore, agent_id: str, *, scope: str = "", after: int = 0
    ) -> None:
        """Begin to read; nothing is read yet.

        Args:
            store: Where the session is.
            agent_id: Which session.
            scope: Whose session.
            after: Number (`seq`) of the last event that is known.
        """
        self._store = store
        self._agent_id = agent_id
        self._scope = scope
        self._after = after
        self._row = 0

    async def read(self) -> list[AgentEvent]:
        """Return events that have not come yet; where there are many, not all of them.

        Returns:
            Events by number; none where there is nothing new.

        Raises:
            SessionDataError: A row of the log cannot be read.
        """
        while rows := await self._store.read_log(
            self._agent_id, scope=self._scope, after=self._row, limit=_ROWS
        ):
            self._row = rows[-1].seq
            found = [event for row in rows for event in events_of(row, self._agent_id)]
            if new := [event for event in found if event.seq > self._after]:
                self._after = new[-1].seq
                return new
        return []

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait for more.

        Args:
            timeout_seconds: How long at most.

        Returns:
            Whether there is more to read.
        """
        return await self._store.wait(
            self._agent_id, after=self._row, timeout_seconds=timeout_seconds, scope=self._scope
        )


def events_of(row: LogRow, agent_id: str) -> list[AgentEvent]:
    """Return the events in a row of a log.

    Args:
        row: The row.
        agent_id: Whose log it is; for the error.

    Raises:
        SessionDataError: It holds something that is no event.
    """
    try:
        return [_EVENT.validate_python(event) for event in row.content.get(EVENTS, ())]
    except (TypeError, ValidationError) as error:
        raise SessionDataError(
            f"Row {row.seq} of the log of session {agent_id!r} holds something that is no event.",
            hint="It may be of a newer mbxai; the session itself is not affected.",
            agent_id=agent_id,
        ) from error

"""The five-method session handler: what a user writes to keep sessions in a place of their own."""

import copy
import threading
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class SessionHandler(Protocol):
    """Five blocking methods over plain dicts; any class that has them will do.

    The dict holds JSON values only, so it may go through `json.dumps` and `json.loads`. Nothing
    else than the dict that was set may be given back. Methods may also be coroutine functions.

    A handler may have a sixth method, which makes it safe for several processes:
    `compare_and_set(agent_id, expected_version, session_data) -> bool` stores the dict only if the
    stored one's `"version"` is `expected_version` (0: there is none), in one step, and says whether
    it did. Without it one process at a time may run a session.
    """

    def get_session(self, agent_id: str) -> dict[str, Any] | None:  # Any: JSON
        """Read a session.

        Args:
            agent_id: Which session.

        Returns:
            The dict as it was set; None if there is none.
        """
        ...

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:  # Any: JSON
        """Store a session, replacing what was there.

        Args:
            agent_id: Which session.
            session_data: JSON values only.
        """
        ...

    def delete_session(self, agent_id: str) -> bool:
        """Remove a session.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        ...

    def list_sessions(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, in any order.
        """
        ...

    def session_exists(self, agent_id: str) -> bool:
        """Tell whether there is such a session.

        Args:
            agent_id: Which session.

        Returns:
            Whether there is.
        """
        ...


class InMemorySessionHandler:
    """Keeps sessions in this process until it ends. Thread-safe; copies both ways."""

    def __init__(self) -> None:
        """Start empty."""
        self._sessions: dict[str, dict[str, Any]] = {}  # Any: JSON
        self._lock = threading.Lock()  # guards _sessions

    def get_session(self, agent_id: str) -> dict[str, Any] | None:  # Any: JSON
        """Read a session.

        Args:
            agent_id: Which session.

        Returns:
            A copy of what was set; None if there is none.
        """
        with self._lock:
            session = self._sessions.get(agent_id)
        return copy.deepcopy(session)  # what lies in the table is never changed, only replaced

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:  # Any: JSON
        """Store a copy of a session, replacing what was there.

        Args:
            agent_id: Which session.
            session_data: Its data.
        """
        session = copy.deepcopy(session_data)
        with self._lock:
            self._sessions[agent_id] = session

    def compare_and_set(
        self,
        agent_id: str,
        expected_version: int,
        session_data: dict[str, Any],  # Any: JSON
    ) -> bool:
        """Store a copy of a session if nobody else has stored it meanwhile.

        Args:
            agent_id: Which session.
            expected_version: The stored dict's `"version"`; 0 if there is no dict, or none in it.
            session_data: Its data.

        Returns:
            Whether it was stored.
        """
        session = copy.deepcopy(session_data)
        with self._lock:
            if self._sessions.get(agent_id, {}).get("version", 0) != expected_version:
                return False
            self._sessions[agent_id] = session
            return True

    def delete_session(self, agent_id: str) -> bool:
        """Remove a session.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        with self._lock:
            return self._sessions.pop(agent_id, None) is not None

    def list_sessions(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, oldest first.
        """
        with self._lock:
            return list(self._sessions)

    def session_exists(self, agent_id: str) -> bool:
        """Tell whether there is such a session.

        Args:
            agent_id: Which session.

        Returns:
            Whether there is.
        """
        with self._lock:
            return agent_id in self._sessions

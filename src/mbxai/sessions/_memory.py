"""Sessions in this process's memory: the default, and the shortest store to read."""

import time
from collections.abc import Callable
from typing import Any

from mbxai._fork_lock import ForkLock
from mbxai.sessions._codec import encode
from mbxai.sessions._lease import StoredSession, check_claim, claimed, released, saved
from mbxai.sessions._store import SessionRecord, check_agent_id


class InMemorySessionStore:
    """Keeps sessions as JSON text until the process ends. Safe on several loops and threads."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        """Start empty.

        Args:
            now: The clock, in seconds since the epoch.
        """
        self._now = now
        self._sessions: dict[str, StoredSession] = {}
        self._lock = ForkLock()  # guards _sessions between read and write

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`.

        Args:
            agent_id: Which session.

        Returns:
            The session as last saved; None if there is none of this id.
        """
        check_agent_id(agent_id)
        with self._lock:
            stored = self._sessions.get(agent_id)
        return stored.record(agent_id) if stored else None

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`.

        Args:
            agent_id: Which session.
            owner: Names one run.
            lease_seconds: How long the claim outlives its owner's last word.

        Returns:
            The session as it is now.

        Raises:
            SessionBusyError: Another owner's lease is running.
        """
        check_agent_id(agent_id)
        check_claim(owner, lease_seconds)
        with self._lock:
            stored = claimed(
                self._sessions.get(agent_id),
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=self._now(),
            )
            self._sessions[agent_id] = stored
        return stored.record(agent_id)

    async def save(
        self,
        record: SessionRecord,
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data by compare-and-set and renew the lease; see `SessionStore.save`.

        Args:
            record: What `claim` or the last `save` gave.
            data: JSON with string keys.
            owner: Who claimed it.

        Returns:
            The stored record, one version later.

        Raises:
            SessionConflictError: The session was taken over, saved or deleted by another.
            SessionDataError: `data` is no JSON.
        """
        check_agent_id(record.agent_id)
        text = encode(data, agent_id=record.agent_id)
        with self._lock:
            stored = saved(
                self._sessions.get(record.agent_id), record, text, owner=owner, now=self._now()
            )
            self._sessions[record.agent_id] = stored
        return stored.record(record.agent_id)

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back; see `SessionStore.release`.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.
        """
        check_agent_id(record.agent_id)
        with self._lock:
            stored = released(
                self._sessions.get(record.agent_id), record, owner=owner, now=self._now()
            )
            if stored is None:
                self._sessions.pop(record.agent_id, None)
            else:
                self._sessions[record.agent_id] = stored

    async def delete(self, agent_id: str) -> bool:
        """Remove a session; see `SessionStore.delete`.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        check_agent_id(agent_id)
        with self._lock:
            return self._sessions.pop(agent_id, None) is not None

    async def aclose(self) -> None:
        """Do nothing: the sessions stay."""

    async def list(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, sorted.
        """
        with self._lock:
            return sorted(self._sessions)

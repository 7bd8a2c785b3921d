"""Session stores for code without an event loop."""

from collections.abc import Sequence
from typing import Self

import mbxai.portal as portal
from mbxai.errors import ConfigurationError
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
    SessionStore,
)


class BlockingSessionStore:
    """Any session store, for code without an event loop; also a context manager.

    Example:
        with BlockingSessionStore(SQLiteSessionStore("agents.db")) as store:
            for session in store.list(status="waiting_for_human").sessions:
                print(session.agent_id)
    """

    def __init__(self, store: SessionStore) -> None:
        """Wrap a store.

        Args:
            store: Others may use it at the same time, awaited or not.

        Raises:
            ConfigurationError: It is no store.
        """
        is_class = isinstance(store, type)  # which has the methods, too
        if is_class or not isinstance(store, SessionStore):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            name = getattr(store, "__name__", type(store).__name__)
            raise ConfigurationError(
                f"{name} is no session store.",
                hint="as_store() makes one of an object with the five methods of a handler.",
            )
        self._store: SessionStore = store

    @property
    def async_store(self) -> SessionStore:
        """The store that this one calls."""
        return self._store

    @property
    def keeps_log(self) -> bool:
        """Whether all rows of a log are kept until they are dropped.

        Where it is False the newest rows are, and each save must bring the whole data.
        """
        return self._store.keeps_log

    def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: What is stored is no session.
        """
        return portal.run(self._store.load, agent_id, scope=scope)

    def create(
        self,
        agent_id: str,
        data: JSON,
        *,
        scope: str = "",
        rows: Sequence[JSON] = (),
        status: str = "",
        due_at: float | None = None,
    ) -> SessionRecord:
        """Store a new session, which nobody has claimed.

        Args:
            agent_id: Its id.
            data: Its data.
            scope: Whose session.
            rows: The first rows of its log.
            status: What a list shall say about it.
            due_at: From when on a worker is wanted, in seconds since the epoch; None: none is.

        Returns:
            The stored record, version 1.

        Raises:
            SessionConflictError: There is a session of this id. Nothing was written.
            SessionDataError: `data` or a row is no JSON. Nothing was written.
        """
        return portal.run(
            self._store.create, agent_id, data, scope=scope, rows=rows, status=status, due_at=due_at
        )

    def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, and create it empty if there is none.

        The owner that holds the session may claim it again: that prolongs the lease and keeps
        the fence. Everybody else waits for the release or for the end of the lease, and gets the
        next fence.

        Args:
            agent_id: Which session.
            owner: Names one run, not a machine: whoever says the same name is the same writer.
            lease_seconds: How long the session stays claimed if nothing is heard of the owner;
                every save and heartbeat renews it for as long.
            scope: Whose session.

        Returns:
            The session as it is now; version 0 and empty data if it is new.

        Raises:
            SessionBusyError: Another owner's lease is running.
            SessionDataError: What is stored is no session; it is left as it is.
        """
        return portal.run(
            self._store.claim, agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope
        )

    def save(
        self,
        record: SessionRecord,
        data: JSON | None = None,
        *,
        owner: str,
        rows: Sequence[JSON] = (),
        status: str | None = None,
        answers_read: int = 0,
        drop_rows: int = 0,
    ) -> SessionRecord:
        """Store new data and rows for a claimed session, all or nothing, and renew the lease.

        Args:
            record: What `claim` or the last `save` gave.
            data: The new data, without the keys `version` and `_store`; None: as it was.
            owner: Who claimed it.
            rows: What to append to the log, in order.
            status: What a list shall say about it; None: as before.
            answers_read: The last answer of the inbox that the data or the rows take in; the
                content of all up to it is removed.
            drop_rows: The last row of the log that is not needed any more; 0: all are.

        Returns:
            The stored record, one version later; to be given to the next save.

        Raises:
            SessionConflictError: The session has another version, fence or owner by now, or was
                deleted. Nothing was written.
            SessionDataError: `data` or a row is no JSON. Nothing was written.
        """
        return portal.run(
            self._store.save,
            record,
            data,
            owner=owner,
            rows=rows,
            status=status,
            answers_read=answers_read,
            drop_rows=drop_rows,
        )

    def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease of a claimed session.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.

        Raises:
            SessionConflictError: The session has another fence or owner by now, or was deleted.
        """
        portal.run(self._store.heartbeat, record, owner=owner)

    def release(self, record: SessionRecord, *, owner: str, due_at: float | None = None) -> None:
        """Give a claimed session back. Nothing happens if it is no longer ours.

        A session that was claimed but never saved is removed again, if its lease still runs.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.
            due_at: From when on a worker is wanted, in seconds since the epoch; None: none is,
                unless there are answers that no save has taken in.
        """
        portal.run(self._store.release, record, owner=owner, due_at=due_at)

    def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox, whoever holds the session, if it has none yet.

        Args:
            agent_id: Which session.
            interaction_id: What is answered; a text as an id is one.
            content: The answer.
            scope: Whose session.

        Returns:
            The answer that the inbox has: this one, or the one that came first.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionDataError: `content` is no JSON. Nothing was written.
        """
        return portal.run(self._store.post_answer, agent_id, interaction_id, content, scope=scope)

    def read_answers(self, agent_id: str, *, scope: str = "", after: int = 0) -> list[PostedAnswer]:
        """Read a session's inbox.

        Args:
            agent_id: Which session.
            scope: Whose session.
            after: Only answers with a higher number.

        Returns:
            The answers by number; none for an unknown session.

        Raises:
            SessionDataError: An answer cannot be read.
        """
        return portal.run(self._store.read_answers, agent_id, scope=scope, after=after)

    def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log.

        Args:
            agent_id: Which session.
            scope: Whose session.
            after: Only rows with a higher number.
            limit: Rows at most, 1 or more.

        Returns:
            The rows by number; none for an unknown session.

        Raises:
            SessionDataError: A row cannot be read.
        """
        return portal.run(self._store.read_log, agent_id, scope=scope, after=after, limit=limit)

    def wait(self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = "") -> bool:
        """Wait for the next row of a session's log.

        Args:
            agent_id: Which session.
            after: The number of the last row that is known.
            timeout_seconds: How long to wait at most.
            scope: Whose session.

        Returns:
            Whether there is a later row.
        """
        return portal.run(
            self._store.wait, agent_id, after=after, timeout_seconds=timeout_seconds, scope=scope
        )

    def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session with its log and inbox, claimed or not, readable or not.

        Its owner's next save is a conflict.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            Whether there was one.
        """
        return portal.run(self._store.delete, agent_id, scope=scope)

    def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker and that nobody holds.

        These are the ones whose `due_at` has come, whose inbox has answers that no save has taken
        in, and whose lease ran out without a release.

        Args:
            scope: Whose sessions; None: everybody's.
            limit: Sessions at most, 1 or more.

        Returns:
            The sessions, those that have waited longest first as far as the store knows.
        """
        return portal.run(self._store.due, scope=scope, limit=limit)

    def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up, those of no worker only.

        Args:
            limit: Sessions at most.

        Returns:
            How many were removed; 0 where the store does it by itself.
        """
        return portal.run(self._store.sweep, limit=limit)

    def close(self) -> None:
        """Close what the store itself has opened; a later call opens it again."""
        portal.run(self._store.aclose)

    def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope, the newest first.

        Args:
            scope: Whose sessions.
            status: Only those about which the last save said this; None: all.
            cursor: `next_cursor` of the page before; None: from the beginning.
            limit: Sessions at most, 1 to 1000.

        Returns:
            A page.

        Raises:
            ConfigurationError: The cursor is none, or the limit is impossible.
        """
        return portal.run(self._store.list, scope=scope, status=status, cursor=cursor, limit=limit)

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close what the store itself has opened."""
        self.close()

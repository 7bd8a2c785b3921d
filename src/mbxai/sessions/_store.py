"""What a session store promises: the records and the protocol.

The stores themselves are in files of their own; what they decide is in `_lease.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

JSON: TypeAlias = dict[str, Any]  # Any: a JSON object with string keys
"""A JSON object; what a store is given, and what it gives back as a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One version of one stored session.

    Attributes:
        agent_id: The session's id.
        scope: Whose session it is (a tenant, a user); empty where nobody is told apart.
        version: How often the session was saved; 0 for one that was only claimed.
        fence: How often the session changed hands. A writer with an older fence has lost it.
        seq: Number of the last row of its log; 0 while there is none.
        status: What the last save said about it, such as "waiting_for_human".
        due_at: From when on a worker was wanted when it was claimed, in seconds since the epoch;
            None: none was, or its last owner did not give it back.
        answers_posted: Number of the last answer in its inbox; 0 while there is none.
        answers_read: Number of the last answer that a save has taken in.
        created_at: When it was made, in seconds since the epoch.
        updated_at: When it was saved last, in seconds since the epoch.
        data: What was saved last; a copy, so changing it changes nothing that is stored.
    """

    agent_id: str
    scope: str = ""
    version: int
    fence: int
    seq: int = 0
    status: str = ""
    due_at: float | None = None
    answers_posted: int = 0
    answers_read: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    data: JSON = field(repr=False)  # Not in repr: it holds the conversation.

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import session_html  # noqa: PLC0415  # only where it is looked at

        return session_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of a session's log, which only grows at its end.

    Attributes:
        seq: Its number, from 1 and without gaps.
        content: What a save appended.
    """

    seq: int
    content: JSON = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedAnswer:
    """An answer that waits in a session's inbox, or that was taken in.

    Attributes:
        number: Its place in the inbox, from 1.
        interaction_id: What it answers; an inbox has one answer to each.
        content: The answer; None once a save has taken it in.
        posted_at: When it came, in seconds since the epoch.
    """

    number: int
    interaction_id: str
    content: JSON | None = field(repr=False)
    posted_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What a list tells of a session.

    Attributes:
        agent_id: The session's id.
        scope: Whose session it is.
        version: How often it was saved; 0 where it cannot be read.
        status: What the last save said about it; "unreadable" where it cannot be read.
        is_claimed: Whether a worker holds it now.
        created_at: When it was made, in seconds since the epoch.
        updated_at: When it was saved last, in seconds since the epoch.
    """

    agent_id: str
    scope: str
    version: int
    status: str
    is_claimed: bool
    created_at: float
    updated_at: float

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import session_html  # noqa: PLC0415  # only where it is looked at

        return session_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """A part of a list.

    Attributes:
        sessions: Newest first. There may be fewer than asked for, even none, before the last page.
        next_cursor: What to ask for the next page with; None after the last one.
    """

    sessions: tuple[SessionSummary, ...]
    next_cursor: str | None

    def __repr__(self) -> str:
        """Show how many there are, not which."""
        return f"SessionPage(sessions={len(self.sessions)}, next_cursor={self.next_cursor!r})"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import sessions_html  # noqa: PLC0415  # only where it is looked at

        return sessions_html(self.sessions, has_more=self.next_cursor is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSession:
    """A session that wants a worker.

    Attributes:
        agent_id: The session's id.
        scope: Whose session it is.
    """

    agent_id: str
    scope: str


@runtime_checkable
class SessionStore(Protocol):
    """Where sessions live. One worker at a time writes a session.

    The order of things: `claim` (lease and fence), any number of `save` (compare-and-set) and
    `heartbeat`, `release`. A save that comes too late is discarded with a conflict and never
    merged. Beside the data of a session, which each save may replace, there are its log, to which
    each save may append, and its inbox, to which everybody may post answers at any time.

    A session is known by its scope and its id: another scope's session is not found. An id or a
    scope that no session can have (longer than 256 characters, with control characters, an empty
    id) raises SessionNotFoundError from every method that takes one. A store that cannot be read or
    written raises SessionStoreError from every method. What is given and what comes back are JSON
    objects with string keys; the keys `version` and `_store` at the top belong to the stores, and
    data or rows with them raise SessionDataError. One store may be used on several event loops, in
    turn and at once. `mbxai.testing.store_conformance` checks all of this.
    """

    @property
    def keeps_log(self) -> bool:
        """Whether all rows of a log are kept until they are dropped.

        Where it is False the newest rows are, and each save must bring the whole data.
        """
        ...

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: What is stored is no session.
        """
        ...

    async def create(
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
        ...

    async def claim(
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
        ...

    async def save(
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
        ...

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease of a claimed session.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.

        Raises:
            SessionConflictError: The session has another fence or owner by now, or was deleted.
        """
        ...

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back. Nothing happens if it is no longer ours.

        A session that was claimed but never saved is removed again, if its lease still runs.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.
            due_at: From when on a worker is wanted, in seconds since the epoch; None: none is,
                unless there are answers that no save has taken in.
        """
        ...

    async def post_answer(
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
        ...

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
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
        ...

    async def read_log(
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
        ...

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log.

        Args:
            agent_id: Which session.
            after: The number of the last row that is known.
            timeout_seconds: How long to wait at most.
            scope: Whose session.

        Returns:
            Whether there is a later row.
        """
        ...

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session with its log and inbox, claimed or not, readable or not.

        Its owner's next save is a conflict.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            Whether there was one.
        """
        ...

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker and that nobody holds.

        These are the ones whose `due_at` has come, whose inbox has answers that no save has taken
        in, and whose lease ran out without a release.

        Args:
            scope: Whose sessions; None: everybody's.
            limit: Sessions at most, 1 or more.

        Returns:
            The sessions, those that have waited longest first as far as the store knows.
        """
        ...

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up, those of no worker only.

        Args:
            limit: Sessions at most.

        Returns:
            How many were removed; 0 where the store does it by itself.
        """
        ...

    async def aclose(self) -> None:
        """Close what the store itself has opened; a later call opens it again."""
        ...

    async def list(
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
        ...

"""Who may write a session, and when it wants a worker: the decisions of every store.

Pure functions from what is stored to what shall be stored. A store reads, asks here and writes,
all in one transaction of its own.
"""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionNotFoundError,
)
from mbxai.sessions._codec import decode
from mbxai.sessions._store import JSON, SessionRecord, SessionSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as it lies in a store, without its log and inbox.

    Attributes:
        version: How often it was saved.
        fence: How often it changed hands.
        seq: Number of the last row of its log.
        status: What the last save said about it.
        owner: Who claimed it; None once it is released.
        until: End of the lease in seconds since the epoch.
        lease_seconds: What a save adds to now for the next end of the lease.
        due_at: From when on a worker is wanted; None: none is.
        answers_posted: Number of the last answer in its inbox.
        answers_read: Number of the last answer that a save has taken in.
        created_at: When it was made, in seconds since the epoch.
        updated_at: When it was saved last, in seconds since the epoch.
        content: The data as `_codec.encode` wrote it.
    """

    version: int
    fence: int
    seq: int = 0
    status: str = ""
    owner: str | None
    until: float
    lease_seconds: float
    due_at: float | None = None
    answers_posted: int = 0
    answers_read: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    content: bytes = field(repr=False)

    def record(self, agent_id: str, scope: str, data: JSON | None = None) -> SessionRecord:
        """Give the public view, with data of its own.

        Args:
            agent_id: The session's id.
            scope: Whose session it is.
            data: The data, where it has been read already.

        Returns:
            The record.

        Raises:
            SessionDataError: The content is no JSON object.
        """
        return SessionRecord(
            agent_id=agent_id,
            scope=scope,
            version=self.version,
            fence=self.fence,
            seq=self.seq,
            status=self.status,
            due_at=self.due_at,
            answers_posted=self.answers_posted,
            answers_read=self.answers_read,
            created_at=self.created_at,
            updated_at=self.updated_at,
            data=decode(self.content, agent_id=agent_id) if data is None else data,
        )

    def summary(self, agent_id: str, scope: str, now: float) -> SessionSummary:
        """Give what a list tells.

        Args:
            agent_id: The session's id.
            scope: Whose session it is.
            now: Seconds since the epoch.

        Returns:
            The summary.
        """
        return SessionSummary(
            agent_id=agent_id,
            scope=scope,
            version=self.version,
            status=self.status,
            is_claimed=self.is_leased(now),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def is_leased(self, now: float) -> bool:
        """Tell whether somebody's lease is running.

        Args:
            now: Seconds since the epoch.

        Returns:
            Whether it is.
        """
        return self.owner is not None and self.until > now

    def wanted_from(self) -> float | None:
        """Tell from when on a worker is wanted.

        Returns:
            Seconds since the epoch: the end of the lease of a session that is not given back,
            0.0 where answers wait, else `due_at`; None where none is wanted.
        """
        if self.owner is not None:
            return self.until
        return 0.0 if self.answers_posted > self.answers_read else self.due_at

    def is_expired(self, now: float, ttl_seconds: float | None) -> bool:
        """Tell whether the session's time is up.

        Args:
            now: Seconds since the epoch.
            ttl_seconds: How long a session is kept after its last save; None: for ever.

        Returns:
            Whether it is to be treated as not there.
        """
        if ttl_seconds is None or self.is_leased(now):
            return False
        return self.updated_at + ttl_seconds <= now


def unreadable_summary(agent_id: str, scope: str, created_at: float = 0.0) -> SessionSummary:
    """Give what a list tells of a session that cannot be read, so that it can be deleted.

    Args:
        agent_id: The session's id.
        scope: Whose session it is.
        created_at: By what it is sorted, in seconds since the epoch.

    Returns:
        The summary.
    """
    return SessionSummary(
        agent_id=agent_id,
        scope=scope,
        version=0,
        status="unreadable",
        is_claimed=False,
        created_at=created_at,
        updated_at=0.0,
    )


def check_claim(owner: str, lease_seconds: float) -> None:
    """Refuse an owner or a lease that would guard nothing.

    Args:
        owner: Any text but the empty one.
        lease_seconds: Above zero, finite.

    Raises:
        ConfigurationError: One of them is impossible.
    """
    if not owner:
        raise ConfigurationError("The owner of a session needs a name.")
    if not (lease_seconds > 0 and math.isfinite(lease_seconds)):
        raise ConfigurationError(f"lease_seconds must be above zero, got {lease_seconds}.")


def check_ttl(ttl_seconds: float | None) -> None:
    """Refuse a time to live that is none.

    Args:
        ttl_seconds: Above zero, finite; None: for ever.

    Raises:
        ConfigurationError: It is impossible.
    """
    if ttl_seconds is not None and not (ttl_seconds > 0 and math.isfinite(ttl_seconds)):
        raise ConfigurationError(f"ttl_seconds must be above zero, got {ttl_seconds}.")


def created(
    stored: StoredSession | None,
    agent_id: str,
    content: bytes,
    *,
    rows: int,
    status: str,
    due_at: float | None,
    now: float,
) -> StoredSession:
    """Decide whether a session can be made.

    Args:
        stored: What the store holds; None for an unknown id.
        agent_id: Which session.
        content: Its data.
        rows: How many rows its log begins with.
        status: What is said about it.
        due_at: From when on a worker is wanted.
        now: Seconds since the epoch.

    Returns:
        What to store.

    Raises:
        SessionConflictError: There is one of this id.
    """
    if stored is not None:
        raise SessionConflictError(
            f"There is a session {agent_id!r} already; nothing was written.",
            hint="Choose another id, or claim the one that there is.",
            agent_id=agent_id,
        )
    return StoredSession(
        version=1,
        fence=0,
        seq=rows,
        status=status,
        owner=None,
        until=0.0,
        lease_seconds=0.0,
        due_at=due_at,
        created_at=now,
        updated_at=now,
        content=content,
    )


def claimed(
    stored: StoredSession | None,
    agent_id: str,
    *,
    owner: str,
    lease_seconds: float,
    now: float,
    empty: bytes,
) -> StoredSession:
    """Decide a claim.

    Args:
        stored: What the store holds; None for an unknown id.
        agent_id: Which session.
        owner: Who wants it.
        lease_seconds: For how long.
        now: Seconds since the epoch.
        empty: The content of a new session.

    Returns:
        What to store.

    Raises:
        SessionBusyError: Another owner's lease is running.
    """
    until = now + lease_seconds
    if stored is None:
        return StoredSession(
            version=0,
            fence=1,
            owner=owner,
            until=until,
            lease_seconds=lease_seconds,
            created_at=now,
            updated_at=now,
            content=empty,
        )
    if stored.owner == owner:
        # Nobody came in between, else the owner would be another: the fence still holds.
        return replace(stored, until=until, lease_seconds=lease_seconds)
    if stored.is_leased(now):
        raise SessionBusyError(
            f"Another worker is running session {agent_id!r}, at most until {_clock(stored.until)}"
            f" ({stored.until - now:.1f} s).",
            hint="Wait for it, or try again after that.",
            agent_id=agent_id,
            until=stored.until,
        )
    return replace(
        stored, fence=stored.fence + 1, owner=owner, until=until, lease_seconds=lease_seconds
    )


def saved(
    stored: StoredSession | None,
    record: SessionRecord,
    content: bytes | None,
    *,
    owner: str,
    rows: int = 0,
    status: str | None = None,
    answers_read: int = 0,
    now: float,
) -> StoredSession:
    """Decide a save. The fence counts, not the clock: a late save is fine if nobody took over.

    Args:
        stored: What the store holds; None for an unknown id.
        record: What the writer last saw.
        content: The new data; None: as it was.
        owner: Who writes.
        rows: How many rows are appended to the log.
        status: What is said about the session; None: as before.
        answers_read: The last answer that was taken in.
        now: Seconds since the epoch.

    Returns:
        What to store.

    Raises:
        SessionConflictError: The writer does not hold the newest record.
    """
    stored = _held(stored, record, owner=owner)
    if stored.version != record.version:
        raise _conflict(record.agent_id, f"is at version {stored.version} and not {record.version}")
    return replace(
        stored,
        version=stored.version + 1,
        seq=stored.seq + rows,
        status=stored.status if status is None else status,
        until=now + stored.lease_seconds,
        answers_read=min(max(answers_read, stored.answers_read), stored.answers_posted),
        updated_at=now,
        content=stored.content if content is None else content,
    )


def prolonged(
    stored: StoredSession | None, record: SessionRecord, *, owner: str, now: float
) -> StoredSession:
    """Decide a heartbeat.

    Args:
        stored: What the store holds; None for an unknown id.
        record: A record of the claim.
        owner: Who claimed it.
        now: Seconds since the epoch.

    Returns:
        What to store.

    Raises:
        SessionConflictError: Another worker took over, or the session was deleted.
    """
    stored = _held(stored, record, owner=owner)
    return replace(stored, until=now + stored.lease_seconds)


def released(
    stored: StoredSession | None,
    record: SessionRecord,
    *,
    owner: str,
    due_at: float | None = None,
    now: float,
) -> StoredSession | None:
    """Decide a release.

    Args:
        stored: What the store holds; None for an unknown id.
        record: A record of the claim that ends.
        owner: Who gives it back.
        due_at: From when on a worker is wanted; None: none is.
        now: Seconds since the epoch.

    Returns:
        What to store: `stored` itself where there is nothing to do, None to remove a session
        that was never saved.
    """
    if stored is None or stored.fence != record.fence or stored.owner != owner:
        return stored
    if stored.version == 0 and stored.is_leased(now):
        return None
    return replace(stored, owner=None, until=0.0, due_at=due_at)


def posted(stored: StoredSession | None, agent_id: str) -> StoredSession:
    """Decide whether an answer can be posted that the inbox does not have yet.

    Args:
        stored: What the store holds; None for an unknown id.
        agent_id: Which session.

    Returns:
        What to store; the answer's number is its `answers_posted`.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    if stored is None or stored.version == 0:
        raise SessionNotFoundError(
            f"There is no session {agent_id!r} to answer.", agent_id=agent_id
        )
    return replace(stored, answers_posted=stored.answers_posted + 1)


def _held(stored: StoredSession | None, record: SessionRecord, *, owner: str) -> StoredSession:
    if stored is None:
        raise _conflict(record.agent_id, "was deleted meanwhile")
    if stored.fence != record.fence or stored.owner != owner:
        raise _conflict(record.agent_id, "is no longer claimed by this worker")
    return stored


def _conflict(agent_id: str, reason: str) -> SessionConflictError:
    return SessionConflictError(
        f"Session {agent_id!r} {reason}; nothing was written.",
        hint="Discard this run's changes; claim the session again to go on from what is stored.",
        agent_id=agent_id,
    )


def _clock(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a lease of thousands of years
        return f"{seconds:.0f} s after the epoch"

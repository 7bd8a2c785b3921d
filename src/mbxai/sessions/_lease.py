"""Who may write a session: the decisions of claim, save and release.

Pure functions from what is stored to what shall be stored. A store reads, asks here and writes,
all in one transaction of its own.
"""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mbxai.errors import ConfigurationError, SessionBusyError, SessionConflictError
from mbxai.sessions._codec import decode
from mbxai.sessions._store import SessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as it lies in a store.

    Attributes:
        version: How often it was saved.
        fence: How often it changed hands.
        owner: Who claimed it; None once it is released.
        until: End of the lease in seconds since the epoch.
        lease_seconds: What a save adds to now for the next end of the lease.
        text: The data as JSON text.
    """

    version: int
    fence: int
    owner: str | None
    until: float
    lease_seconds: float
    text: str = field(repr=False)

    def record(self, agent_id: str) -> SessionRecord:
        """Give the public view, with data of its own.

        Args:
            agent_id: The session's id.

        Returns:
            The record.

        Raises:
            SessionDataError: The text is no JSON object.
        """
        return SessionRecord(
            agent_id=agent_id,
            version=self.version,
            fence=self.fence,
            data=decode(self.text, agent_id=agent_id),
        )

    def is_leased(self, now: float) -> bool:
        """Tell whether somebody's lease is running.

        Args:
            now: Seconds since the epoch.

        Returns:
            Whether it is.
        """
        return self.owner is not None and self.until > now


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


def claimed(
    stored: StoredSession | None, agent_id: str, *, owner: str, lease_seconds: float, now: float
) -> StoredSession:
    """Decide a claim.

    Args:
        stored: What the store holds; None for an unknown id.
        agent_id: Which session.
        owner: Who wants it.
        lease_seconds: For how long.
        now: Seconds since the epoch.

    Returns:
        What to store.

    Raises:
        SessionBusyError: Another owner's lease is running.
    """
    until = now + lease_seconds
    if stored is None:
        return StoredSession(
            version=0, fence=1, owner=owner, until=until, lease_seconds=lease_seconds, text="{}"
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
    stored: StoredSession | None, record: SessionRecord, text: str, *, owner: str, now: float
) -> StoredSession:
    """Decide a save. The fence counts, not the clock: a late save is fine if nobody took over.

    Args:
        stored: What the store holds; None for an unknown id.
        record: What the writer last saw.
        text: The new data.
        owner: Who writes.
        now: Seconds since the epoch.

    Returns:
        What to store.

    Raises:
        SessionConflictError: The writer does not hold the newest record.
    """
    if stored is None:
        reason = "was deleted meanwhile"
    elif stored.fence != record.fence or stored.owner != owner:
        reason = "is no longer claimed by this worker"
    elif stored.version != record.version:
        reason = f"is at version {stored.version} and not {record.version}"
    else:
        return replace(
            stored, version=stored.version + 1, until=now + stored.lease_seconds, text=text
        )
    raise SessionConflictError(
        f"Session {record.agent_id!r} {reason}; nothing was written.",
        hint="Discard this run's changes; claim the session again to go on from what is stored.",
        agent_id=record.agent_id,
    )


def released(
    stored: StoredSession | None, record: SessionRecord, *, owner: str, now: float
) -> StoredSession | None:
    """Decide a release.

    Args:
        stored: What the store holds; None for an unknown id.
        record: A record of the claim that ends.
        owner: Who gives it back.
        now: Seconds since the epoch.

    Returns:
        What to store: `stored` itself where there is nothing to do, None to remove a session
        that was never saved.
    """
    if stored is None or stored.fence != record.fence or stored.owner != owner:
        return stored
    if stored.version == 0 and stored.is_leased(now):
        return None
    return replace(stored, owner=None, until=0.0)


def _clock(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a lease of thousands of years
        return f"{seconds:.0f} s after the epoch"

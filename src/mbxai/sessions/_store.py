"""What a session store promises: the record, the protocol and the rule for session ids.

The stores themselves are in files of their own; what they decide is in `_lease.py`.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from mbxai.errors import SessionNotFoundError

MAX_AGENT_ID_LENGTH: Final = 256
"""Characters in a session's id, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One version of one stored session.

    Attributes:
        agent_id: The session's id.
        version: How often the session was saved; 0 for one that was only claimed.
        fence: How often the session changed hands. A writer with an older fence has lost it.
        data: The agent's JSON; a copy, so changing it changes nothing that is stored.
    """

    agent_id: str
    version: int
    fence: int
    data: dict[str, Any] = field(repr=False)  # Any: JSON. Not in repr: it holds the conversation.


@runtime_checkable
class SessionStore(Protocol):
    """Where sessions live. One worker at a time writes a session.

    The order of things: `claim` (lease and fence), any number of `save` (compare-and-set),
    `release`. A save that comes too late is discarded with a conflict and never merged.

    An id that no session can have (empty, longer than 256 characters, with control characters)
    raises SessionNotFoundError from every method that takes one. A store that cannot be read or
    written raises SessionStoreError from every method.
    """

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session without claiming it.

        Args:
            agent_id: Which session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: What is stored is no session.
        """
        ...

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run, and create it empty if there is none.

        The owner that holds the session may claim it again: that prolongs the lease and keeps
        the fence. Everybody else waits for the release or for the end of the lease, and gets the
        next fence.

        Args:
            agent_id: Which session.
            owner: Names one run, not a machine: whoever says the same name is the same writer.
            lease_seconds: How long the session stays claimed if nothing is heard of the owner;
                every save renews it for as long.

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
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data for a claimed session and renew the lease.

        Args:
            record: What `claim` or the last `save` gave.
            data: JSON with string keys, without the keys `version` and `_store`.
            owner: Who claimed it.

        Returns:
            The stored record, one version later; to be given to the next save.

        Raises:
            SessionConflictError: The session has another version, fence or owner by now, or was
                deleted. Nothing was written.
            SessionDataError: `data` is no JSON. Nothing was written.
        """
        ...

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back. Nothing happens if it is no longer ours.

        A session that was claimed but never saved is removed again.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.
        """
        ...

    async def delete(self, agent_id: str) -> bool:
        """Remove a session, claimed or not; its owner's next save is a conflict.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        ...

    async def aclose(self) -> None:
        """Close what the store itself has opened; a later call opens it again."""
        ...

    async def list(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, sorted.
        """
        ...


def check_agent_id(agent_id: str) -> None:
    """Refuse an id that no session can have.

    Slashes and dots are plain data: no file name is ever made of an id.

    Args:
        agent_id: 1 to 256 characters, none of them a control character or half a surrogate pair.

    Raises:
        SessionNotFoundError: The id cannot be one.
    """
    if (
        isinstance(agent_id, str)  # pyright: ignore[reportUnnecessaryIsInstance] - comes from users
        and 0 < len(agent_id) <= MAX_AGENT_ID_LENGTH
        and not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in agent_id)
    ):
        return
    # The id itself is not repeated: it may be ten kilobytes of terminal escapes.
    raise SessionNotFoundError(
        "There is no session of this agent_id.",
        hint=f"An agent_id has 1 to {MAX_AGENT_ID_LENGTH} characters and no control characters.",
    )

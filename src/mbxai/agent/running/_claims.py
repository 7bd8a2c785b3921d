"""A session is claimed before it runs and given back afterwards, however the caller leaves."""

import asyncio
from typing import Any, Final

from mbxai._cancellation import outlast
from mbxai._redaction import get_logger
from mbxai.errors import SessionConflictError, SessionError
from mbxai.sessions import SessionRecord, SessionStore

logger = get_logger(__name__)

_RELEASE_SECONDS: Final = 5.0


async def claimed(
    store: SessionStore, agent_id: str, *, owner: str, lease_seconds: float
) -> SessionRecord:
    """Claim a session; a claim that a cancelled caller did not wait for is given back.

    Args:
        store: Where sessions live.
        agent_id: Which session; an unknown one is made.
        owner: Under which name it is claimed.
        lease_seconds: How long the claim holds without a sign of life.

    Raises:
        SessionError: Another worker runs it, or it cannot be stored.
    """
    return await _claimed(store, agent_id, owner=owner, lease_seconds=lease_seconds, held=None)


async def renew(
    store: SessionStore, record: SessionRecord, *, owner: str, lease_seconds: float
) -> None:
    """Claim a session once more, by which its lease begins anew.

    Args:
        store: Where sessions live.
        record: The session as it is held.
        owner: Under which name it was claimed.
        lease_seconds: How long the claim holds from now on.

    Raises:
        SessionConflictError: The lease had run out and another worker came in between, or the
            session was deleted. What this claim made of it is given back.
        SessionError: Another worker runs it now, or it cannot be stored.
    """
    found = await _claimed(
        store, record.agent_id, owner=owner, lease_seconds=lease_seconds, held=record
    )
    if _is_same(found, record):
        return
    await give_back(store, found, owner=owner)
    raise SessionConflictError(
        f"Session {record.agent_id!r} was taken over or deleted meanwhile; this run's later "
        "changes were discarded.",
        hint="Call agent() again to go on from what is stored.",
        agent_id=record.agent_id,
    )


async def give_back(store: SessionStore, record: SessionRecord, *, owner: str) -> None:
    """Release a session, also if the caller is cancelled before that has begun.

    That it fails is only logged: what the run came to matters more, and the lease ends by itself.

    Args:
        store: Where sessions live.
        record: The session as it was claimed.
        owner: Under which name it was.
    """
    releasing = asyncio.ensure_future(store.release(record, owner=owner))
    cancelled = await outlast(releasing, _RELEASE_SECONDS)
    error = _failure(releasing)
    if cancelled is not None and isinstance(error, asyncio.CancelledError):
        # A loop that ends cancels all of its tasks, also one that has not begun.
        releasing = asyncio.ensure_future(store.release(record, owner=owner))
        await outlast(releasing, _RELEASE_SECONDS)
        error = _failure(releasing)
    if isinstance(error, SessionError):
        logger.warning("agent %s is not given back: %s", record.agent_id, error)
    elif error is not None:  # of a user's own store: it may say anything
        logger.warning("agent %s is not given back: %s", record.agent_id, type(error).__name__)
    if cancelled is not None:
        raise cancelled


async def _claimed(
    store: SessionStore,
    agent_id: str,
    *,
    owner: str,
    lease_seconds: float,
    held: SessionRecord | None,
) -> SessionRecord:
    """Claim; if the caller is cancelled meanwhile, give back what it did not hold before."""
    claiming = asyncio.ensure_future(
        store.claim(agent_id, owner=owner, lease_seconds=lease_seconds)
    )
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        undoing = asyncio.ensure_future(
            _undo(store, claiming, agent_id, owner=owner, lease_seconds=lease_seconds, held=held)
        )
        await outlast(undoing, _RELEASE_SECONDS)
        _failure(undoing)
        raise


async def _undo(
    store: SessionStore,
    claiming: asyncio.Future[SessionRecord],
    agent_id: str,
    *,
    owner: str,
    lease_seconds: float,
    held: SessionRecord | None,
) -> None:
    """Give back what a claim will give or has given, unless it was held before."""
    await asyncio.wait({claiming}, timeout=_RELEASE_SECONDS)
    error = _failure(claiming)
    if isinstance(error, asyncio.CancelledError):
        # A loop that ends cancels all of its tasks; the store may have claimed all the same, and
        # who claims again learns of it.
        found = await store.claim(agent_id, owner=owner, lease_seconds=lease_seconds)
    elif error is None:
        found = claiming.result()
    else:
        return
    if not _is_same(found, held):
        await give_back(store, found, owner=owner)


def _failure(task: "asyncio.Future[Any]") -> BaseException | None:  # Any: whatever it returns
    """Return why a task gave no result; one that still runs is cancelled."""
    if task.cancel():
        return TimeoutError()
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()  # read, lest asyncio complain that nobody did


def _is_same(found: SessionRecord, held: SessionRecord | None) -> bool:
    return held is not None and (found.fence, found.version) == (held.fence, held.version)

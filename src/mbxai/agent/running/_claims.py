"""A session is claimed before it runs and given back afterwards, however the caller leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mbxai._cancellation import outlast
from mbxai._redaction import get_logger
from mbxai.errors import SessionError
from mbxai.sessions import SessionRecord, SessionStore

logger = get_logger(__name__)

_RELEASE_SECONDS: Final = 5.0


async def claimed(
    store: SessionStore,
    agent_id: str,
    *,
    owner: str,
    lease_seconds: float,
    scope: str = "",
    due_at: float | None = None,
) -> SessionRecord:
    """Claim a session; a claim that a cancelled caller did not wait for is given back.

    Args:
        store: Where sessions live.
        agent_id: Which session; an unknown one is made.
        owner: Under which name it is claimed.
        lease_seconds: How long the claim holds without a sign of life.
        scope: Whose session.
        due_at: From when on a worker is wanted if the claim is given back, in seconds since 1970;
            None: as before.

    Raises:
        SessionError: Another worker runs it, or it cannot be stored.
    """

    async def claim() -> SessionRecord:
        return await store.claim(agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope)

    claiming = asyncio.ensure_future(claim())
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        undoing = asyncio.ensure_future(_undo(store, claiming, claim, owner=owner, due_at=due_at))
        await outlast(undoing, _RELEASE_SECONDS)
        _failure(undoing)
        raise


async def give_back(
    store: SessionStore, record: SessionRecord, *, owner: str, due_at: float | None = None
) -> None:
    """Release a session, also if the caller is cancelled before that has begun.

    That it fails is only logged: what the run came to matters more, and the lease ends by itself.

    Args:
        store: Where sessions live.
        record: The session as it was claimed.
        owner: Under which name it was.
        due_at: From when on a worker is wanted, in seconds since 1970; None: none is.
    """

    async def release() -> None:
        await store.release(record, owner=owner, due_at=due_at)

    releasing = asyncio.ensure_future(release())
    cancelled = await outlast(releasing, _RELEASE_SECONDS)
    error = _failure(releasing)
    if cancelled is not None and isinstance(error, asyncio.CancelledError):
        # A loop that ends cancels all of its tasks, also one that has not begun.
        releasing = asyncio.ensure_future(release())
        await outlast(releasing, _RELEASE_SECONDS)
        error = _failure(releasing)
    if isinstance(error, SessionError):
        logger.warning("agent %s is not given back: %s", record.agent_id, error)
    elif error is not None:  # of a user's own store: it may say anything
        logger.warning("agent %s is not given back: %s", record.agent_id, type(error).__name__)
    if cancelled is not None:
        raise cancelled


async def _undo(
    store: SessionStore,
    claiming: asyncio.Future[SessionRecord],
    claim: Callable[[], Awaitable[SessionRecord]],
    *,
    owner: str,
    due_at: float | None,
) -> None:
    """Give back what a claim will give or has given."""
    await asyncio.wait({claiming}, timeout=_RELEASE_SECONDS)
    error = _failure(claiming)
    if isinstance(error, asyncio.CancelledError):
        # A loop that ends cancels all of its tasks; the store may have claimed all the same, and
        # who claims again learns of it.
        record = await claim()
    elif error is None:
        record = claiming.result()
    else:
        return
    kept = record.due_at if due_at is None else due_at
    await give_back(store, record, owner=owner, due_at=kept)


def _failure(task: "asyncio.Future[Any]") -> BaseException | None:  # Any: whatever it returns
    """Return why a task gave no result; one that still runs is cancelled."""
    if task.cancel():
        return TimeoutError()
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()  # read, lest asyncio complain that nobody did

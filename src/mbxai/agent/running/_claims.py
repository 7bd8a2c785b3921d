"""A session is claimed before it runs and given back afterwards, however the caller leaves."""

import asyncio
from contextlib import suppress
from typing import Final

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import SessionError
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
    claiming = asyncio.ensure_future(
        store.claim(agent_id, owner=owner, lease_seconds=lease_seconds)
    )
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        with anyio.move_on_after(_RELEASE_SECONDS, shield=True), suppress(SessionError):
            await store.release(await claiming, owner=owner)
        raise


async def give_back(store: SessionStore, record: SessionRecord, *, owner: str) -> None:
    """Release a session, also if the caller is cancelled before that has begun.

    Args:
        store: Where sessions live.
        record: The session as it was claimed.
        owner: Under which name it was.
    """
    releasing = asyncio.ensure_future(store.release(record, owner=owner))
    # anyio's shield alone does not hold back task.cancel().
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.wait({releasing}, timeout=_RELEASE_SECONDS)
        except asyncio.CancelledError:
            await asyncio.wait({releasing}, timeout=_RELEASE_SECONDS)
            if not releasing.cancel():
                releasing.exception()  # read, lest asyncio complain that nobody did
            raise
    error = None if releasing.cancel() else releasing.exception()
    if isinstance(error, SessionError):
        # What the run came to matters more; the lease ends by itself.
        logger.warning("agent %s is not given back: %s", record.agent_id, error)
    elif error is not None:
        raise error

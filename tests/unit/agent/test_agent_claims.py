"""A session is claimed, renewed and given back, whatever the store and the caller do meanwhile."""

import asyncio
from typing import Any

import anyio
import pytest

from mbxai.agent.running._claims import claimed, give_back
from mbxai.sessions import InMemorySessionStore, SessionRecord

TERMS: dict[str, Any] = {"owner": "me", "lease_seconds": 60}


class ForeignError(Exception):
    """What no store should raise, and a user's own does."""


class SlowStore(InMemorySessionStore):
    """Takes a while after each claim, and raises what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.claiming = asyncio.Event()
        self.claim_error: Exception | None = None
        self.release_error: BaseException | None = None
        self.seconds = 0.02

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        record = await super().claim(
            agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope
        )
        self.claiming.set()
        await asyncio.sleep(self.seconds)
        if self.claim_error is not None:
            raise self.claim_error
        return record

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        await super().release(record, owner=owner, due_at=due_at)
        if self.release_error is not None:
            raise self.release_error


async def held_session(store: InMemorySessionStore, *, turns: int = 1) -> SessionRecord:
    """A session that was saved and changed hands so many times; the last one is "me"."""
    record = await store.claim("s", **TERMS)
    record = await store.save(record, {"a": 1}, owner="me")
    for _ in range(turns - 1):
        await store.release(record, owner="me")
        record = await store.claim("s", **TERMS)
    return record


async def claimable(store: InMemorySessionStore) -> bool:
    """Whether nothing of the session is left: another owner gets it as a new one."""
    record = await store.claim("s", owner="another", lease_seconds=60)
    return (record.version, record.fence) == (0, 1)


async def cancelled_in_claim(store: SlowStore, call: Any) -> asyncio.Task[Any]:
    store.claiming.clear()
    run = asyncio.create_task(call)
    await store.claiming.wait()
    run.cancel()
    await asyncio.wait({run}, timeout=5)
    return run


@pytest.mark.parametrize("where", ["claim_error", "release_error"])
async def test_a_cancel_in_a_claim_stays_one_although_a_users_own_store_raises(where):
    store = SlowStore()
    setattr(store, where, ForeignError())

    run = await cancelled_in_claim(store, claimed(store, "s", **TERMS))

    assert run.cancelled(), run


async def test_a_cancelled_claim_is_given_back():
    store = SlowStore()

    run = await cancelled_in_claim(store, claimed(store, "s", **TERMS))

    assert run.cancelled()
    assert await claimable(store)


@pytest.mark.parametrize("error", [ForeignError("pw hunter2"), asyncio.CancelledError()])
async def test_a_release_that_fails_in_any_way_is_logged_and_harms_nothing(error, caplog):
    store = SlowStore()
    record = await held_session(store)
    store.release_error = error

    with anyio.fail_after(5):
        await give_back(store, record, owner="me")

    assert type(error).__name__ in caplog.text
    assert "hunter2" not in caplog.text


def end_loop_in(store: SlowStore, call: Any) -> None:
    """Leave a loop while the call is under way; it then cancels all of its tasks."""

    async def main() -> None:
        kept.append(asyncio.create_task(call))
        await store.claiming.wait()

    kept: list[asyncio.Task[Any]] = []
    asyncio.run(main())


def test_a_loop_that_ends_in_a_claim_leaves_no_session_claimed():
    store = SlowStore()

    end_loop_in(store, claimed(store, "s", **TERMS))

    assert asyncio.run(claimable(store))


@pytest.mark.parametrize("steps", range(4))
def test_a_loop_that_ends_while_a_session_is_given_back_leaves_it_free(steps):
    store = InMemorySessionStore()
    record = asyncio.run(held_session(store))
    kept: list[asyncio.Task[Any]] = []

    async def main() -> None:
        kept.append(asyncio.create_task(give_back(store, record, owner="me")))
        for _ in range(steps):
            await asyncio.sleep(0)

    asyncio.run(main())
    if steps:  # else it had not begun
        again = asyncio.run(store.claim("s", owner="another", lease_seconds=60))
        assert again.fence == record.fence + 1
    assert kept[0].done()

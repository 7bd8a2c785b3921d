"""The stores that need no server keep every promise of the protocol."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

import pytest
from support.session_handlers import AsyncTextHandler, TextHandler
from support.timed_checks import TIMED_CHECKS

from mbxai.errors import SessionBusyError, SessionConflictError, SessionNotFoundError
from mbxai.sessions import (
    HandlerSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    SessionStore,
    SQLiteSessionStore,
    as_store,
)
from mbxai.testing.store_conformance import CHECKS, Check, CheckOutcome, Sizes

# A handler keeps the newest rows of a log only, and each save brings the whole data.
NOT_OF_HANDLERS = {"save_without_data_keeps_the_data", "long_log_is_kept_whole"}

Opener = Callable[..., SessionStore]


def memory() -> Opener:
    """One store for all workers: its sessions live in the object."""
    return cache(
        lambda now, ttl_seconds=None: InMemorySessionStore(now=now, ttl_seconds=ttl_seconds)
    )


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_memory_keeps_every_promise(check: Check):
    result = await check.run(memory())
    assert (result.outcome, result.reason) == (CheckOutcome.PASSED, "")


class OfAUser(InMemorySessionStore):
    """Stands in no module of mbxai, so it is put behind the guard."""


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_guard_of_foreign_stores_breaks_no_promise(check: Check):
    foreign = cache(lambda now, ttl_seconds=None: OfAUser(now=now, ttl_seconds=ttl_seconds))

    def open_store(*, now: Callable[[], float], ttl_seconds: float | None = None) -> SessionStore:
        store = as_store(foreign(now, ttl_seconds))
        assert not isinstance(store, OfAUser)
        return store

    result = await check.run(open_store)
    assert (result.outcome, result.reason) == (CheckOutcome.PASSED, "")


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_sqlite_keeps_every_promise(check: Check, tmp_path):
    result = await check.run(partial(SQLiteSessionStore, tmp_path / "s.db"))
    assert (result.outcome, result.reason) == (CheckOutcome.PASSED, "")


@pytest.mark.parametrize("handler", [InMemorySessionHandler, TextHandler, AsyncTextHandler])
@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_handler_keeps_every_promise_but_long_logs(check: Check, handler):
    result = await check.run(partial(HandlerSessionStore, handler()))
    expected = CheckOutcome.NOT_APPLICABLE if check.name in NOT_OF_HANDLERS else CheckOutcome.PASSED
    assert result.outcome == expected


@pytest.mark.parametrize("check", TIMED_CHECKS, ids=str)
async def test_sqlite_keeps_its_promises_by_the_machine_s_clock(check: Check, tmp_path):
    def open_store(*, ttl_seconds: float | None = None) -> SessionStore:
        return SQLiteSessionStore(tmp_path / "s.db", ttl_seconds=ttl_seconds)

    result = await check.run(open_store, sizes=Sizes(lease_seconds=0.4))
    assert (result.outcome, result.reason) == (CheckOutcome.PASSED, "")


@pytest.mark.parametrize("agent_id", [None, 7, b"a", ["a"]])
async def test_what_is_no_text_is_no_id(agent_id: Any, tmp_path):
    stores = (
        InMemorySessionStore(),
        SQLiteSessionStore(tmp_path / "s.db"),
        HandlerSessionStore(TextHandler()),
    )
    for store in stores:
        for call in (store.load, store.delete, store.read_log):
            with pytest.raises(SessionNotFoundError):
                await call(cast("str", agent_id))
            with pytest.raises(SessionNotFoundError):
                await call("a", scope=cast("str", agent_id))
        await store.aclose()
    assert not (tmp_path / "s.db").exists()


def stores_at(path, now) -> tuple[SessionStore, ...]:
    return (
        InMemorySessionStore(now=now),
        SQLiteSessionStore(path / "s.db", now=now),
        HandlerSessionStore(TextHandler(), now=now),
    )


async def test_message_of_a_busy_session_says_until_when(tmp_path):
    for store in stores_at(tmp_path, lambda: 1_000_000.0):
        await store.claim("a", owner="one", lease_seconds=10)
        with pytest.raises(
            SessionBusyError, match=r"until 1970-01-12T13:46:50\+00:00 \(10\.0 s\)"
        ) as caught:
            await store.claim("a", owner="two", lease_seconds=10)
        assert caught.value.until == 1_000_010.0
        await store.claim("b", owner="one", lease_seconds=1e15)
        with pytest.raises(SessionBusyError, match="s after the epoch"):
            await store.claim("b", owner="two", lease_seconds=10)
        await store.aclose()


async def test_message_of_a_conflict_says_why_and_what_to_do(tmp_path):
    for store in stores_at(tmp_path, lambda: 1_000_000.0):
        old = await store.claim("a", owner="one", lease_seconds=10)
        new = await store.save(old, {}, owner="one")
        reasons = {"is at version 1 and not 0": (old, "one"), "no longer claimed": (new, "two")}
        for reason, (record, owner) in reasons.items():
            with pytest.raises(SessionConflictError, match=f"'a' .*{reason}.*nothing was written"):
                await store.save(record, {}, owner=owner)
        await store.delete("a")
        with pytest.raises(SessionConflictError, match="'a' was deleted meanwhile") as caught:
            await store.save(new, {}, owner="one")
        assert caught.value.hint.startswith("Discard this run's changes")
        await store.aclose()


async def test_expired_handler_session_makes_room_for_a_new_one_by_compare_and_set():
    time = 1_000_000.0
    store = HandlerSessionStore(InMemorySessionHandler(), ttl_seconds=10, now=lambda: time)
    await store.create("a", {"n": 1})
    time += 11
    assert (await store.create("a", {"n": 2})).version == 1
    assert (await store.load("a")).data == {"n": 2}

"""A store without an event loop: the same calls, the same sessions."""

import asyncio
import functools

import pytest

from mbxai.errors import ConfigurationError, SessionBusyError, SessionStoreError
from mbxai.sessions import (
    BlockingSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    SQLiteSessionStore,
    as_store,
)
from mbxai.testing.store_conformance import check_store, check_store_sync


@pytest.fixture(params=["memory", "sqlite"])
def path(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "sessions.db"


def opened(path):
    return InMemorySessionStore() if path is None else SQLiteSessionStore(path)


def test_a_session_lives_its_whole_life_without_a_loop(path):
    with BlockingSessionStore(opened(path)) as store:
        assert store.load("a") is None
        record = store.claim("a", owner="me", lease_seconds=60)
        with pytest.raises(SessionBusyError):
            store.claim("a", owner="you", lease_seconds=60)
        store.heartbeat(record, owner="me")
        assert store.wait("a", after=0, timeout_seconds=0) is False
        record = store.save(record, {"n": 1}, owner="me", rows=[{"row": 1}], status="running")
        assert [row.content for row in store.read_log("a")] == [{"row": 1}]
        assert store.wait("a", after=0, timeout_seconds=5) is True
        posted = store.post_answer("a", "question", {"yes": True})
        assert store.read_answers("a") == [posted]
        store.release(record, owner="me", due_at=0.0)
        assert [due.agent_id for due in store.due()] == ["a"]
        store.create("b", {"n": 2})
        assert {session.agent_id for session in store.list().sessions} == {"a", "b"}
        assert store.load("a").data == {"n": 1}
        assert store.sweep() == 0
        assert store.delete("a")
        assert not store.delete("a")


def test_it_is_the_store_that_others_use_at_the_same_time(tmp_path):
    inner = SQLiteSessionStore(tmp_path / "sessions.db")
    with BlockingSessionStore(inner) as store:
        store.create("a", {"n": 1})
        assert asyncio.run(inner.load("a")).data == {"n": 1}
        assert store.load("a") == asyncio.run(inner.load("a"))
        assert store.keeps_log is inner.keeps_log is True


def test_it_is_closed_at_the_end_of_the_block_and_opens_again(tmp_path):
    store = BlockingSessionStore(SQLiteSessionStore(tmp_path / "sessions.db"))
    with store:
        store.create("a", {})
    assert store.load("a").version == 1
    store.close()


def test_errors_of_the_store_arrive_as_themselves(tmp_path):
    store = BlockingSessionStore(SQLiteSessionStore(tmp_path / "nowhere" / "sessions.db"))
    with pytest.raises(SessionStoreError, match="directory"):
        store.load("a")


@pytest.mark.parametrize(
    "given", [None, "sessions.db", InMemorySessionHandler(), SQLiteSessionStore]
)
def test_what_is_no_store_is_refused_with_a_way_out(given):
    with pytest.raises(ConfigurationError, match="no session store") as caught:
        BlockingSessionStore(given)
    assert "as_store()" in caught.value.hint


def test_who_wants_a_store_takes_the_blocking_one(path):
    inner = opened(path)
    assert as_store(BlockingSessionStore(inner)) is inner


def test_a_store_is_checked_without_a_loop_as_with_one(tmp_path):
    only = ["unknown_session_is_not_there", "json_comes_back_as_it_was_given"]
    opening = functools.partial(SQLiteSessionStore, tmp_path / "sessions.db")
    report = check_store_sync(opening, only=only)
    assert report.is_conformant()
    awaited = asyncio.run(check_store(opening, only=only))
    assert [result.name for result in report.results] == only
    assert [(r.name, r.outcome) for r in awaited.results] == [
        (r.name, r.outcome) for r in report.results
    ]

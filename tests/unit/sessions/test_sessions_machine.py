"""Two owners do claims, saves and releases in any order: one writer, and nothing saved is lost."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mbxai.errors import SessionBusyError, SessionConflictError
from mbxai.sessions import (
    HandlerSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    SessionRecord,
    SQLiteSessionStore,
)

OWNERS = st.sampled_from(["one", "two"])
LEASE = 10.0


class Sessions(RuleBasedStateMachine):
    """One session, two owners and a clock; the fields say what must be true of it."""

    def make_store(self, directory: str):
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.time = 0.0
        self.store = self.make_store(self.directory.name)
        self.held: dict[str, SessionRecord] = {}  # what each owner believes to hold
        self.holder: str | None = None
        self.until = 0.0
        self.data: dict[str, int] = {}  # as last saved
        self.exists = False
        self.saves = 0
        self.fence = 0

    def run(self, coroutine):
        return self.runner.run(coroutine)

    @rule(owner=OWNERS)
    def claim(self, owner: str) -> None:
        free = self.holder in {None, owner} or self.until <= self.time
        try:
            record = self.run(self.store.claim("a", owner=owner, lease_seconds=LEASE))
        except SessionBusyError:
            assert not free
            return
        assert free
        assert record.data == self.data
        assert record.fence >= self.fence
        if self.holder not in {None, owner}:
            assert record.fence > self.fence
        self.fence, self.holder, self.until = record.fence, owner, self.time + LEASE
        self.held[owner] = record
        self.exists = True

    @rule(owner=OWNERS)
    def save(self, owner: str) -> None:
        record = self.held.get(owner)
        if record is None:
            return
        self.saves += 1
        data = {"n": self.saves}
        try:
            self.held[owner] = self.run(self.store.save(record, data, owner=owner))
        except SessionConflictError:
            assert self.holder != owner or not self.exists
            return
        assert self.holder == owner
        self.data, self.until = data, self.time + LEASE

    @rule(owner=OWNERS)
    def save_an_old_record(self, owner: str) -> None:
        record = self.held.get(owner)
        if record is None or record.version == 0:
            return
        old = SessionRecord(
            agent_id="a", version=record.version - 1, fence=record.fence, data=record.data
        )
        with pytest.raises(SessionConflictError):
            self.run(self.store.save(old, {"n": -1}, owner=owner))

    @rule(owner=OWNERS)
    def release(self, owner: str) -> None:
        record = self.held.get(owner)
        if record is None:
            return
        self.run(self.store.release(record, owner=owner))
        if self.holder == owner:
            if not self.data and self.until > self.time:
                self.exists, self.fence = False, 0
            self.holder = None

    @rule()
    def delete(self) -> None:
        assert self.run(self.store.delete("a")) is self.exists
        self.exists, self.holder, self.data, self.fence = False, None, {}, 0

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @invariant()
    def stored_is_what_was_last_saved(self) -> None:
        record = self.run(self.store.load("a"))
        assert (record is not None) is self.exists
        if record is not None:
            assert record.data == self.data

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.aclose())
            self.runner.close()
            self.directory.cleanup()


class MemorySessions(Sessions):
    def make_store(self, directory: str):
        return InMemorySessionStore(now=lambda: self.time)


class SQLiteSessions(Sessions):
    def make_store(self, directory: str):
        return SQLiteSessionStore(Path(directory) / "s.db", now=lambda: self.time)


class HandlerSessions(Sessions):
    def make_store(self, directory: str):
        return HandlerSessionStore(InMemorySessionHandler(), now=lambda: self.time)


for machine, examples in ((MemorySessions, 60), (SQLiteSessions, 15), (HandlerSessions, 20)):
    machine.TestCase.settings = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, database=None
    )

TestMemorySessions = MemorySessions.TestCase
TestSQLiteSessions = SQLiteSessions.TestCase
TestHandlerSessions = HandlerSessions.TestCase

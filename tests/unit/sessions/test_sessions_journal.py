"""The journal: a step writes what it adds, and the state of every step can be read again."""

from collections.abc import Sequence
from typing import Any

import pytest

from mbxai.errors import SessionConflictError, SessionDataError
from mbxai.sessions import InMemorySessionStore, SessionRecord
from mbxai.sessions.journal import LOG_SEQ, Journal, first_row, opened, read_state, state_at


class CountingStore(InMemorySessionStore):
    """Counts the bytes of rows, and how often whole states are written."""

    def __init__(self, *, keeps_log: bool = True) -> None:
        super().__init__()
        self.keeps_log = keeps_log
        self.whole = 0
        self.row_bytes: list[int] = []

    async def save(
        self, record: SessionRecord, data: dict[str, Any] | None = None, **given: Any
    ) -> SessionRecord:
        self.whole += data is not None
        rows: Sequence[Any] = given.get("rows", ())
        self.row_bytes.extend(len(repr(row)) for row in rows)
        return await super().save(record, data, **given)


async def journal_on(store: InMemorySessionStore) -> Journal:
    record = await store.claim("s", owner="me", lease_seconds=60)
    return await opened(store, record)


def state_of(step: int) -> dict[str, Any]:
    return {"steps": [f"step {n}" for n in range(step)], "count": step}


async def test_the_state_of_every_step_is_there_again() -> None:
    store = CountingStore()
    journal = await journal_on(store)
    for step in range(1, 301):
        await journal.save(state_of(step), owner="me", events=[{"n": step}], at=1.0)

    record, state = await read_state(store, "s", "") or pytest.fail("no session")
    assert (record.version, record.seq, state) == (300, 300, state_of(300))
    for step in (1, 128, 129, 130, 258, 259, 260, 300):
        assert await state_at(store, "s", "", step) == state_of(step)
    assert await state_at(store, "s", "", 301) is None
    assert await state_at(store, "s", "", 0) is None
    rows = await store.read_log("s", after=10, limit=2)
    assert [row.content["events"] for row in rows] == [[{"n": 11}], [{"n": 12}]]


async def test_a_step_writes_what_it_adds_and_whole_states_come_ever_more_rarely() -> None:
    store = CountingStore()
    journal = await journal_on(store)
    for step in range(1, 1001):
        await journal.save(state_of(step), owner="me")

    assert store.whole == 3  # after 129, 259 and 519 rows
    assert max(store.row_bytes[1:]) < 200
    assert (await opened(store, journal.record)).state == state_of(1000)


async def test_where_no_log_is_kept_the_data_is_whole_each_time() -> None:
    store = CountingStore(keeps_log=False)
    journal = await journal_on(store)
    for step in range(1, 6):
        await journal.save(state_of(step), owner="me", events=[{"n": step}])

    stored = await store.load("s")
    assert stored is not None
    assert stored.data == {**state_of(5), LOG_SEQ: 5}
    assert store.whole == 5
    assert (await opened(store, stored)).state == state_of(5)
    assert await state_at(store, "s", "", 3) is None


async def test_rows_may_be_dropped_behind_a_whole_state() -> None:
    store = CountingStore()
    journal = await journal_on(store)
    for step in range(1, 141):
        await journal.save(state_of(step), owner="me", keep_rows=5)

    rows = await store.read_log("s")
    assert rows[0].seq == 125  # dropped with the state of row 129
    assert (await opened(store, journal.record)).state == state_of(140)
    assert await state_at(store, "s", "", 129) == state_of(129)
    assert await state_at(store, "s", "", 128) is None


async def test_a_row_that_is_missing_or_does_not_fit_is_a_data_error() -> None:
    store = InMemorySessionStore()
    journal = await journal_on(store)
    for step in range(1, 4):
        await journal.save(state_of(step), owner="me")
    record = await store.save(journal.record, owner="me", rows=[{"at": 1.0}])
    with pytest.raises(SessionDataError):
        await opened(store, record)

    gap = await store.save(record, {}, owner="me", drop_rows=2)
    with pytest.raises(SessionDataError):
        await opened(store, gap)
    odd = await store.save(gap, {LOG_SEQ: "many"}, owner="me")
    with pytest.raises(SessionDataError):
        await opened(store, odd)
    assert await store.delete("s")


async def test_a_save_that_is_refused_changes_nothing_here_either() -> None:
    store = InMemorySessionStore()
    journal = await journal_on(store)
    await journal.save(state_of(1), owner="me")
    await store.delete("s")
    with pytest.raises(SessionConflictError):
        await journal.save(state_of(2), owner="me")
    assert (journal.state, journal.record.version) == (state_of(1), 1)


async def test_a_session_may_begin_with_its_first_row() -> None:
    store = InMemorySessionStore()
    await store.create("s", {}, rows=[first_row(state_of(3), [{"n": 1}], 1.0)])
    found = await read_state(store, "s", "")
    assert found is not None
    assert found[1] == state_of(3)
    assert await read_state(store, "unknown", "") is None


async def test_a_whole_state_of_before_there_were_logs_is_read() -> None:
    store = InMemorySessionStore()
    record = await store.claim("s", owner="me", lease_seconds=60)
    await store.save(record, state_of(4), owner="me")
    found = await read_state(store, "s", "")
    assert found is not None
    assert found[1] == state_of(4)

"""Checks of saves: all or nothing, compared with what the writer last saw."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import anyio

from mbxai.errors import SessionConflictError
from mbxai.sessions import LogRow, SessionStore
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import expect, expect_equal, expect_error
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

_ROWS_A_SAVE: Final = 8
_PAGE_ROWS: Final = 25


@check("A save is one version later, and what it returns is what `load` gives to everybody.")
async def save_is_seen_by_everybody(trial: Trial) -> None:
    store, reader, agent_id = trial.store, trial.open(), trial.id()
    first = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await trial.pass_time(0.01)
    second = await store.save(first, {"n": 1}, owner="one", rows=[{"row": 1}], status="working")
    got = (second.version, second.fence, second.seq, second.status, second.data)
    expect_equal("the first save", got, (1, first.fence, 1, "working", {"n": 1}))
    expect_equal("load by another worker", await reader.load(agent_id), second)
    await trial.pass_time(0.01)
    third = await store.save(second, {"m": 2}, owner="one")
    got = (third.version, third.fence, third.seq, third.status, third.data)
    expect_equal("the second save", got, (2, first.fence, 1, "working", {"m": 2}))
    expect_equal("load by another worker", await reader.load(agent_id), third)
    expect_equal("created_at", (second.created_at, third.created_at), (first.created_at,) * 2)
    times = [record.updated_at for record in (first, second, third)]
    expect(times == sorted(times), f"updated_at of three records: expected to grow, got {times}")
    await store.release(third, owner="one")
    expect_equal("load after the release", await reader.load(agent_id), third)


@check("A save without data keeps the data, and appends its rows all the same.")
async def save_without_data_keeps_the_data(trial: Trial) -> None:
    trial.needs_whole_log()
    store, agent_id = trial.store, trial.id()
    record = await store.create(agent_id, {"n": 1})
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, owner="one", rows=[{"row": 1}], status="working")
    got = (record.version, record.seq, record.status, record.data)
    expect_equal("what the save gave", got, (2, 1, "working", {"n": 1}))
    expect_equal("load", await store.load(agent_id), record)


@check("A save from an older record is a SessionConflictError, and nothing at all is written.")
async def old_record_is_a_conflict(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    old = await store.create(agent_id, {"n": 1}, rows=[{"row": 1}])
    await store.post_answer(agent_id, "question", {"answer": 1})
    old = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    new = await store.save(old, {"n": 2}, owner="one", rows=[{"row": 2}], status="new")
    saving = store.save(
        old, {"n": 99}, owner="one", rows=[{"row": 99}], status="old", answers_read=1, drop_rows=2
    )
    error = await expect_error(SessionConflictError, "save of an older record", saving)
    expect_equal("agent_id of the error", error.agent_id, agent_id)
    expect_equal("load", await store.load(agent_id), new)
    rows = [row.content for row in await store.read_log(agent_id)]
    expect_equal("the log", rows, [{"row": 1}, {"row": 2}])
    answers = [answer.content for answer in await store.read_answers(agent_id)]
    expect_equal("the inbox", answers, [{"answer": 1}])


@check("The rows of a log are numbered from 1 without a gap, across `create` and every save.")
async def log_is_numbered_without_gaps(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.create(agent_id, {}, rows=[{"row": 1}, {"row": 2}])
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    for first, count in ((3, 1), (4, 0), (4, 5), (9, 2)):
        rows = [{"row": first + number} for number in range(count)]
        record = await store.save(record, {}, owner="one", rows=rows)
        expect_equal("seq after a save", record.seq, first + count - 1)
    await expect_log(store, agent_id, [{"row": number} for number in range(1, 11)])


@check("A log is read in pages: rows after a number, so many at most, in order.")
async def log_is_read_in_pages(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    rows = [{"row": number} for number in range(1, 26)]
    await store.create(agent_id, {}, rows=rows)
    for after, limit in ((0, 1), (0, 10), (10, 10), (20, 10), (24, 1), (25, 10), (1000, 1)):
        page = await trial.open().read_log(agent_id, after=after, limit=limit)
        wanted = [LogRow(seq=row["row"], content=row) for row in rows[after : after + limit]]
        expect_equal(f"read_log(after={after}, limit={limit})", page, wanted)
    expect_equal("read_log", len(await store.read_log(agent_id)), len(rows))


@check("`drop_rows` removes the rows up to a number with the save; the others keep theirs.")
async def dropped_rows_are_gone(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.create(agent_id, {}, rows=[{"row": n} for n in (1, 2, 3)])
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {}, owner="one", rows=[{"row": 4}], drop_rows=2)
    expect_equal("seq after rows were dropped", record.seq, 4)
    wanted = [LogRow(seq=number, content={"row": number}) for number in (3, 4)]
    expect_equal("the log", await store.read_log(agent_id), wanted)
    page = await store.read_log(agent_id, after=1, limit=1)
    expect_equal("read_log(after=1, limit=1)", page, wanted[:1])
    record = await store.save(record, {}, owner="one", drop_rows=4)
    expect_equal("the log without rows", await store.read_log(agent_id), [])
    record = await store.save(record, {}, owner="one", rows=[{"row": 5}])
    wanted = [LogRow(seq=5, content={"row": 5})]
    expect_equal("the log afterwards", await store.read_log(agent_id), wanted)


@check("A log may be long: millions of bytes in rows come back as they were saved.")
async def long_log_is_kept_whole(trial: Trial) -> None:
    trial.needs_whole_log()
    store, agent_id, size = trial.store, trial.id(), trial.sizes.row_bytes
    count = trial.sizes.log_bytes // size
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    for first in range(0, count, _ROWS_A_SAVE):
        numbers = range(first, min(first + _ROWS_A_SAVE, count))
        rows = [{"text": _noise(number, size)} for number in numbers]
        record = await store.save(record, {"saved": first}, owner="one", rows=rows)
    expect_equal("seq at the end", record.seq, count)
    reader, seen = trial.open(), 0
    while page := await reader.read_log(agent_id, after=seen, limit=_PAGE_ROWS):
        for row in page:
            expect_equal("the number of a row", row.seq, seen + 1)
            expect(
                row.content == {"text": _noise(seen, size)}, f"row {row.seq}: it is another text"
            )
            seen = row.seq
    expect_equal("rows that were read", seen, count)


@check("`wait` is True at once where there is a later row, and False when the time is up.")
async def wait_tells_what_there_is(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.create(agent_id, {}, rows=[{"row": 1}, {"row": 2}])
    for after in (0, 1):
        got = await store.wait(agent_id, after=after, timeout_seconds=0)
        expect_equal(f"wait(after={after}) with two rows", got, True)
        got = await store.wait(agent_id, after=after, timeout_seconds=LONG_SECONDS * 10)
        expect_equal(f"wait(after={after}) with two rows, for long", got, True)
    for seconds in (0, 0.1):
        got = await store.wait(agent_id, after=2, timeout_seconds=seconds)
        expect_equal(f"wait(after=2) with two rows, for {seconds} s", got, False)


@check("`wait` wakes everybody who waits for a row when any worker saves one.")
async def wait_wakes_on_a_new_row(trial: Trial) -> None:
    store, readers, agent_id = trial.store, (trial.open(), trial.open()), trial.id()
    await store.create(agent_id, {}, rows=[{"row": 1}])
    woken: list[bool] = []
    early: list[bool] = []

    async def follow(reader: SessionStore) -> None:
        woken.append(await reader.wait(agent_id, after=1, timeout_seconds=LONG_SECONDS))

    async with anyio.create_task_group() as group:
        for reader in (store, *readers) * 3:
            group.start_soon(follow, reader)
        await anyio.sleep(0.1)
        early += woken
        record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
        await store.save(record, {}, owner="one", rows=[{"row": 2}])
    expect_equal("wait before there was a row", early, [])
    expect_equal("wait of nine readers", woken, [True] * 9)


@check("A cancelled `wait` ends at once and disturbs nobody.")
async def wait_can_be_cancelled(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.create(agent_id, {}, rows=[{"row": 1}])
    for seconds in (0, 0.001, 0.03):
        with anyio.move_on_after(seconds) as scope:
            await store.wait(agent_id, after=1, timeout_seconds=LONG_SECONDS)
        expect(scope.cancelled_caught, f"wait that is cancelled after {seconds} s: it went on")
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await store.save(record, {}, owner="one", rows=[{"row": 2}])
    got = await store.wait(agent_id, after=1, timeout_seconds=LONG_SECONDS)
    expect_equal("the next wait", got, True)


async def expect_log(
    store: SessionStore,
    agent_id: str,
    contents: Sequence[dict[str, Any]],  # Any: JSON
) -> None:
    """Go on only if a log holds these rows, or the newest of them where it keeps no more.

    Args:
        store: Where.
        agent_id: Which session.
        contents: All rows that were ever appended.

    Raises:
        Unmet: It holds others, or with other numbers.
    """
    rows = await store.read_log(agent_id)
    wanted = [LogRow(seq=seq, content=content) for seq, content in enumerate(contents, 1)]
    kept = len(wanted) if store.keeps_log else len(rows)
    expect_equal("the log", rows, wanted[len(wanted) - kept :])


def _noise(number: int, length: int) -> str:
    """Text that no compression halves again, the same each time."""
    return hashlib.shake_128(str(number).encode()).hexdigest((length + 1) // 2)[:length]


CHECKS: Final = (
    save_is_seen_by_everybody,
    save_without_data_keeps_the_data,
    old_record_is_a_conflict,
    log_is_numbered_without_gaps,
    log_is_read_in_pages,
    dropped_rows_are_gone,
    long_log_is_kept_whole,
    wait_tells_what_there_is,
    wait_wakes_on_a_new_row,
    wait_can_be_cancelled,
)

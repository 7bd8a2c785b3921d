"""Checks of lists and of sessions whose time is up."""

from collections.abc import Awaitable, Callable
from typing import Final

from mbxai.errors import ConfigurationError, SessionConflictError, SessionNotFoundError
from mbxai.sessions import SessionRecord, SessionStore, SessionSummary
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import NO_DATA, expect, expect_equal, expect_error
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

_PAGE: Final = 7
_MAX_PAGES: Final = 10_000


@check("A list tells of each session its version, status, times and whether it is claimed.")
async def list_tells_what_there_is(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    agent_id = trial.id("a", scope)
    record = await store.create(agent_id, {}, scope=scope, status="new")
    await _expect_summary(store, record, is_claimed=False)
    await trial.pass_time(1 if trial.clock else 0.01)
    record = await store.claim(agent_id, owner="one", lease_seconds=trial.lease, scope=scope)
    record = await store.save(record, {}, owner="one", status="working")
    await _expect_summary(store, record, is_claimed=True if trial.clock else None)
    await trial.outlive(trial.lease)
    await _expect_summary(store, record, is_claimed=False)
    record = await store.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS, scope=scope)
    await _expect_summary(store, record, is_claimed=True)
    await store.release(record, owner="two")
    await _expect_summary(store, record, is_claimed=False)


@check("A list in pages names each session exactly once, the newest first.")
async def list_pages_have_each_session_once(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    ids = [trial.id(f"{'aAzZ'[number % 4]}{number}", scope) for number in range(trial.sizes.listed)]
    for number in range(0, len(ids), _PAGE + 1):  # so many at the same time, and then later ones
        batch = ids[number : number + _PAGE + 1]
        await trial.at_once([_creation(store, agent_id, scope) for agent_id in batch])
        await trial.pass_time(1 if trial.clock else 0)
    for limit in (1000, len(ids), _PAGE):
        listed = await _all_pages(trial.open(), scope, limit=limit)
        got = sorted(one.agent_id for one in listed)
        expect_equal(f"sessions in pages of {limit}", got, sorted(ids))
        times = [one.created_at for one in listed]
        expect(times == sorted(times, reverse=True), f"pages of {limit}: not the newest first")


@check("A list can be asked for one status only; it is the status of the last save.")
async def list_filters_by_status(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    statuses = {trial.id(f"s{n}", scope): ("open", "done", "")[n % 3] for n in range(30)}
    for agent_id, status in statuses.items():
        await store.create(agent_id, {}, scope=scope, status=status)
    moved = next(iter(statuses))
    record = await store.claim(moved, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    await store.save(record, {}, owner="one", status="done")
    statuses[moved] = "done"
    for status in ("open", "done", "", "Done", "unknown"):
        listed = await _all_pages(store, scope, status=status, limit=4)
        wanted = sorted(agent_id for agent_id, its in statuses.items() if its == status)
        got = sorted(one.agent_id for one in listed)
        expect_equal(f"sessions with the status {status!r}", got, wanted)


@check("A list goes on properly while sessions are made, saved and deleted between its pages.")
async def list_goes_on_while_sessions_change(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    ids = [trial.id(f"s{number}", scope) for number in range(20)]
    for agent_id in ids:
        await store.create(agent_id, {}, scope=scope)
        await trial.pass_time(1 if trial.clock else 0.001)
    seen: list[str] = []
    cursor: str | None = None
    for number in range(len(ids)):
        page = await store.list(scope=scope, cursor=cursor, limit=5)
        seen += [one.agent_id for one in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break
        if number < 2:
            for name in (f"new{number}", f"newer{number}"):
                await store.create(trial.id(name, scope), {}, scope=scope)
        elif number < 4:
            for agent_id in seen[2 * number : 2 * number + 2]:
                await store.delete(agent_id, scope=scope)
        record = await store.claim(
            ids[number], owner="one", lease_seconds=LONG_SECONDS, scope=scope
        )
        await store.save(record, {"n": number}, owner="one")
        await trial.pass_time(1 if trial.clock else 0)
    doubled = {agent_id for agent_id in seen if seen.count(agent_id) > 1}
    expect_equal("sessions that were named twice", doubled, set[str]())
    expect_equal("sessions that were there and not named", set(ids) - set(seen), set[str]())


@check("A cursor that is none, and a limit that no page has, are ConfigurationErrors.")
async def bad_cursors_and_limits_are_refused(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    await store.create(trial.id("a", scope), {}, scope=scope)
    for cursor in (
        "",
        "nonsense",
        "🦜",
        "AAAA",
        "e30",
        "W10",
        "W251bGwsMV0",
        "x" * 10_240,
        "\x00",
        "' OR 1=1 --",
    ):
        listing = store.list(scope=scope, cursor=cursor)
        await expect_error(ConfigurationError, f"list with the cursor {cursor[:20]!r}", listing)
    for limit in (0, -1, 1001):
        listing = store.list(scope=scope, limit=limit)
        await expect_error(ConfigurationError, f"list with the limit {limit}", listing)


@check("A session whose time is up is not found, in any way; its id may be used again.")
async def expired_session_is_not_found(trial: Trial) -> None:
    ttl, scope = trial.lease, trial.scope()
    store = trial.open(ttl_seconds=ttl)
    agent_id, claimed, deleted = (trial.id(name, scope) for name in "abc")
    for each in (agent_id, claimed, deleted):
        record = await store.create(each, {"n": 1}, scope=scope, rows=[{"n": 1}], due_at=0.0)
        await store.post_answer(each, "q1", {}, scope=scope)
    await trial.outlive(ttl)
    expect_equal("load", await store.load(agent_id, scope=scope), None)
    expect_equal("read_log", await store.read_log(agent_id, scope=scope), [])
    expect_equal("read_answers", await store.read_answers(agent_id, scope=scope), [])
    expect_equal("wait", await store.wait(agent_id, after=0, timeout_seconds=0, scope=scope), False)
    expect_equal("list", (await store.list(scope=scope)).sessions, ())
    expect_equal("due", await store.due(scope=scope), [])
    posting = store.post_answer(agent_id, "q2", {}, scope=scope)
    await expect_error(SessionNotFoundError, "post_answer to it", posting)
    await store.delete(deleted, scope=scope)  # which may still tell that there was one
    expect_equal("load after delete", await store.load(deleted, scope=scope), None)
    record = await store.create(agent_id, {"n": 2}, scope=scope)
    got = (record.version, record.seq, record.answers_posted, record.data)
    expect_equal("create of the same id", got, (1, 0, 0, {"n": 2}))
    expect_equal("its log", await store.read_log(agent_id, scope=scope), [])
    record = await store.claim(claimed, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    got = (record.version, record.seq, record.answers_posted, record.data)
    expect_equal("claim of the same id", got, (0, 0, 0, NO_DATA))
    expect_equal("its inbox", await store.read_answers(claimed, scope=scope), [])


@check("The time to live begins anew with each save.")
async def save_prolongs_the_life(trial: Trial) -> None:
    ttl = 3 * trial.lease
    store, agent_id = trial.open(ttl_seconds=ttl), trial.id()
    await store.create(agent_id, {"n": 0})
    for number in range(1, 4):
        record = await store.claim(agent_id, owner="one", lease_seconds=trial.lease / 10)
        expect_equal("version before a save", record.version, number)
        record = await store.save(record, {"n": number}, owner="one")
        await store.release(record, owner="one")
        await trial.pass_time(ttl * 0.5)
    loaded = await store.load(agent_id)
    expect_equal("data after 1.5 times to live", loaded.data if loaded else None, {"n": 3})
    await trial.outlive(ttl * 0.5)
    expect_equal("load one time to live after the last save", await store.load(agent_id), None)


@check("A session is never removed while its lease runs, whatever the time to live is.")
async def claimed_session_does_not_expire(trial: Trial) -> None:
    ttl = trial.lease
    store, scope = trial.open(ttl_seconds=ttl), trial.scope()
    held, beaten, lost = (trial.id(name, scope) for name in ("held", "beaten", "lost"))
    records: dict[str, SessionRecord] = {}
    for agent_id in (held, beaten, lost):
        lease = ttl / 10 if agent_id == lost else 8 * ttl
        record = await store.claim(agent_id, owner="one", lease_seconds=lease, scope=scope)
        records[agent_id] = await store.save(record, {"n": 1}, owner="one")
    for _ in range(2):
        await trial.outlive(1.5 * ttl)
        await store.sweep()
        for agent_id in (held, beaten):
            loaded = await store.load(agent_id, scope=scope)
            expect_equal("data of a claimed session", loaded.data if loaded else None, {"n": 1})
        await store.heartbeat(records[beaten], owner="one")
    saved = await store.save(records[held], {"n": 2}, owner="one")
    expect_equal("version of its owner's next save", saved.version, 2)
    saving = store.save(records[lost], {"n": 2}, owner="one")
    await expect_error(SessionConflictError, "save after lease and time to live", saving)


@check("`sweep` removes sessions whose time is up and no others, so many at most.")
async def sweep_removes_what_is_over(trial: Trial) -> None:
    store, scope = trial.open(ttl_seconds=trial.lease), trial.scope()
    old = [trial.id(f"old{number}", scope) for number in range(5)]
    for agent_id in old:
        await store.create(agent_id, {}, scope=scope)
    await trial.outlive(trial.lease)
    held = await store.claim(
        trial.id("held", scope), owner="one", lease_seconds=LONG_SECONDS, scope=scope
    )
    held = await store.save(held, {"n": 1}, owner="one")
    first = await store.sweep(limit=2)
    expect(first in {0, 2}, f"sweep(limit=2) with five to remove: expected 2 (or 0), got {first}")
    rest = await store.sweep()
    expect(rest >= 3 if first else rest == 0, f"the sweep after it: got {rest}")
    expect_equal("a sweep with nothing to do", await store.sweep(), 0)
    left = [one.agent_id for one in (await store.list(scope=scope)).sessions]
    expect_equal("what is left", left, [held.agent_id])
    await store.save(held, {"n": 2}, owner="one")


@check("Without a time to live sessions stay, swept or not.")
async def sessions_stay_without_a_time_to_live(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    before = await store.create(agent_id, {"n": 1}, rows=[{"n": 1}])
    await trial.pass_time(1e9 if trial.clock else trial.lease)
    await store.sweep()
    expect_equal("load", await store.load(agent_id), before)


async def _all_pages(
    store: SessionStore, scope: str, *, limit: int, status: str | None = None
) -> list[SessionSummary]:
    listed: list[SessionSummary] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await store.list(scope=scope, status=status, cursor=cursor, limit=limit)
        got = len(page.sessions)
        expect(got <= limit, f"a page: expected {limit} sessions at most, got {got}")
        listed += page.sessions
        cursor = page.next_cursor
        if cursor is None:
            break
    expect_equal("next_cursor of the last page", cursor, None)
    return listed


async def _expect_summary(
    store: SessionStore, record: SessionRecord, *, is_claimed: bool | None
) -> None:
    (got,) = (await store.list(scope=record.scope)).sessions
    wanted = SessionSummary(
        agent_id=record.agent_id,
        scope=record.scope,
        version=record.version,
        status=record.status,
        is_claimed=got.is_claimed if is_claimed is None else is_claimed,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )
    expect_equal("what list tells", got, wanted)


def _creation(
    store: SessionStore, agent_id: str, scope: str
) -> Callable[[], Awaitable[SessionRecord]]:
    return lambda: store.create(agent_id, {}, scope=scope)


CHECKS: Final = (
    list_tells_what_there_is,
    list_pages_have_each_session_once,
    list_filters_by_status,
    list_goes_on_while_sessions_change,
    bad_cursors_and_limits_are_refused,
    expired_session_is_not_found,
    save_prolongs_the_life,
    claimed_session_does_not_expire,
    sweep_removes_what_is_over,
    sessions_stay_without_a_time_to_live,
)

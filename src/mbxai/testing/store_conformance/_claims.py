"""Checks of who holds a session: create, claim, heartbeat, release, delete and their fences."""

from collections.abc import Awaitable, Callable
from typing import Final

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionNotFoundError,
)
from mbxai.sessions import SessionRecord, SessionStore
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import (
    NO_DATA,
    NotApplicable,
    expect,
    expect_equal,
    expect_error,
)
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

_ATTEMPTS: Final = 5


@check("`claim` makes a session that there is not: version 0, no data, seen by `load` alone.")
async def claim_of_an_unknown_session_makes_it(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    agent_id = trial.id("a", scope)
    record = await store.claim(agent_id, owner="one", lease_seconds=trial.lease, scope=scope)
    got = (record.agent_id, record.scope, record.version, record.seq, record.data)
    expect_equal("what claim gave", got, (agent_id, scope, 0, 0, NO_DATA))
    expect_equal("load", await store.load(agent_id, scope=scope), record)
    expect_equal("list", (await store.list(scope=scope)).sessions, ())
    posting = store.post_answer(agent_id, "question", {}, scope=scope)
    await expect_error(SessionNotFoundError, "post_answer before the first save", posting)
    await trial.outlive(trial.lease)
    expect_equal("due after its lease", await store.due(scope=scope), [])
    again = await store.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS, scope=scope)
    expect_equal("version and data for the next owner", (again.version, again.data), (0, NO_DATA))


@check("A session that was claimed and never saved is gone when its owner releases it.")
async def claim_that_never_saved_leaves_nothing(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await store.release(record, owner="two")
    expect_equal("load after a stranger's release", await store.load(agent_id), record)
    await store.release(record, owner="one")
    expect_equal("load after its owner's release", await store.load(agent_id), None)
    expect_equal("delete afterwards", await store.delete(agent_id), False)


@check("`create` stores version 1, which nobody holds; the next claim has a higher fence.")
async def created_session_is_whole_and_free(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    agent_id = trial.id("a", scope)
    record = await store.create(
        agent_id, {"n": 1}, scope=scope, rows=[{"row": 1}, {"row": 2}], status="new"
    )
    got = (record.agent_id, record.scope, record.version, record.seq, record.status, record.data)
    expect_equal("what create gave", got, (agent_id, scope, 1, 2, "new", {"n": 1}))
    expect_equal("load", await store.load(agent_id, scope=scope), record)
    (summary,) = (await store.list(scope=scope)).sessions
    expect_equal("is_claimed in the list", summary.is_claimed, False)
    expect_equal("due", await store.due(scope=scope), [])
    claimed = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    expect_equal(
        "version and data for its first owner", (claimed.version, claimed.data), (1, {"n": 1})
    )
    expect_grown("the first claim", record, claimed)


@check("`create` of a session that there is raises SessionConflictError and changes nothing.")
async def create_twice_is_a_conflict(trial: Trial) -> None:
    store, agent_id, held = trial.store, trial.id(), trial.id("held")
    first = await store.create(agent_id, {"n": 1}, rows=[{"row": 1}], status="first")
    creating = store.create(agent_id, {"n": 2}, rows=[{"row": 2}], status="second")
    await expect_error(SessionConflictError, "the second create", creating)
    expect_equal("load", await store.load(agent_id), first)
    claimed = await store.claim(held, owner="one", lease_seconds=LONG_SECONDS)
    creating = store.create(held, {"n": 2})
    await expect_error(SessionConflictError, "create of a session that is claimed", creating)
    saved = await store.save(claimed, {"n": 3}, owner="one")
    expect_equal("data that its owner saved", saved.data, {"n": 3})


@check("While a lease runs, other owners get SessionBusyError; it says until when, if it knows.")
async def running_lease_is_busy(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    if trial.clock:
        await trial.pass_time(LONG_SECONDS - 1)
    claiming = trial.open().claim(agent_id, owner="two", lease_seconds=LONG_SECONDS)
    error = await expect_error(SessionBusyError, "claim by another owner", claiming)
    expect_equal("agent_id of the error", error.agent_id, agent_id)
    if trial.clock and error.until:
        left = error.until - trial.now()
        expect(abs(left - 1) < 0.01, f"until of the error: expected 1 s from now, got {left} s")


@check("After its lease a session goes to whoever claims it next, with the next fence.")
async def lease_that_ran_out_is_taken_over(trial: Trial) -> None:
    store, other, agent_id = trial.store, trial.open(), trial.id()
    mine = await store.claim(agent_id, owner="one", lease_seconds=trial.lease)
    mine = await store.save(mine, {"by": "one"}, owner="one", rows=[{"by": "one"}], status="s")
    await trial.outlive(trial.lease)
    theirs = await other.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS)
    expect_grown("the takeover", mine, theirs)
    got = (theirs.version, theirs.seq, theirs.status, theirs.data)
    expect_equal("what the new owner got", got, (1, 1, "s", {"by": "one"}))
    await _expect_lost(store, mine)
    claiming = store.claim(agent_id, owner="three", lease_seconds=LONG_SECONDS)
    await expect_error(SessionBusyError, "claim after a release by the old owner", claiming)
    saved = await other.save(theirs, {"by": "two"}, owner="two", rows=[{"by": "two"}])
    expect_equal("seq after the new owner's save", saved.seq, 2)
    rows = [row.content for row in await store.read_log(agent_id)]
    expect_equal("the log", rows, [{"by": "one"}, {"by": "two"}])


@check("The fence counts, not the name: an owner that lost a session cannot use its old record.")
async def record_of_an_earlier_claim_is_refused(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    old = await store.claim(agent_id, owner="one", lease_seconds=trial.lease)
    old = await store.save(old, {"n": 1}, owner="one")
    await trial.outlive(trial.lease)
    await store.claim(agent_id, owner="two", lease_seconds=trial.lease)  # saves nothing, and dies
    await trial.outlive(trial.lease)
    new = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    expect(new.fence >= old.fence + 2, f"fence after two takeovers: {old.fence} to {new.fence}")
    await _expect_lost(store, old)
    saved = await store.save(new, {"n": 3}, owner="one")
    expect_equal("data that the new claim saved", saved.data, {"n": 3})


@check("The owner that holds a session may claim it again: same fence, and the lease begins anew.")
async def same_owner_claims_again(trial: Trial) -> None:
    store = trial.store

    async def renew(record: SessionRecord) -> None:
        again = await store.claim(record.agent_id, owner="one", lease_seconds=trial.lease)
        expect_equal("fence of the second claim", again.fence, record.fence)
        expect_equal("the second claim", (again.version, again.data), (1, {"n": 1}))

    await _expect_renewed(trial, "a second claim", renew)
    agent_id = trial.id("twice")
    first = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await store.claim(agent_id, owner="one", lease_seconds=trial.lease)
    saved = await store.save(first, {"n": 2}, owner="one")
    expect_equal("version of a save with the first claim's record", saved.version, 1)
    await trial.outlive(trial.lease)  # which is what a save renews it for now
    await store.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS)


@check("Each save renews the lease for as long as it was claimed.")
async def save_renews_the_lease(trial: Trial) -> None:
    async def renew(record: SessionRecord) -> None:
        await trial.store.save(record, {"n": 2}, owner="one")

    await _expect_renewed(trial, "a save", renew)


@check("Each heartbeat renews the lease for as long as it was claimed, and changes nothing else.")
async def heartbeat_renews_the_lease(trial: Trial) -> None:
    async def renew(record: SessionRecord) -> None:
        await trial.store.heartbeat(record, owner="one")
        loaded = await trial.store.load(record.agent_id)
        got = (loaded.version, loaded.fence, loaded.data) if loaded else None
        wanted = (record.version, record.fence, record.data)
        expect_equal("the session after a heartbeat", got, wanted)

    await _expect_renewed(trial, "a heartbeat", renew)


@check("A save or heartbeat after the end of the lease is fine while nobody took over.")
async def late_save_is_fine_if_nobody_took_over(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=trial.lease)
    await trial.outlive(trial.lease)
    record = await store.save(record, {"n": 1}, owner="one")
    await trial.outlive(trial.lease)
    await store.heartbeat(record, owner="one")
    record = await store.save(record, {"n": 2}, owner="one")
    expect_equal("version and data", (record.version, record.data), (2, {"n": 2}))


@check("A released session is free for everybody and closed to its last owner.")
async def released_session_is_free(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {"n": 1}, owner="one")
    await store.release(record, owner="one")
    await _expect_lost(store, record)
    taken = await trial.open().claim(agent_id, owner="two", lease_seconds=LONG_SECONDS)
    expect_grown("the claim after a release", record, taken)
    expect_equal("data for the next owner", taken.data, {"n": 1})
    await store.release(record, owner="one")
    await store.heartbeat(taken, owner="two")


@check("The owner's name counts too: a record is of no use under another name.")
async def record_is_of_no_use_to_another_owner(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {"n": 1}, owner="one")
    saving = store.save(record, {"n": 2}, owner="two")
    await expect_error(SessionConflictError, "save under another name", saving)
    beating = store.heartbeat(record, owner="two")
    await expect_error(SessionConflictError, "heartbeat under another name", beating)
    await store.release(record, owner="two")
    saved = await store.save(record, {"n": 3}, owner="one")
    expect_equal("version of the owner's next save", saved.version, 2)


@check("`delete` removes a session with its log and inbox; its owner has lost it for good.")
async def deleted_session_is_gone(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    agent_id = trial.id("a", scope)
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    record = await store.save(record, {"n": 1}, owner="one", rows=[{"row": 1}])
    await store.post_answer(agent_id, "question", {"n": 1}, scope=scope)
    expect_equal("delete", await trial.open().delete(agent_id, scope=scope), True)
    expect_equal("the second delete", await store.delete(agent_id, scope=scope), False)
    expect_equal("load", await store.load(agent_id, scope=scope), None)
    expect_equal("read_log", await store.read_log(agent_id, scope=scope), [])
    expect_equal("read_answers", await store.read_answers(agent_id, scope=scope), [])
    expect_equal("list", (await store.list(scope=scope)).sessions, ())
    await _expect_lost(store, record)
    expect_equal("load after its owner's release", await store.load(agent_id, scope=scope), None)
    again = await store.create(agent_id, {"n": 9}, scope=scope)
    got = (again.version, again.seq, again.answers_posted, again.answers_read)
    expect_equal("version, seq and answers of a new session of this id", got, (1, 0, 0, 0))
    expect_equal("log of the new session", await store.read_log(agent_id, scope=scope), [])
    expect_equal("inbox of the new session", await store.read_answers(agent_id, scope=scope), [])
    posted = await store.post_answer(agent_id, "question", {"n": 2}, scope=scope)
    expect_equal("the first answer to it", (posted.number, posted.content), (1, {"n": 2}))


@check("A record from before a delete is of no use for a new session of the same id.")
async def record_from_before_a_delete_is_refused(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    old = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    old = await store.save(old, {"n": 1}, owner="one")
    await store.delete(agent_id)
    new = await store.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS)
    expect_equal("version and data after delete", (new.version, new.data), (0, NO_DATA))
    new = await store.save(new, {"n": 2}, owner="two")
    await _expect_lost(store, old)
    loaded = await store.load(agent_id)
    expect_equal("data of the new session", loaded.data if loaded else None, {"n": 2})
    await store.save(new, {"n": 3}, owner="two")


@check("An owner without a name and a lease that guards nothing are ConfigurationErrors.")
async def impossible_claims_are_refused(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    for lease in (0.0, -1.0, float("nan"), float("inf")):
        claiming = store.claim(agent_id, owner="one", lease_seconds=lease)
        await expect_error(ConfigurationError, f"claim for {lease} s", claiming)
    claiming = store.claim(agent_id, owner="", lease_seconds=LONG_SECONDS)
    await expect_error(ConfigurationError, "claim for an owner without a name", claiming)
    expect_equal("load", await store.load(agent_id), None)


@check("A lease of thousands of years is a lease.")
async def very_long_lease_is_just_busy(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=1e12)
    claiming = store.claim(agent_id, owner="two", lease_seconds=1)
    await expect_error(SessionBusyError, "claim by another owner", claiming)
    saved = await store.save(record, {"n": 1}, owner="one")
    expect_equal("version of a save under that lease", saved.version, 1)


def expect_grown(what: str, before: SessionRecord, after: SessionRecord) -> None:
    """Go on only if the fence of a session grew.

    Args:
        what: What happened in between.
        before: The session before it.
        after: The session after it.

    Raises:
        Unmet: It did not.
    """
    grown = f"fence after {what}: expected more than {before.fence}, got {after.fence}"
    expect(after.fence > before.fence, grown)


async def _expect_lost(store: SessionStore, record: SessionRecord) -> None:
    """The old owner "one" may neither save nor prolong, and its release does nothing."""
    saving = store.save(record, {"by": "zombie"}, owner="one", rows=[{"by": "zombie"}])
    error = await expect_error(SessionConflictError, "save by the old owner", saving)
    expect_equal("agent_id of the error", error.agent_id, record.agent_id)
    beating = store.heartbeat(record, owner="one")
    await expect_error(SessionConflictError, "heartbeat by the old owner", beating)
    await store.release(record, owner="one", due_at=0.0)


async def _expect_renewed(
    trial: Trial, what: str, renew: Callable[[SessionRecord], Awaitable[None]]
) -> None:
    """After 0.8 leases something renews it, after 0.8 more it still runs, after 1.6 no more."""
    store, lease = trial.store, trial.lease
    for attempt in range(_ATTEMPTS):
        agent_id = trial.id(f"renewed{attempt}")
        record = await store.claim(agent_id, owner="one", lease_seconds=lease)
        record = await store.save(record, {"n": 1}, owner="one")
        await trial.pass_time(lease * 0.8)
        began = trial.now()
        await renew(record)
        await trial.pass_time(lease * 0.8)
        try:
            await store.claim(agent_id, owner="two", lease_seconds=lease)
        except SessionBusyError:
            await trial.outlive(lease * 0.2)
            await store.claim(agent_id, owner="two", lease_seconds=lease)
            return
        # Without a clock to set, the store or the machine may have been too slow to tell.
        in_time = trial.now() - began < lease
        expect(not in_time, f"claim by another owner soon after {what}: expected SessionBusyError")
    raise NotApplicable(f"a call takes too long for a lease of {lease} s; see Sizes.lease_seconds")


CHECKS: Final = (
    claim_of_an_unknown_session_makes_it,
    claim_that_never_saved_leaves_nothing,
    created_session_is_whole_and_free,
    create_twice_is_a_conflict,
    running_lease_is_busy,
    lease_that_ran_out_is_taken_over,
    record_of_an_earlier_claim_is_refused,
    same_owner_claims_again,
    save_renews_the_lease,
    heartbeat_renews_the_lease,
    late_save_is_fine_if_nobody_took_over,
    released_session_is_free,
    record_is_of_no_use_to_another_owner,
    deleted_session_is_gone,
    record_from_before_a_delete_is_refused,
    impossible_claims_are_refused,
    very_long_lease_is_just_busy,
)

"""Checks of the inbox, and of which sessions want a worker."""

from contextlib import suppress
from typing import Final

from mbxai.errors import SessionConflictError, SessionNotFoundError
from mbxai.sessions import SessionRecord
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import expect, expect_equal, expect_error
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial


@check("An inbox has one answer to each interaction: the first. They are numbered from 1.")
async def first_answer_stays(trial: Trial) -> None:
    store, other, agent_id = trial.store, trial.open(), trial.id()
    await store.create(agent_id, {})
    first = await store.post_answer(agent_id, "q1", {"n": 1})
    got = (first.number, first.interaction_id, first.content)
    expect_equal("the first answer", got, (1, "q1", {"n": 1}))
    await trial.pass_time(1 if trial.clock else 0)
    again = await other.post_answer(agent_id, "q1", {"n": 99})
    expect_equal("a second answer to the same interaction", again, first)
    second = await other.post_answer(agent_id, "q2", {"n": 2})
    expect_equal("the number of an answer to another", second.number, 2)
    expect_equal("the inbox", await store.read_answers(agent_id), [first, second])
    expect_equal("the inbox after 1", await store.read_answers(agent_id, after=1), [second])
    expect_equal("the inbox after 2", await store.read_answers(agent_id, after=2), [])
    loaded = await store.load(agent_id)
    got = (loaded.version, loaded.answers_posted, loaded.answers_read) if loaded else None
    expect_equal("version and answers of the session", got, (1, 2, 0))


@check("An answer to a session that there is not is refused with SessionNotFoundError.")
async def answer_to_nobody_is_refused(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    posting = store.post_answer(agent_id, "q1", {})
    await expect_error(SessionNotFoundError, "post_answer to an unknown session", posting)
    expect_equal("load", await store.load(agent_id), None)
    record = await store.create(agent_id, {})
    expect_equal("answers of a session made later", record.answers_posted, 0)
    await store.delete(agent_id)
    posting = store.post_answer(agent_id, "q1", {})
    await expect_error(SessionNotFoundError, "post_answer to a deleted session", posting)


@check("Everybody may post at any time: an answer needs no lease and disturbs no owner.")
async def answer_needs_no_lease(trial: Trial) -> None:
    store, other, agent_id = trial.store, trial.open(), trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {"n": 1}, owner="one")
    await other.post_answer(agent_id, "q1", {"n": 1})
    await store.heartbeat(record, owner="one")
    record = await store.save(record, {"n": 2}, owner="one")
    got = (record.version, record.answers_posted, record.answers_read)
    expect_equal("version and answers after the owner's next save", got, (2, 1, 0))
    await store.release(record, owner="one")
    await other.post_answer(agent_id, "q2", {"n": 2})
    numbers = [answer.number for answer in await store.read_answers(agent_id)]
    expect_equal("numbers in the inbox", numbers, [1, 2])


@check("A save that takes answers in removes their content; they stay known as answered.")
async def answers_that_were_read_are_emptied(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.create(agent_id, {})
    for number in (1, 2, 3):
        await store.post_answer(agent_id, f"q{number}", {"n": number})
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {}, owner="one", answers_read=2)
    expect_equal("answers_read after a save", (record.answers_read, record.answers_posted), (2, 3))
    answers = await store.read_answers(agent_id)
    got = [(answer.number, answer.interaction_id, answer.content) for answer in answers]
    expect_equal("the inbox", got, [(1, "q1", None), (2, "q2", None), (3, "q3", {"n": 3})])
    again = await store.post_answer(agent_id, "q1", {"n": 99})
    expect_equal("a late answer to what was taken in", again, answers[0])
    record = await store.save(record, {}, owner="one", answers_read=1)
    expect_equal("answers_read, which never goes back", record.answers_read, 2)
    record = await store.save(record, {}, owner="one", answers_read=99)
    expect_equal("answers_read, which never gets ahead", record.answers_read, 3)
    fourth = await store.post_answer(agent_id, "q4", {"n": 4})
    expect_equal("the next answer", (fourth.number, fourth.content), (4, {"n": 4}))
    expect_equal("the inbox after 3", await store.read_answers(agent_id, after=3), [fourth])
    record = await store.save(record, {}, owner="one", answers_read=3)
    left = await store.read_answers(agent_id, after=3)
    expect_equal("the inbox after a save that did not take the last one in", left, [fourth])


@check("An answer makes a session due, also one that came while a worker held it.")
async def unread_answers_make_a_session_due(trial: Trial) -> None:
    store, other, scope = trial.store, trial.open(), trial.scope()
    agent_id = trial.id("a", scope)
    record = await store.create(agent_id, {}, scope=scope)
    expect_equal("due of a session without answers", await _due(trial), [])
    await other.post_answer(agent_id, "q1", {}, scope=scope)
    expect_equal("due after an answer", await _due(trial), [agent_id])
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    expect_equal("due while it is claimed", await _due(trial), [])
    record = await store.save(record, {}, owner="one", answers_read=1)
    await other.post_answer(agent_id, "q2", {}, scope=scope)
    expect_equal("due after an answer while it is claimed", await _due(trial), [])
    await store.release(record, owner="one", due_at=None)
    expect_equal("due after its release: the answer came meanwhile", await _due(trial), [agent_id])
    record = await store.claim(agent_id, owner="two", lease_seconds=LONG_SECONDS, scope=scope)
    record = await store.save(record, {}, owner="two", answers_read=2)
    await store.release(record, owner="two")
    expect_equal("due after all answers were taken in", await _due(trial), [])
    await other.post_answer(agent_id, "q2", {"again": True}, scope=scope)
    expect_equal("due after an answer that is known already", await _due(trial), [])


@check("A refused save takes no answer in.")
async def refused_save_takes_no_answer_in(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    agent_id = trial.id("a", scope)
    await store.create(agent_id, {}, scope=scope)
    await store.post_answer(agent_id, "q1", {"n": 1}, scope=scope)
    old = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    new = await store.save(old, {}, owner="one")
    with suppress(SessionConflictError):  # that it is refused is another check's business
        await store.save(old, {}, owner="one", answers_read=1)
    answers = [answer.content for answer in await store.read_answers(agent_id, scope=scope)]
    expect_equal("the inbox", answers, [{"n": 1}])
    await store.release(new, owner="one")
    expect_equal("due", await _due(trial), [agent_id])


@check("A session is due from `due_at` on, as `create` or the last `release` said it.")
async def session_is_due_at_its_time(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    now, free = await _store_time(trial), trial.id("free", scope)
    later, never = trial.id("later", scope), trial.id("never", scope)
    await store.create(free, {}, scope=scope, due_at=now - 1)
    await store.create(later, {}, scope=scope, due_at=now + 1000)
    await store.create(never, {}, scope=scope)
    expect_equal("due", await _due(trial), [free])
    held = await _held(trial, free, "one")
    expect_equal("due while it is claimed", await _due(trial), [])
    held = await store.save(held, {}, owner="one")
    await store.release(held, owner="one", due_at=now - 1)
    expect_equal("due after release(due_at=past)", await _due(trial), [free])
    await store.release(await _held(trial, free, "two"), owner="two", due_at=now + 1000)
    expect_equal("due after release(due_at=future)", await _due(trial), [])
    await store.release(await _held(trial, never, "two"), owner="two", due_at=now - 1)
    expect_equal("due after another's release", await _due(trial), [never])
    await store.release(await _held(trial, never, "three"), owner="three")
    expect_equal("due after release without due_at", await _due(trial), [])
    if trial.clock:
        await trial.pass_time(2000)
        expect_equal("due when the time has come", await _due(trial), sorted([free, later]))


@check("A session whose lease ran out without a release is due; one never saved is not.")
async def lease_that_ran_out_makes_a_session_due(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    saved, unsaved = trial.id("saved", scope), trial.id("unsaved", scope)
    await store.claim(unsaved, owner="one", lease_seconds=trial.lease, scope=scope)
    record = await store.claim(saved, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    record = await store.save(record, {}, owner="one")
    expect_equal("due while the lease runs", await _due(trial), [])
    await store.claim(saved, owner="one", lease_seconds=trial.lease, scope=scope)
    await trial.outlive(trial.lease)
    expect_equal("due after the lease", await _due(trial), [saved])
    record = await store.claim(saved, owner="two", lease_seconds=LONG_SECONDS, scope=scope)
    expect_equal("due after the takeover", await _due(trial), [])
    await store.release(record, owner="two")
    expect_equal("due after the release", await _due(trial), [])


@check("`due` names at most so many sessions, each once.")
async def due_has_a_limit(trial: Trial) -> None:
    store, scope = trial.store, trial.scope()
    ids = {trial.id(f"s{number}", scope) for number in range(5)}
    for agent_id in ids:
        await store.create(agent_id, {}, scope=scope, due_at=0.0)
    for limit, wanted in ((1, 1), (3, 3), (5, 5), (100, 5)):
        due = [one.agent_id for one in await store.due(scope=scope, limit=limit)]
        expect_equal(f"how many due(limit={limit}) names", len(due), wanted)
        expect(len(set(due)) == len(due) and set(due) <= ids, f"due(limit={limit}): got {due}")


async def _due(trial: Trial) -> list[str]:
    return sorted(one.agent_id for one in await trial.open().due(scope=trial.scope()))


async def _held(trial: Trial, agent_id: str, owner: str) -> SessionRecord:
    return await trial.store.claim(
        agent_id, owner=owner, lease_seconds=LONG_SECONDS, scope=trial.scope()
    )


async def _store_time(trial: Trial) -> float:
    """The store's own time, which need not be this machine's."""
    probe = trial.id("probe")
    return (await trial.store.create(probe, {})).created_at


CHECKS: Final = (
    first_answer_stays,
    answer_to_nobody_is_refused,
    answer_needs_no_lease,
    answers_that_were_read_are_emptied,
    unread_answers_make_a_session_due,
    refused_save_takes_no_answer_in,
    session_is_due_at_its_time,
    lease_that_ran_out_makes_a_session_due,
    due_has_a_limit,
)

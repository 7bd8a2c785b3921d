"""Checks of scopes: what one has, the others do not find."""

from dataclasses import replace
from typing import Final

from mbxai.errors import SessionConflictError, SessionNotFoundError
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import NO_DATA, expect_equal, expect_error
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial


@check("The same id in two scopes is two sessions, with logs and inboxes of their own.")
async def same_id_in_two_scopes_is_two_sessions(trial: Trial) -> None:
    store, scopes = trial.store, (trial.scope("x"), trial.scope("y"), "")
    for scope in scopes:
        agent_id = trial.id("a", scope)
        await store.create(agent_id, {"of": scope}, scope=scope, rows=[{"of": scope}])
        posted = await store.post_answer(agent_id, "question", {"of": scope}, scope=scope)
        expect_equal("the number of the first answer in a scope", posted.number, 1)
    agent_id = trial.id()
    for scope in scopes:
        claimed = await store.claim(
            agent_id, owner=f"of {scope}", lease_seconds=LONG_SECONDS, scope=scope
        )
        expect_equal("data that claim gave in a scope", claimed.data, {"of": scope})
        expect_equal("the scope of a record", claimed.scope, scope)
        rows = [row.content for row in await store.read_log(agent_id, scope=scope)]
        expect_equal("the log in a scope", rows, [{"of": scope}])
        answers = [kept.content for kept in await store.read_answers(agent_id, scope=scope)]
        expect_equal("the inbox in a scope", answers, [{"of": scope}])
        await store.save(claimed, {"saved": scope}, owner=f"of {scope}")
    expect_equal("delete in one scope", await store.delete(agent_id, scope=scopes[0]), True)
    expect_equal("load where it was deleted", await store.load(agent_id, scope=scopes[0]), None)
    for scope in scopes[1:]:
        loaded = await store.load(agent_id, scope=scope)
        got = loaded.data if loaded else None
        expect_equal("data of the other scopes afterwards", got, {"saved": scope})


@check("A scope and an id are not mixed up where one ends as the other begins.")
async def scope_and_id_are_not_joined(trial: Trial) -> None:
    store, base = trial.store, trial.scope("s")
    for mark in (":", "/", "|", "}", "\\", "%2F", " ", "-"):
        pairs = [(f"{base}{mark}a", "b"), (base, f"a{mark}b"), ("", f"{base}{mark}a{mark}b")]
        for scope, agent_id in pairs:
            trial.remember(agent_id, scope)
            await store.create(agent_id, {"of": [scope, agent_id]}, scope=scope)
        for scope, agent_id in pairs:
            loaded = await store.load(agent_id, scope=scope)
            got = loaded.data if loaded else None
            expect_equal(f"data of {agent_id!r} in {scope!r}", got, {"of": [scope, agent_id]})


@check("Another scope's session is not found: it is not read, not written and not listed.")
async def session_of_another_scope_is_not_found(trial: Trial) -> None:
    store, mine, other = trial.store, trial.scope("mine"), trial.scope("other")
    agent_id = trial.id("a", mine)
    trial.remember(agent_id, other)
    before = await store.create(agent_id, {"n": 1}, scope=mine, rows=[{"row": 1}], due_at=0.0)
    await store.post_answer(agent_id, "question", {"n": 1}, scope=mine)
    foreign = replace(before, scope=other)
    expect_equal("load", await store.load(agent_id, scope=other), None)
    expect_equal("read_log", await store.read_log(agent_id, scope=other), [])
    expect_equal("read_answers", await store.read_answers(agent_id, scope=other), [])
    expect_equal("wait", await store.wait(agent_id, after=0, timeout_seconds=0, scope=other), False)
    expect_equal("delete", await store.delete(agent_id, scope=other), False)
    expect_equal("list", (await store.list(scope=other)).sessions, ())
    expect_equal("due", await store.due(scope=other), [])
    posting = store.post_answer(agent_id, "question", {}, scope=other)
    await expect_error(SessionNotFoundError, "post_answer to another scope's session", posting)
    saving = store.save(foreign, {}, owner="one")
    await expect_error(SessionConflictError, "save of another scope's session", saving)
    beating = store.heartbeat(foreign, owner="one")
    await expect_error(SessionConflictError, "heartbeat of another scope's session", beating)
    await store.release(foreign, owner="one")
    claimed = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=other)
    got = (claimed.version, claimed.seq, claimed.answers_posted, claimed.data)
    expect_equal("what claim made in the other scope", got, (0, 0, 0, NO_DATA))
    after = await store.load(agent_id, scope=mine)
    expect_equal("data of the session itself", after.data if after else None, {"n": 1})


@check("`list` and `due` name the sessions of the scope that was asked for, and no others.")
async def lists_are_of_one_scope(trial: Trial) -> None:
    store, scopes = trial.store, [trial.scope(name) for name in ("x", "x1", "X", "y")]
    for scope in scopes:
        for name in ("a", "b"):
            await store.create(trial.id(name, scope), {}, scope=scope, due_at=0.0)
    both = {trial.id("a", scopes[0]), trial.id("b", scopes[0])}
    for scope in scopes:
        page = await store.list(scope=scope)
        expect_equal(f"list of {scope!r}", {one.agent_id for one in page.sessions}, both)
        expect_equal(
            f"scopes on that page of {scope!r}", {one.scope for one in page.sessions}, {scope}
        )
        due = {(one.scope, one.agent_id) for one in await store.due(scope=scope)}
        expect_equal(f"due of {scope!r}", due, {(scope, agent_id) for agent_id in both})
    everybody = {(one.scope, one.agent_id) for one in await store.due(limit=1000)}
    missing = {(scope, agent_id) for scope in scopes for agent_id in both} - everybody
    expect_equal("sessions that due(scope=None) does not name", missing, set[object]())


CHECKS: Final = (
    same_id_in_two_scopes_is_two_sessions,
    scope_and_id_are_not_joined,
    session_of_another_scope_is_not_found,
    lists_are_of_one_scope,
)

"""Checks of what goes in and comes out: JSON, copies, ids."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from mbxai.errors import SessionDataError, SessionNotFoundError
from mbxai.sessions import SessionRecord, SessionStore
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import expect, expect_equal, expect_error
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

JSON_OBJECTS: Final[dict[str, dict[str, Any]]] = {  # Any: JSON
    "an empty object": {},
    "text of all kinds": {"text": "Grüße 🦜 \u2028 \x00 \x7f \u202e rtl \\u0000 \"'", "🔑": "ключ"},
    "half a surrogate pair": {"half": "\ud83d alone", "\udc00": 1},
    "numbers": {
        "floats": [0.1, -0.0, 1e300, 5e-324, 1.0, 2.5],
        "integers": [0, -1, 2**53 + 1, 10**30, -(10**30)],
    },
    "constants": {"constants": [None, True, False], "empty": ["", [], {}]},
    "odd keys": {"": {"key with \x1f": []}, "version ": 1, "store": 2, " ": 3, "a.b": 4, "$id": 5},
    "text that repeats": {"text": "abcdefgh" * 5000},
}
"""By what is odd about it. Each store keeps each of them as it is."""

ODD_IDS: Final = (
    "../../etc/passwd", "..", "/", "a b", "a  b", " a", "a ", "ä/🦜", "b'; DROP TABLE x; --", '"',
    "{}", "{a}", "*", "?", "[a-z]", "%", "_", "%s", "\\", "a:b", "a|b", "A", "a", "é", "e\u0301",
    "agent:a", "scope:a", "null", "0", "x" * 256, "🦜" * 256,
)  # fmt: skip
"""Ids that a store may mistake for a path, a pattern, code or each other."""

IMPOSSIBLE_IDS: Final = (
    "", "x" * 257, "x" * 10_240, "a\x00b", "a\nb", "\x1b[31m", "a\x7f", "\ud800",
)  # fmt: skip
"""Texts that no session's id and no scope is, but for the empty scope."""


def nested(depth: int) -> dict[str, Any]:  # Any: JSON
    """Make an object in which lists lie in lists.

    Args:
        depth: How many.

    Returns:
        The object.
    """
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return {"deep": inner}


async def taken(trial: Trial, agent_id: str, scope: str = "") -> SessionRecord:
    """Claim a new session for the owner "one" and save it once.

    Args:
        trial: The running check.
        agent_id: The session's id.
        scope: Its scope.

    Returns:
        The record, version 1.
    """
    record = await trial.store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS, scope=scope)
    return await trial.store.save(record, {"n": 1}, owner="one", status="working")


@check("A store has every method of the protocol and says whether it keeps whole logs.")
async def store_has_the_methods_of_the_protocol(trial: Trial) -> None:
    missing = [
        name
        for name in dir(SessionStore)
        if not name.startswith("_") and not hasattr(trial.store, name)
    ]
    expect_equal("the names of the protocol that the store lacks", missing, [])
    keeps_log = getattr(trial.store, "keeps_log", None)
    expect(isinstance(keeps_log, bool), f"keeps_log: expected a bool, got {keeps_log!r}")


@check("A session that nobody made is not there: reading gives nothing and raises nothing.")
async def unknown_session_is_not_there(trial: Trial) -> None:
    store, unknown = trial.store, trial.id("unknown")
    expect_equal("load of an unknown session", await store.load(unknown), None)
    expect_equal("read_log of an unknown session", await store.read_log(unknown), [])
    expect_equal("read_answers of an unknown session", await store.read_answers(unknown), [])
    waited = await store.wait(unknown, after=0, timeout_seconds=0.01)
    expect_equal("wait for an unknown session", waited, False)
    expect_equal("delete of an unknown session", await store.delete(unknown), False)
    page = await store.list(scope=trial.scope("unknown"))
    expect_equal("sessions of a scope without any", page.sessions, ())
    expect_equal("next_cursor of a list without any", page.next_cursor, None)


@check("Data, log rows and answers come back exactly as the JSON that was given.")
async def json_comes_back_as_it_was_given(trial: Trial) -> None:
    store, reader = trial.store, trial.open()
    objects = {**JSON_OBJECTS, "lists in lists, 300 deep": nested(300)}
    for number, (what, content) in enumerate(objects.items()):
        agent_id = trial.id(f"json{number}")
        created = await store.create(agent_id, content, rows=[content])
        _expect_json(f"{what}: data that create gave", created.data, content)
        await store.post_answer(agent_id, "question", content)
        claimed = await reader.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
        _expect_json(f"{what}: data that claim gave", claimed.data, content)
        saved = await reader.save(claimed, content, owner="one", rows=[content])
        _expect_json(f"{what}: data that save gave", saved.data, content)
        loaded = await store.load(agent_id)
        expect(loaded is not None, f"{what}: load gave None for a session that was saved")
        _expect_json(f"{what}: data that load gave", loaded.data if loaded else None, content)
        for row in await store.read_log(agent_id):
            _expect_json(f"{what}: row {row.seq} of the log", row.content, content)
        for answer in await store.read_answers(agent_id):
            _expect_json(f"{what}: an answer", answer.content, content)


@check("What is no JSON is refused with SessionDataError, and nothing at all is written.")
async def data_that_is_no_json_is_refused(trial: Trial) -> None:
    store, agent_id, new = trial.store, trial.id(), trial.id("new")
    before = await taken(trial, agent_id)
    bad: dict[str, Any] = {  # Any: what a caller may give by mistake
        "an object": object(),
        "NaN": float("nan"),
        "infinity": float("-inf"),
        "a set": {1, 2},
        "bytes": b"bytes",
    }
    for what, value in bad.items():
        data: dict[str, Any] = {"good": 1, "bad": [value]}
        rows = [{"row": 1}, data]
        saving = store.save(before, data, owner="one", rows=rows[:1], status="bad")
        await expect_error(SessionDataError, f"save of {what}", saving)
        saving = store.save(before, {}, owner="one", rows=rows)
        await expect_error(SessionDataError, f"save of a row with {what}", saving)
        await expect_error(SessionDataError, f"create with {what}", store.create(new, data))
        creating = store.create(new, {}, rows=rows)
        await expect_error(SessionDataError, f"create of a row with {what}", creating)
        posting = store.post_answer(agent_id, "question", data)
        await expect_error(SessionDataError, f"post_answer of {what}", posting)
    expect_equal("load after refused data", await store.load(agent_id), before)
    expect_equal("the log after refused data", await store.read_log(agent_id), [])
    expect_equal("the inbox after refused data", await store.read_answers(agent_id), [])
    expect_equal("load after a refused create", await store.load(new), None)
    after = await store.save(before, {"n": 2}, owner="one", rows=[{"row": 1}])
    expect_equal("version and seq of the next save", (after.version, after.seq), (2, 1))


@check("The keys `version` and `_store` are refused in data, so that every store takes the same.")
async def reserved_keys_are_refused(trial: Trial) -> None:
    store, agent_id, new = trial.store, trial.id(), trial.id("new")
    before = await taken(trial, agent_id)
    for key in ("version", "_store"):
        saving = store.save(before, {key: 1}, owner="one")
        await expect_error(SessionDataError, f"save of data with the key {key!r}", saving)
        creating = store.create(new, {key: 1})
        await expect_error(SessionDataError, f"create with the key {key!r}", creating)
    expect_equal("load after refused data", await store.load(agent_id), before)
    expect_equal("load after a refused create", await store.load(new), None)


@check("Data of any depth is kept or refused with SessionDataError; it crashes nothing.")
async def endlessly_nested_data_is_kept_or_refused(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    before = await taken(trial, agent_id)
    try:
        before = await store.save(before, nested(100_000), owner="one")
    except SessionDataError:
        expect_equal("load after refused data", await store.load(agent_id), before)
    after = await store.save(before, {"n": 2}, owner="one")
    expect_equal("data of the next save", after.data, {"n": 2})


@check("What is given and what comes back are copies: changing them changes nothing stored.")
async def stored_content_is_a_copy_both_ways(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    mine: dict[str, Any] = {"list": [1]}  # Any: JSON
    row: dict[str, Any] = {"row": [1]}
    answer: dict[str, Any] = {"answer": [1]}
    created = await store.create(agent_id, mine, rows=[row])
    posted = await store.post_answer(agent_id, "question", answer)
    claimed = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    saved = await store.save(claimed, mine, owner="one", rows=[row])
    loaded = await store.load(agent_id)
    for data in (mine, created.data, claimed.data, saved.data, loaded.data if loaded else {}):
        data.setdefault("list", []).append(2)
    row["row"].append(2)
    answer["answer"].append(2)
    if posted.content is not None:
        posted.content["answer"].append(3)
    for read in await store.read_log(agent_id):
        read.content["row"].append(4)
    for given in await store.read_answers(agent_id):
        if given.content is not None:
            given.content["answer"].append(5)
    last = await store.load(agent_id)
    expect_equal("data after copies were changed", last.data if last else None, {"list": [1]})
    rows = [read.content for read in await store.read_log(agent_id)]
    expect_equal("the log after copies were changed", rows, [{"row": [1]}] * 2)
    answers = [given.content for given in await store.read_answers(agent_id)]
    expect_equal("the inbox after copies were changed", answers, [{"answer": [1]}])


@check("Ids are plain data: paths, patterns, quotes and look-alikes are sessions of their own.")
async def odd_ids_are_plain_data(trial: Trial) -> None:
    store, reader, scope = trial.store, trial.open(), trial.scope()
    for agent_id in ODD_IDS:
        trial.remember(agent_id, scope)
        record = await store.create(agent_id, {"id": agent_id}, scope=scope)
        expect_equal(f"the id that create gave for {agent_id!r}", record.agent_id, agent_id)
    for agent_id in ODD_IDS:
        loaded = await reader.load(agent_id, scope=scope)
        got = loaded.data if loaded else None
        expect_equal(f"data of the session {agent_id!r}", got, {"id": agent_id})
        posted = await reader.post_answer(agent_id, agent_id, {"to": agent_id}, scope=scope)
        expect_equal(f"an answer to {agent_id!r}", posted.content, {"to": agent_id})
    page = await store.list(scope=scope)
    expect_equal("the ids that list names", {s.agent_id for s in page.sessions}, set(ODD_IDS))
    expect_equal("delete of '*'", await store.delete("*", scope=scope), True)
    page = await store.list(scope=scope)
    left = {summary.agent_id for summary in page.sessions}
    expect_equal("the ids that are left after delete of '*'", left, {*ODD_IDS} - {"*"})


@check("An inbox tells odd interaction ids apart.")
async def odd_interaction_ids_are_plain_data(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.create(agent_id, {})
    for number, interaction_id in enumerate(ODD_IDS, 1):
        posted = await store.post_answer(agent_id, interaction_id, {"to": interaction_id})
        expect_equal(f"the number of the answer to {interaction_id!r}", posted.number, number)
    answers = await store.read_answers(agent_id)
    got = [(answer.interaction_id, answer.content) for answer in answers]
    expect_equal("the inbox", got, [(odd, {"to": odd}) for odd in ODD_IDS])


@check("An id that no session can have is not found, whatever is asked; nothing is written.")
async def impossible_ids_are_not_found(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await taken(trial, agent_id)
    for bad in IMPOSSIBLE_IDS:
        for name, call in _calls(store, replace(record, agent_id=bad)).items():
            await expect_error(SessionNotFoundError, f"{name} with the id {bad[:20]!r}", call())
        posting = store.post_answer(agent_id, bad, {})
        await expect_error(SessionNotFoundError, f"post_answer to {bad[:20]!r}", posting)
    expect_equal("the inbox afterwards", await store.read_answers(agent_id), [])
    expect_equal("the session afterwards", await store.load(agent_id), record)


@check("A scope that nobody can have is not found, whatever is asked.")
async def impossible_scopes_are_not_found(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await taken(trial, agent_id)
    for bad in IMPOSSIBLE_IDS:
        if bad == "":
            continue
        calls = _calls(store, replace(record, scope=bad))
        calls["list"] = lambda scope=bad: store.list(scope=scope)
        calls["due"] = lambda scope=bad: store.due(scope=scope)
        for name, call in calls.items():
            what = f"{name} with the scope {bad[:20]!r}"
            await expect_error(SessionNotFoundError, what, call())
    expect_equal("the session afterwards", await store.load(agent_id), record)


def _calls(
    store: SessionStore, record: SessionRecord
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every method that takes an id, called with those of a record."""
    agent_id, scope = record.agent_id, record.scope
    return {
        "load": lambda: store.load(agent_id, scope=scope),
        "create": lambda: store.create(agent_id, {}, scope=scope),
        "claim": lambda: store.claim(agent_id, owner="one", lease_seconds=1, scope=scope),
        "save": lambda: store.save(record, {}, owner="one"),
        "heartbeat": lambda: store.heartbeat(record, owner="one"),
        "release": lambda: store.release(record, owner="one"),
        "post_answer": lambda: store.post_answer(agent_id, "question", {}, scope=scope),
        "read_answers": lambda: store.read_answers(agent_id, scope=scope),
        "read_log": lambda: store.read_log(agent_id, scope=scope),
        "wait": lambda: store.wait(agent_id, after=0, timeout_seconds=0, scope=scope),
        "delete": lambda: store.delete(agent_id, scope=scope),
    }


def _expect_json(what: str, got: object, wanted: object) -> None:
    """Compare as text, since 1 == 1.0 == True and 0.0 == -0.0."""
    expect_equal(what, json.dumps(got), json.dumps(wanted))


CHECKS: Final = (
    store_has_the_methods_of_the_protocol,
    unknown_session_is_not_there,
    json_comes_back_as_it_was_given,
    data_that_is_no_json_is_refused,
    reserved_keys_are_refused,
    endlessly_nested_data_is_kept_or_refused,
    stored_content_is_a_copy_both_ways,
    odd_ids_are_plain_data,
    odd_interaction_ids_are_plain_data,
    impossible_ids_are_not_found,
    impossible_scopes_are_not_found,
)

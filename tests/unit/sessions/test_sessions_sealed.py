"""Sealed sessions: nothing is read without a key, nothing fits anywhere but in its place."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.errors import ConfigurationError, SessionDataError
from mbxai.sessions import (
    InMemorySessionHandler,
    InMemorySessionStore,
    KeyRing,
    SealedSessionStore,
    SQLiteSessionStore,
)
from mbxai.testing.store_conformance import CHECKS, Check, CheckOutcome

OLD, NEW = KeyRing.generate(), KeyRing.generate()
CANARY = "canary-tok-9f8e7d6c5b4a"


async def one_session(store: Any, agent_id: str = "s", scope: str = "") -> Any:
    record = await store.claim(agent_id, owner="me", lease_seconds=60, scope=scope)
    record = await store.save(record, {"text": CANARY}, owner="me", rows=[{"row": CANARY}])
    await store.post_answer(agent_id, "i", {"answer": CANARY}, scope=scope)
    await store.release(record, owner="me")
    return record


async def all_of(store: Any, agent_id: str = "s", scope: str = "") -> list[Any]:
    record = await store.load(agent_id, scope=scope)
    rows = await store.read_log(agent_id, scope=scope)
    answers = await store.read_answers(agent_id, scope=scope)
    return [record.data, rows[0].content, answers[0].content]


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_it_keeps_what_every_store_promises(check: Check, tmp_path: Any) -> None:
    def open_store(
        *, now: Callable[[], float], ttl_seconds: float | None = None
    ) -> SealedSessionStore:
        inner = SQLiteSessionStore(tmp_path / "s.sqlite", now=now, ttl_seconds=ttl_seconds)
        return SealedSessionStore(inner, KeyRing(OLD))

    result = await check.run(open_store)
    assert result.outcome is CheckOutcome.PASSED, result


async def test_nothing_of_the_content_is_in_the_file(tmp_path: Any) -> None:
    path = tmp_path / "s.sqlite"
    store = SealedSessionStore(SQLiteSessionStore(path), KeyRing(OLD))
    await one_session(store)
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert await all_of(store) == [{"text": CANARY}, {"row": CANARY}, {"answer": CANARY}]
    await store.aclose()
    assert CANARY.encode() not in written
    assert base64.b64encode(CANARY.encode())[:16] not in written
    assert CANARY not in repr(store)


async def test_a_new_key_seals_and_the_old_one_still_opens() -> None:
    inner = InMemorySessionStore()
    await one_session(SealedSessionStore(inner, KeyRing(OLD)))
    rotated = SealedSessionStore(inner, KeyRing(NEW, OLD))
    assert await all_of(rotated) == [{"text": CANARY}, {"row": CANARY}, {"answer": CANARY}]
    record = await rotated.claim("s", owner="me", lease_seconds=60)
    await rotated.save(record, {"text": "new"}, owner="me", drop_rows=1, answers_read=1)
    only_new = SealedSessionStore(inner, KeyRing(NEW))
    loaded = await only_new.load("s")
    assert loaded is not None
    assert loaded.data == {"text": "new"}
    with pytest.raises(SessionDataError, match="which is not here"):
        await SealedSessionStore(inner, KeyRing(OLD)).load("s")


async def test_with_another_key_nothing_opens_nothing_is_lost_and_it_can_be_deleted() -> None:
    inner = InMemorySessionStore()
    await one_session(SealedSessionStore(inner, KeyRing(OLD)))
    wrong = SealedSessionStore(inner, KeyRing(NEW))
    for call in (
        wrong.load("s"),
        wrong.claim("s", owner="me", lease_seconds=60),
        wrong.read_log("s"),
        wrong.read_answers("s"),
    ):
        with pytest.raises(SessionDataError, match="key"):
            await call
    right = SealedSessionStore(inner, KeyRing(OLD))
    assert (await right.claim("s", owner="another", lease_seconds=60)).data == {"text": CANARY}
    assert [s.agent_id for s in (await wrong.list()).sessions] == ["s"]
    assert await wrong.delete("s")


class Handler(InMemorySessionHandler):
    """Whose dicts a test may change."""

    def sealed(self, key: str, name: str) -> dict[str, Any]:
        session = self._sessions[key]
        if name == "data":
            return session["sealed"]
        if name == "row":
            return session["_store"]["log"][0][1]["sealed"]
        return session["_store"]["answers"]["i"][1]["sealed"]


@pytest.mark.parametrize("name", ["data", "row", "answer"])
@pytest.mark.parametrize("of", ["another session", "another scope", "another kind"])
async def test_what_is_put_in_anothers_place_is_refused(name: str, of: str) -> None:
    handler = Handler()
    store = SealedSessionStore(handler, KeyRing(OLD))
    await one_session(store)
    await one_session(store, "t")
    await one_session(store, "s", "acme")
    key = {"another session": "t", "another scope": "scope:acme/s"}.get(of, "s")
    kind = name if key != "s" else {"data": "row", "row": "answer", "answer": "row"}[name]
    handler.sealed("s", name).update(copy.deepcopy(handler.sealed(key, kind)))
    with pytest.raises(SessionDataError, match="does not open"):
        await all_of(store)
    assert await all_of(store, "t") == [{"text": CANARY}, {"row": CANARY}, {"answer": CANARY}]


async def test_an_older_version_in_the_place_of_a_newer_one_is_refused() -> None:
    handler = Handler()
    store = SealedSessionStore(handler, KeyRing(OLD))
    await one_session(store)
    before = copy.deepcopy(handler.sealed("s", "data"))
    record = await store.claim("s", owner="me", lease_seconds=60)
    await store.save(record, {"text": "later"}, owner="me")
    handler.sealed("s", "data").update({**before, "at": 2})
    with pytest.raises(SessionDataError, match="does not open"):
        await store.load("s")
    handler.sealed("s", "data").update({**before, "at": 99})
    with pytest.raises(SessionDataError, match="does not open"):
        await store.load("s")


@given(st.integers(min_value=0), st.integers(1, 255))
async def test_every_changed_byte_is_found(place: int, change: int) -> None:
    handler = Handler()
    store = SealedSessionStore(handler, KeyRing(OLD))
    await one_session(store)
    sealed = handler.sealed("s", "data")
    raw = bytearray(base64.b64decode(sealed["text"]))
    raw[place % len(raw)] ^= change
    sealed["text"] = base64.b64encode(bytes(raw)).decode()
    with pytest.raises(SessionDataError, match="does not open"):
        await store.load("s")


@pytest.mark.parametrize(
    "sealed",
    [
        {},
        {"form": 2, "key": "x", "at": 1, "text": ""},
        {"form": 1, "key": 7, "at": 1, "text": ""},
        {"form": 1, "key": "x", "at": "one", "text": ""},
        {"form": 1, "at": 1, "text": "x"},
    ],
)
async def test_what_is_no_seal_is_a_data_error(sealed: dict[str, Any]) -> None:
    inner = InMemorySessionStore()
    await inner.create("s", {"sealed": sealed})
    with pytest.raises(SessionDataError):
        await SealedSessionStore(inner, KeyRing(OLD)).load("s")


async def test_what_lies_there_in_clear_is_read_only_if_one_says_so() -> None:
    inner = InMemorySessionStore()
    await one_session(inner)
    with pytest.raises(SessionDataError, match="not sealed"):
        await SealedSessionStore(inner, KeyRing(OLD)).load("s")
    lenient = SealedSessionStore(inner, KeyRing(OLD), accept_unsealed=True)
    assert await all_of(lenient) == [{"text": CANARY}, {"row": CANARY}, {"answer": CANARY}]


async def test_a_large_session_is_sealed_as_well() -> None:
    store = SealedSessionStore(InMemorySessionStore(), KeyRing(OLD))
    record = await store.claim("s", owner="me", lease_seconds=60)
    data = {"text": "Lisbon " * 100_000, "half": "\ud83d"}
    assert (await store.save(record, data, owner="me")).data == data


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("",),
        ("short",),
        (b"x" * 31,),
        ("g" * 64,),
        ("!" * 44,),
        (OLD, "sk-not-a-key-hunter2"),
        (OLD, OLD),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(keys: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyRing(*keys)
    assert "hunter2" not in str(caught.value)


def test_a_key_may_be_written_in_several_ways() -> None:
    raw = bytes(range(224, 256))
    standard = base64.b64encode(raw).decode()
    ways = [raw, standard, base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex()]
    assert len({KeyRing(way).current_id for way in ways}) == 1
    assert len({KeyRing(KeyRing.generate()).current_id for _ in range(9)}) == 9


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="MBXAI_SESSION_KEY is not set"):
        SealedSessionStore(InMemorySessionStore())
    monkeypatch.setenv("MBXAI_SESSION_KEY", f" {NEW} , {OLD} ")
    assert KeyRing.from_environment().current_id == KeyRing(NEW).current_id
    assert SealedSessionStore(InMemorySessionStore()).is_sealed


def test_a_ring_shows_no_key_and_cannot_be_copied() -> None:
    ring = KeyRing(OLD)
    assert OLD not in repr(ring)
    assert OLD not in json.dumps(ring.current_id)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in memory"):
            way(ring)


async def test_keys_may_come_from_a_service_blocking_or_not() -> None:
    keys = {"k1": b"1" * 32, "k2": b"2" * 32}
    asked: list[str] = []

    async def service(key_id: str) -> bytes:
        asked.append(key_id)
        return keys[key_id]

    inner = InMemorySessionStore()
    await one_session(SealedSessionStore(inner, KeyRing.from_service("k1", keys.__getitem__)))
    store = SealedSessionStore(inner, KeyRing.from_service("k2", service))
    assert (await all_of(store))[0] == {"text": CANARY}
    await one_session(store, "t")
    assert asked == ["k1", "k2"]  # each key once
    broken = SealedSessionStore(inner, KeyRing.from_service("k3", service))
    with pytest.raises(ConfigurationError, match="raised KeyError"):
        await one_session(broken, "u")
    odd = SealedSessionStore(inner, KeyRing.from_service("k3", lambda _: b"short"))
    with pytest.raises(ConfigurationError, match="32 bytes"):
        await one_session(odd, "u")

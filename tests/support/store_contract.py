"""What every session store does, whatever it stands on.

A module that has the fixtures `store`, an open and empty store, and `clock`, by which that store
tells the time, imports all that is here.
"""

import asyncio
import json
from typing import Any

import pytest

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionNotFoundError,
)

NASTY = {
    "schema_version": 1,
    "text": "Grüße 🦜 \u2028 \x00 \u202e rtl",
    "half": "\ud83d alone",
    "nested": [{"a": None, "b": [1, 2.5, True, -0.0, 10**30]}],
    "": {"key with \x1f": []},
}


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


async def test_unknown_session_loads_as_none(store):
    assert await store.load("nobody") is None
    assert await store.list() == []
    assert await store.delete("nobody") is False


async def test_claim_of_an_unknown_session_creates_it_empty(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    assert (record.version, record.fence, record.data) == (0, 1, {})
    assert await store.load("a") == record


async def test_json_comes_back_as_it_was_saved(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    saved = await store.save(record, NASTY, owner="one")
    assert saved.data == NASTY
    loaded = await store.load("a")
    assert loaded == saved
    assert loaded is not None
    assert json.dumps(loaded.data) == json.dumps(NASTY)


async def test_versions_count_up_and_old_records_conflict(store):
    first = await store.claim("a", owner="one", lease_seconds=10)
    second = await store.save(first, {"n": 1}, owner="one")
    with pytest.raises(SessionConflictError) as caught:
        await store.save(first, {"n": 99}, owner="one")
    assert caught.value.agent_id == "a"
    third = await store.save(second, {"n": 2}, owner="one")
    assert [record.version for record in (first, second, third)] == [0, 1, 2]
    assert (await store.load("a")).data == {"n": 2}


async def test_running_lease_is_busy_and_says_until_when(store, clock):
    await store.claim("a", owner="one", lease_seconds=10)
    clock.time += 9
    with pytest.raises(
        SessionBusyError, match=r"until 1970-01-12T13:46:50\+00:00 \(1\.0 s\)"
    ) as caught:
        await store.claim("a", owner="two", lease_seconds=10)
    assert caught.value.until == clock.time + 1


async def test_expired_lease_is_taken_over_with_the_next_fence(store, clock):
    mine = await store.claim("a", owner="one", lease_seconds=10)
    mine = await store.save(mine, {"by": "one"}, owner="one")
    clock.time += 10
    theirs = await store.claim("a", owner="two", lease_seconds=10)
    assert (theirs.version, theirs.fence, theirs.data) == (1, mine.fence + 1, {"by": "one"})
    with pytest.raises(SessionConflictError):
        await store.save(mine, {"by": "zombie"}, owner="one")
    await store.release(mine, owner="one")  # not ours any more: nothing happens
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="three", lease_seconds=10)
    assert (await store.save(theirs, {"by": "two"}, owner="two")).data == {"by": "two"}


async def test_record_of_an_earlier_claim_of_the_same_owner_is_a_conflict(store, clock):
    old = await store.claim("a", owner="one", lease_seconds=10)
    old = await store.save(old, {"n": 1}, owner="one")
    clock.time += 10
    await store.claim("a", owner="two", lease_seconds=10)  # runs tools, saves nothing, dies
    clock.time += 10
    new = await store.claim("a", owner="one", lease_seconds=10)
    assert (new.version, new.fence) == (old.version, old.fence + 2)
    with pytest.raises(SessionConflictError):
        await store.save(old, {"n": 2}, owner="one")
    await store.release(old, owner="one")
    assert (await store.save(new, {"n": 3}, owner="one")).data == {"n": 3}


async def test_lease_of_thousands_of_years_is_just_busy(store):
    await store.claim("a", owner="one", lease_seconds=1e15)
    with pytest.raises(SessionBusyError, match="s after the epoch"):
        await store.claim("a", owner="two", lease_seconds=1)


async def test_same_owner_may_claim_again_and_keeps_the_fence(store, clock):
    first = await store.claim("a", owner="one", lease_seconds=10)
    clock.time += 9
    again = await store.claim("a", owner="one", lease_seconds=10)
    assert again == first
    clock.time += 9
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="two", lease_seconds=10)
    assert (await store.save(first, {"n": 1}, owner="one")).version == 1


async def test_save_renews_the_lease_for_as_long_as_it_was_claimed(store, clock):
    record = await store.claim("a", owner="one", lease_seconds=10)
    clock.time += 8
    await store.save(record, {"n": 1}, owner="one")
    clock.time += 8
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="two", lease_seconds=10)
    clock.time += 2
    assert (await store.claim("a", owner="two", lease_seconds=10)).data == {"n": 1}


async def test_late_save_is_fine_if_nobody_took_over(store, clock):
    record = await store.claim("a", owner="one", lease_seconds=10)
    clock.time += 1000
    assert (await store.save(record, {"n": 1}, owner="one")).version == 1


async def test_released_session_is_free_for_the_next_and_closed_to_the_last(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    record = await store.save(record, {"n": 1}, owner="one")
    await store.release(record, owner="one")
    with pytest.raises(SessionConflictError):
        await store.save(record, {"n": 2}, owner="one")
    taken = await store.claim("a", owner="two", lease_seconds=10)
    assert (taken.data, taken.fence) == ({"n": 1}, 2)


async def test_claim_that_never_saved_leaves_nothing_behind(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    await store.release(record, owner="two")
    assert await store.list() == ["a"]
    await store.release(record, owner="one")
    assert await store.list() == []
    assert await store.load("a") is None


async def test_deleted_session_is_a_conflict_for_its_owner(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    assert await store.delete("a") is True
    with pytest.raises(SessionConflictError, match="deleted"):
        await store.save(record, {"n": 1}, owner="one")
    await store.release(record, owner="one")
    assert await store.list() == []


async def test_stored_data_is_a_copy_both_ways(store):
    record = await store.claim("a", owner="one", lease_seconds=10)
    mine = {"list": [1]}
    saved = await store.save(record, mine, owner="one")
    mine["list"].append(2)
    saved.data["list"].append(3)
    loaded = await store.load("a")
    loaded.data["list"].append(4)
    assert (await store.load("a")).data == {"list": [1]}


async def test_ids_are_listed_sorted_and_paths_are_plain_data(store):
    odd = ["../../etc/passwd", "a b", "ä/🦜", "b'; DROP TABLE sessions; --", "x" * 256]
    for agent_id in odd:
        record = await store.claim(agent_id, owner="one", lease_seconds=10)
        await store.save(record, {"id": agent_id}, owner="one")
    assert await store.list() == sorted(odd)
    for agent_id in odd:
        assert (await store.load(agent_id)).data == {"id": agent_id}


@pytest.mark.parametrize(
    "agent_id", ["", "x" * 257, "a\x00b", "line\nbreak", "\x1b[31m", "\ud800", None, 7]
)
async def test_impossible_id_is_not_found(store, agent_id):
    for call in (
        store.load(agent_id),
        store.claim(agent_id, owner="one", lease_seconds=10),
        store.delete(agent_id),
    ):
        with pytest.raises(SessionNotFoundError):
            await call
    assert await store.list() == []


@pytest.mark.parametrize(
    "data",
    [
        {"x": object()},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": {1, 2}},
        {"version": 3},
        {"_store": {}},
    ],
    ids=["object", "nan", "inf", "set", "version", "_store"],
)
async def test_data_that_is_no_json_is_refused_and_nothing_is_written(store, data):
    record = await store.claim("a", owner="one", lease_seconds=10)
    record = await store.save(record, {"n": 1}, owner="one")
    with pytest.raises(SessionDataError):
        await store.save(record, data, owner="one")
    assert await store.load("a") == record
    assert (await store.save(record, {"n": 2}, owner="one")).version == 2


async def test_deeply_nested_data_is_refused_or_kept_but_never_crashes(store):
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    record = await store.claim("a", owner="one", lease_seconds=10)
    with pytest.raises(SessionDataError):
        await store.save(record, {"deep": deep}, owner="one")


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf")])
async def test_lease_that_guards_nothing_is_refused(store, lease):
    with pytest.raises(ConfigurationError):
        await store.claim("a", owner="one", lease_seconds=lease)
    with pytest.raises(ConfigurationError):
        await store.claim("a", owner="", lease_seconds=1)


async def test_of_many_concurrent_claims_exactly_one_wins(store):
    async def attempt(owner: str) -> str | None:
        try:
            await store.claim("a", owner=owner, lease_seconds=60)
        except SessionBusyError:
            return None
        return owner

    winners = await asyncio.gather(*(attempt(f"worker-{n}") for n in range(30)))
    assert len([winner for winner in winners if winner]) == 1


async def test_of_many_concurrent_saves_of_one_record_exactly_one_wins(store):
    record = await store.claim("a", owner="one", lease_seconds=60)

    async def attempt(n: int) -> int | None:
        try:
            await store.save(record, {"n": n}, owner="one")
        except SessionConflictError:
            return None
        return n

    results = await asyncio.gather(*(attempt(n) for n in range(30)))
    (winner,) = [n for n in results if n is not None]
    assert (await store.load("a")).data == {"n": winner}

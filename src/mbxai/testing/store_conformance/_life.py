"""Checks of what befalls a store object: cancellation, closing, and more than one event loop."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
from anyio import to_thread

from mbxai.errors import SessionBusyError
from mbxai.sessions import SessionRecord, SessionStore
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._expect import expect, expect_equal
from mbxai.testing.store_conformance._saves import expect_log
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

_SESSIONS: Final = 10
_START_SECONDS: Final = 30.0


@check("A cancelled save happened wholly or not at all, and the store goes on as before.")
async def cancelled_save_is_whole_or_not_there(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    record = await store.save(record, {"n": 0}, owner="one", rows=[{"n": 0}])
    rows = [{"n": 0}]
    for number in range(1, trial.sizes.cancellations + 1):
        content = {"n": number}
        await _cancelled(store, record, content, number)
        after = await _settled(store, agent_id)
        if after.version == record.version:
            wanted = (record.seq, record.data)
        else:
            wanted = (record.seq + 1, content)
            rows.append(content)
            expect_equal("version after a cancelled save", after.version, record.version + 1)
        expect_equal("seq and data after a cancelled save", (after.seq, after.data), wanted)
        await expect_log(store, agent_id, rows)
        record = after
    record = await store.save(record, {"n": "last"}, owner="one", rows=[{"n": "last"}])
    expect_equal(
        "seq and data of the last save", (record.seq, record.data), (len(rows) + 1, {"n": "last"})
    )
    expect_equal("load by another worker", await trial.open().load(agent_id), record)


@check("A cancelled claim leaves the session free or held by its owner, and the store usable.")
async def cancelled_claim_leaves_the_store_usable(trial: Trial) -> None:
    store = trial.store
    for number in range(trial.sizes.cancellations):
        agent_id = trial.id(f"s{number}")
        with anyio.CancelScope() as scope:
            scope.deadline = anyio.current_time() + number * 0.0002
            await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
        record = await _settled(store, agent_id)
        saved = await store.save(record, {"n": number}, owner="one")
        expect_equal("version of the first save", saved.version, 1)


@check("A closed store opens again when it is next used, and closing twice is fine.")
async def closed_store_opens_again(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.aclose()
    await store.create(agent_id, {"n": 1}, rows=[{"n": 1}])
    await store.aclose()
    await store.aclose()
    loaded = await store.load(agent_id)
    expect_equal("data after aclose", loaded.data if loaded else None, {"n": 1})
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await store.aclose()
    await store.save(record, {"n": 2}, owner="one")
    await store.aclose()
    with anyio.move_on_after(0.05):
        await store.wait(agent_id, after=1, timeout_seconds=LONG_SECONDS)
    await store.aclose()


@check("Closing one store closes no other onto the same place.")
async def closing_a_store_closes_no_other(trial: Trial) -> None:
    store, other, agent_id = trial.store, trial.open(), trial.id()
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    await other.load(agent_id)
    await other.aclose()
    saved = await store.save(record, {"n": 1}, owner="one")
    expect_equal("version of a save afterwards", saved.version, 1)


@check("A store object works on one event loop after the other, as blocking callers use it.")
async def store_works_on_one_loop_after_the_other(trial: Trial) -> None:
    store, agent_id = trial.store, trial.id()
    await store.create(agent_id, {"n": 0})

    async def step(number: int) -> None:
        owner = f"loop-{number}"
        record = await store.claim(agent_id, owner=owner, lease_seconds=LONG_SECONDS)
        record = await store.save(record, {"n": number}, owner=owner, rows=[{"n": number}])
        await store.release(record, owner=owner)

    for number in (1, 2, 3):
        await _on_another_loop(trial, step, number)
    await step(4)
    loaded = await store.load(agent_id)
    expect_equal("data after four loops", loaded.data if loaded else None, {"n": 4})


@check("A store object works on two event loops at the same time.")
async def store_works_on_two_loops_at_once(trial: Trial) -> None:
    store, together = trial.store, threading.Barrier(2)
    ids = [trial.id(f"s{number}") for number in range(_SESSIONS)]
    wins: list[str] = []

    async def work(number: int) -> None:
        together.wait(_START_SECONDS)
        await trial.at_once([_attempt(store, each, f"loop-{number}", wins) for each in ids])

    await trial.at_once([partial(_on_another_loop, trial, work, number) for number in (1, 2)])
    expect_equal("sessions that were won on two loops", sorted(wins), sorted(ids))


def _attempt(
    store: SessionStore, agent_id: str, owner: str, wins: list[str]
) -> Callable[[], Awaitable[None]]:
    async def attempt() -> None:
        try:
            record = await store.claim(agent_id, owner=owner, lease_seconds=LONG_SECONDS)
        except SessionBusyError:
            return
        await store.save(record, {"by": owner}, owner=owner)
        wins.append(agent_id)

    return attempt


async def _on_another_loop(
    trial: Trial, step: Callable[[int], Awaitable[None]], number: int
) -> None:
    """Run a function in a thread, on an event loop of its own which ends with it."""

    async def bounded() -> None:
        with anyio.fail_after(trial.sizes.check_seconds):
            await step(number)

    # A store that hangs there must not keep the suite from saying so.
    await to_thread.run_sync(anyio.run, bounded, abandon_on_cancel=True)


async def _cancelled(
    store: SessionStore, record: SessionRecord, content: dict[str, int], number: int
) -> None:
    """Begin a save and cancel it: after some turns of the loop, or after some tenths of a ms."""
    async with anyio.create_task_group() as group:

        async def save() -> None:
            await store.save(record, content, owner="one", rows=[content])

        group.start_soon(save)
        for _ in range(number % 4):
            await anyio.lowlevel.checkpoint()
        if number % 3 == 0:
            await anyio.sleep(number * 0.0001)
        group.cancel_scope.cancel()


async def _settled(store: SessionStore, agent_id: str) -> SessionRecord:
    """Claim until two claims agree, since what was cancelled may still be written."""
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
    while True:
        await anyio.sleep(0.01)
        again = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)
        expect(again.fence == record.fence, "claim by the same owner: it has another fence")
        if again.version == record.version:
            return again
        record = again


CHECKS: Final = (
    cancelled_save_is_whole_or_not_there,
    cancelled_claim_leaves_the_store_usable,
    closed_store_opens_again,
    closing_a_store_closes_no_other,
    store_works_on_one_loop_after_the_other,
    store_works_on_two_loops_at_once,
)

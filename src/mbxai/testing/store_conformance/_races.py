"""Checks of many workers at once: one winner, nothing lost, and what a dead one leaves behind."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

from mbxai.errors import SessionBusyError, SessionConflictError
from mbxai.sessions import PostedAnswer, SessionRecord, SessionStore
from mbxai.testing.store_conformance._check import check
from mbxai.testing.store_conformance._claims import expect_grown
from mbxai.testing.store_conformance._expect import expect, expect_equal, expect_error
from mbxai.testing.store_conformance._saves import expect_log
from mbxai.testing.store_conformance._trial import LONG_SECONDS, Trial

_ROUNDS: Final = 2
_POSTS: Final = 20
_SAVES: Final = 20
_PAUSE_SECONDS: Final = 0.01


@check("Of many workers that claim the same sessions at once, each session goes to exactly one.")
async def one_claim_wins(trial: Trial) -> None:
    sizes = trial.sizes
    stores = [trial.open() for _ in range(sizes.workers)]
    ids = [trial.id(f"s{number}") for number in range(sizes.sessions)]
    for agent_id in ids[: len(ids) // 2]:  # half of them are there already
        await stores[0].create(agent_id, {"n": 1})

    def attempt(worker: int, agent_id: str) -> Callable[[], Awaitable[tuple[str, int] | None]]:
        async def claim() -> tuple[str, int] | None:
            owner = f"worker-{worker}"
            try:
                await stores[worker].claim(agent_id, owner=owner, lease_seconds=LONG_SECONDS)
            except SessionBusyError:
                return None
            return agent_id, worker

        return claim

    attempts = [attempt(worker, agent_id) for agent_id in ids for worker in range(sizes.workers)]
    wins = [won for won in await trial.at_once(attempts) if won is not None]
    counts = Counter(agent_id for agent_id, _ in wins)
    wrong = {agent_id: counts[agent_id] for agent_id in ids if counts[agent_id] != 1}
    expect_equal("sessions that have more or fewer than one winner", wrong, {})
    for agent_id, worker in wins:
        claiming = stores[worker].claim(
            agent_id, owner=f"worker-{worker}", lease_seconds=LONG_SECONDS
        )
        await claiming  # the winner holds it, so it may claim again


@check("Of many saves of one record at once exactly one wins; the others write nothing.")
async def one_save_wins(trial: Trial) -> None:
    stores, agent_id = [trial.open() for _ in range(trial.sizes.workers)], trial.id()
    record = await stores[0].claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)

    def attempt(number: int) -> Callable[[], Awaitable[int | None]]:
        async def save() -> int | None:
            store, content = stores[number % len(stores)], {"n": number}
            try:
                await store.save(record, content, owner="one", rows=[content])
            except SessionConflictError:
                return None
            return number

        return save

    results = await trial.at_once([attempt(number) for number in range(4 * len(stores))])
    winners = [number for number in results if number is not None]
    expect_equal("saves that won", len(winners), 1)
    loaded = await stores[0].load(agent_id)
    got = (loaded.version, loaded.seq, loaded.data) if loaded else None
    expect_equal("the session", got, (1, 1, {"n": winners[0]}))
    await expect_log(stores[0], agent_id, [{"n": winners[0]}])


@check("Of many creates of one id at once exactly one wins.")
async def one_create_wins(trial: Trial) -> None:
    stores, agent_id = [trial.open() for _ in range(trial.sizes.workers)], trial.id()

    def attempt(number: int) -> Callable[[], Awaitable[int | None]]:
        async def create() -> int | None:
            try:
                await stores[number % len(stores)].create(agent_id, {"n": number}, rows=[{"n": 1}])
            except SessionConflictError:
                return None
            return number

        return create

    results = await trial.at_once([attempt(number) for number in range(2 * len(stores))])
    winners = [number for number in results if number is not None]
    expect_equal("creates that won", len(winners), 1)
    loaded = await stores[0].load(agent_id)
    expect_equal("data", loaded.data if loaded else None, {"n": winners[0]})
    await expect_log(stores[0], agent_id, [{"n": 1}])


@check("No update is lost where several workers change many sessions at the same time.")
async def no_update_is_lost(trial: Trial) -> None:
    stores = (trial.store, trial.open())
    ids = [trial.id(f"s{number}") for number in range(trial.sizes.updates)]

    def update(agent_id: str, worker: int) -> Callable[[], Awaitable[None]]:
        store, owner = stores[worker], f"worker-{worker}"

        async def run() -> None:
            for _ in range(_ROUNDS):
                record = await _claimed(store, agent_id, owner)
                number = record.data.get("n", 0) + 1
                record = await store.save(record, {"n": number}, owner=owner, rows=[{"n": number}])
                await store.release(record, owner=owner)

        return run

    await trial.at_once([update(agent_id, worker) for agent_id in ids for worker in (0, 1)])
    wanted = _ROUNDS * len(stores)
    rows: list[dict[str, Any]] = [{"n": number} for number in range(1, wanted + 1)]  # Any: JSON
    for agent_id in ids:
        loaded = await stores[0].load(agent_id)
        got = (loaded.version, loaded.seq, loaded.data) if loaded else None
        what = f"a session after {wanted} updates"
        expect_equal(what, got, (wanted, wanted, {"n": wanted}))
        await expect_log(stores[0], agent_id, rows)


@check("Answers that are posted at once get one number each, and each interaction one answer.")
async def no_answer_is_lost_or_doubled(trial: Trial) -> None:
    stores, agent_id = (trial.store, trial.open()), trial.id()
    await stores[0].create(agent_id, {})

    def post(number: int) -> Callable[[], Awaitable[PostedAnswer]]:
        store = stores[number % len(stores)]
        return lambda: store.post_answer(agent_id, f"q{number // 4}", {"by": number})

    posted = await trial.at_once([post(number) for number in range(4 * _POSTS)])
    answers = await stores[0].read_answers(agent_id)
    expect_equal("numbers in the inbox", [a.number for a in answers], [*range(1, _POSTS + 1)])
    kept = {answer.interaction_id: answer for answer in answers}
    expect_equal("interactions in the inbox", len(kept), _POSTS)
    for answer in posted:
        what = "what post_answer gave, and what the inbox has"
        expect_equal(what, answer, kept[answer.interaction_id])
    loaded = await stores[0].load(agent_id)
    expect_equal("answers_posted", loaded.answers_posted if loaded else None, _POSTS)


@check("Saves and answers do not disturb each other: neither is refused, and none is lost.")
async def answers_do_not_disturb_saves(trial: Trial) -> None:
    store, other, agent_id = trial.store, trial.open(), trial.id()
    await store.create(agent_id, {})
    record = await store.claim(agent_id, owner="one", lease_seconds=LONG_SECONDS)

    async def save_often() -> None:
        saved = record
        for number in range(1, _SAVES + 1):
            content = {"n": number}
            saved = await store.save(saved, content, owner="one", rows=[content])

    async def post_often() -> None:
        for number in range(_POSTS):
            await other.post_answer(agent_id, f"q{number}", {"n": number})

    await trial.at_once([save_often, post_often])
    loaded = await store.load(agent_id)
    got = (loaded.version, loaded.answers_posted, loaded.data) if loaded else None
    expect_equal("the session", got, (_SAVES + 1, _POSTS, {"n": _SAVES}))
    expect_equal("the inbox", len(await store.read_answers(agent_id)), _POSTS)


@check("A worker that dies between two saves loses nothing that it saved, and writes no more.")
async def dead_worker_is_replaced(trial: Trial) -> None:
    store, scope = trial.open(), trial.scope()
    agent_id = trial.id("a", scope)
    dead = await store.claim(agent_id, owner="dead", lease_seconds=trial.lease, scope=scope)
    for number in (1, 2, 3):
        content = {"n": number}
        dead = await store.save(dead, content, owner="dead", rows=[content], status="working")
    await store.aclose()
    await trial.outlive(trial.lease)
    other = trial.open()
    (due,) = await other.due(scope=scope)
    expect_equal("what is due", (due.scope, due.agent_id), (scope, agent_id))
    new = await other.claim(agent_id, owner="new", lease_seconds=LONG_SECONDS, scope=scope)
    expect_grown("the takeover", dead, new)
    got = (new.version, new.seq, new.status, new.data)
    expect_equal("what the dead worker left", got, (3, 3, "working", {"n": 3}))
    expect_equal("due while it is claimed", await other.due(scope=scope), [])
    new = await other.save(new, {"n": 4}, owner="new", rows=[{"n": 4}])
    saving = store.save(dead, {"n": 99}, owner="dead", rows=[{"n": 99}])
    await expect_error(SessionConflictError, "save by the worker that was thought dead", saving)
    rows = [row.content["n"] for row in await other.read_log(agent_id, scope=scope)]
    expect(rows in ([1, 2, 3, 4], rows[-1:]), f"the log: expected 1, 2, 3 and 4, got {rows}")
    expect_equal("load", await other.load(agent_id, scope=scope), new)


async def _claimed(store: SessionStore, agent_id: str, owner: str) -> SessionRecord:
    while True:
        try:
            return await store.claim(agent_id, owner=owner, lease_seconds=LONG_SECONDS)
        except SessionBusyError:
            await anyio.sleep(_PAUSE_SECONDS)


CHECKS: Final = (
    one_claim_wins,
    one_save_wins,
    one_create_wins,
    no_update_is_lost,
    no_answer_is_lost_or_doubled,
    answers_do_not_disturb_saves,
    dead_worker_is_replaced,
)

"""The cases A1-A6 and A10: sessions that several workers, broken stores and strangers touch."""

import json
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_safety_desk import answered, decided, desk, store_at
from support.agent_safety_redis import RedisHandler
from support.agent_safety_run import OVERRIDES, PROMPT, Effects, Report, play, script

from mbxai import (
    AsyncAgentClient,
    AsyncOpenRouterClient,
    ConfigurationError,
    HumanInLoopResponseBatch,
    InteractionError,
    InteractionMismatchError,
    InteractionNotFoundError,
    SessionDataError,
    SessionNotFoundError,
    SessionStoreError,
)
from mbxai.sessions import InMemorySessionStore, SessionRecord, SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

DESK = Path(__file__).parents[1] / "support" / "agent_safety_desk.py"
LOST = {"SessionBusyError", "SessionConflictError"}
MISFIT = {"InteractionMismatchError"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    script(server)
    return server


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path / "effects")


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is."""
    if request.param == "sqlite":
        return str(tmp_path / "sessions.db")
    return f"{request.getfixturevalue('redis_url')}#cases-{uuid.uuid4()}:"


def worker(**order: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(DESK), json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(workers: list["subprocess.Popen[str]"], interaction: str) -> list[str]:
    """Let all answer a request at once; return how they ended."""
    for one in workers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin is not None
        one.stdin.write(f"{interaction}\n")
        one.stdin.flush()
    return [one.communicate(timeout=20)[0].strip() for one in workers]


@pytest.mark.parametrize("decisions", [("approve", "approve"), ("approve", "decline")])
async def test_a1_two_workers_that_answer_the_same_request_act_once(
    fake: FakeOpenRouter, place: str, effects: Effects, decisions: tuple[str, str]
) -> None:
    order = {"url": fake.base_url, "place": place, "effects": str(effects.path)}
    workers = [worker(**order, decision=decision) for decision in decisions]
    async with desk(fake.base_url, place, effects) as agent:
        waiting = await agent.agent(PROMPT, Report, agent_id="s")
        assert waiting.human_interaction_request is not None
        outcomes = ended(workers, waiting.human_interaction_request.id)
        done = await agent.get_response("s", Report)

    # Who comes a moment later is told so; if all is over by then, the same answer is no news.
    assert "completed" in outcomes
    late = {"completed"} if decisions[0] == decisions[1] else MISFIT
    assert set(outcomes) <= {"completed"} | LOST | late
    assert outcomes.count("completed") == 1 or decisions[0] == decisions[1]
    assert done.is_complete()
    assert len(effects.noted("ship", "effect")) <= 1
    assert len(effects.noted("charge", "effect")) == 1
    assert len(effects.noted("ship", "begun")) == len(effects.noted("ship", "ended"))


async def test_a2_answers_to_wrong_stale_and_foreign_requests_change_nothing(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    script(fake)
    script(fake)
    async with desk(fake.base_url, place, effects) as agent:
        foreign = await agent.agent(PROMPT, Report, agent_id="foreign")
        first = await agent.agent(PROMPT, Report, agent_id="s")
        stale = first.human_interaction_request
        assert stale is not None
        assert foreign.human_interaction_request is not None
        await answered(agent, decided(stale, "approve"))
        waiting = await agent.agent("Deliver it again", Report, agent_id="s")
        own = waiting.human_interaction_request
        assert own is not None
        before = await agent.get_session_info("s")
        wrong = [
            (decided("no-such-id", "approve"), InteractionNotFoundError),
            (decided("", "approve"), InteractionNotFoundError),
            (decided("\x00" * 10_000, "approve"), InteractionNotFoundError),
            (decided(stale, "approve"), InteractionNotFoundError),
            (decided(foreign.human_interaction_request, "approve"), InteractionNotFoundError),
            (decided(own, "perhaps"), InteractionMismatchError),
            (
                decided(own, "approve").model_copy(update={"response_type": "question"}),
                InteractionMismatchError,
            ),
            ([decided(own, "approve"), decided(own, "decline")], InteractionMismatchError),
            ([decided(own, "approve"), decided(stale, "approve")], InteractionNotFoundError),
        ]
        for answers, expected in wrong:
            with pytest.raises(expected) as caught:
                await answered(agent, answers)
            assert isinstance(caught.value, InteractionError)
            assert await agent.get_session_info("s") == before
        assert len(effects.noted("ship", "begun")) == 1
        done = await answered(agent, decided(own, "decline"))
        for decision in ("approve", "skip"):
            with pytest.raises(InteractionMismatchError):
                await answered(agent, decided(own, decision))
        assert (await answered(agent, decided(own, "decline"))).is_complete()

    assert done.is_complete()


COMPLEX = {
    "tasks": [
        {
            "key": key,
            "title": f"Part {key}",
            "description": f"MARK-{key}",
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": 5,
        }
        for key in "abc"
    ],
    "estimated_total_time": "1 minute",
}


@pytest.mark.parametrize("form", ["list", "batch"])
async def test_a3_of_a_partial_batch_only_what_was_answered_is_applied(
    fake: FakeOpenRouter, place: str, effects: Effects, form: str
) -> None:
    fake.reset()
    fake.script(Reply(json=COMPLEX, when=Match(schema="TodoList")), Auto(times=None))

    def given(*answers: Any) -> Any:
        return list(answers) if form == "list" else HumanInLoopResponseBatch(responses=[*answers])

    async with desk(fake.base_url, place, effects) as agent:
        waiting = await agent.agent(PROMPT, Report, agent_id="s")
        first, second, third = waiting.human_interaction_requests
        same = await answered(agent, given())
        partial = await answered(agent, given(decided(second, "skip")))
        with pytest.raises(InteractionMismatchError):
            await answered(agent, given(decided(first, "skip"), decided(third, "who knows")))
        kept = await agent.get_response("s")
        done = await answered(agent, given(decided(third, "skip"), decided(first, "skip")))

    assert [one.id for one in same.human_interaction_requests] == [first.id, second.id, third.id]
    assert partial.is_waiting_for_human()
    assert [one.id for one in partial.human_interaction_requests] == [first.id, third.id]
    assert kept.human_interaction_requests == partial.human_interaction_requests
    assert done.is_complete()
    assert done.todo_list is not None
    assert [task.status for task in done.todo_list.tasks] == ["skipped"] * 3


# --- A5: stores ---------------------------------------------------------------------------------


async def test_a5_a_store_that_is_down_is_a_typed_error_before_any_call_of_the_model(
    fake: FakeOpenRouter, effects: Effects, tmp_path: Path
) -> None:
    for place in ("redis://127.0.0.1:1/0#x:", str(tmp_path / "nowhere" / "sessions.db")):
        async with desk(fake.base_url, place, effects) as agent:
            with pytest.raises(SessionStoreError) as caught:
                await agent.agent(PROMPT, Report, agent_id="s")
            assert caught.value.__cause__ is not None
            with pytest.raises(SessionStoreError):
                await agent.get_session_info("s")

    assert fake.requests() == []


async def test_a5_a_store_that_goes_down_in_a_run_loses_nothing_that_was_saved(
    fake: FakeOpenRouter, effects: Effects, tmp_path: Path
) -> None:
    place = str(tmp_path / "sessions.db")
    async with desk(fake.base_url, place, effects) as agent:
        waiting = await agent.agent(PROMPT, Report, agent_id="s")
        before = await agent.get_session_info("s")
    with sqlite3.connect(place) as locked:  # another program holds the file for good
        locked.execute("BEGIN IMMEDIATE")
        store = SQLiteSessionStore(place, busy_timeout=0.05)
        async with AsyncOpenRouterClient("k" * 9, "fake/model", fake.base_url) as client:
            agent = AsyncAgentClient(client, True, session_handler=store)
            with pytest.raises(SessionStoreError):
                await answered(agent, decided(waiting.human_interaction_requests[0], "approve"))
        locked.rollback()
        await store.aclose()
    locked.close()
    async with desk(fake.base_url, place, effects) as agent:
        assert await agent.get_session_info("s") == before
        assert (await play(agent, "s")).is_complete()

    assert len(effects.noted("ship", "effect")) == 1


class Slow(InMemorySessionStore):
    """A store of which each save takes longer than the lease."""

    async def save(self, record: SessionRecord, *args: Any, **given: Any) -> Any:
        time.sleep(0.02)
        return await super().save(record, *args, **given)


async def test_a5_a_store_slower_than_the_lease_only_delays_the_run(
    fake: FakeOpenRouter, effects: Effects
) -> None:
    client = AsyncOpenRouterClient("k" * 9, "fake/model", fake.base_url, max_retries=0)
    async with client:
        agent = AsyncAgentClient(client, session_handler=Slow(), lease_seconds=0.01)
        response = await agent.agent(PROMPT, Report)

    assert response.is_complete()


def text_of(version: object) -> str:
    return json.dumps({"schema_version": version, "agent_id": "s", "state": "completed"})


@pytest.mark.parametrize(
    "stored",
    [
        *('{"schema_version": 1, "agent_id"', "[]", "null", "", '{"schema_version": NaN}', "{} {}"),
        *(text_of(2), text_of(99), text_of(None), text_of("1"), text_of(1.5)),
        json.dumps({"schema_version": 1, "agent_id": "s", "state": "no such state"}),
        json.dumps({"schema_version": 1, "agent_id": "s", "runs": {"t": {"key": 5}}}),
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
async def test_a5_a_session_that_cannot_be_read_is_an_error_and_stays_as_it_is(
    fake: FakeOpenRouter, place: str, effects: Effects, stored: str
) -> None:
    async with desk(fake.base_url, place, effects) as agent:
        await agent.agent(PROMPT, Report, agent_id="s")
        await agent.agent(PROMPT, Report, agent_id="healthy")
        await overwrite(place, stored)
        seen = await read(place)
        calls = len(fake.requests())
        for attempt in (
            agent.agent(PROMPT, Report, agent_id="s"),
            agent.get_session_info("s"),
            agent.get_response("s"),
        ):
            with pytest.raises((SessionDataError, SessionStoreError, SessionNotFoundError)):
                await attempt
        assert await read(place) == seen
        assert len(fake.requests()) == calls
        assert (await agent.get_response("healthy")).is_waiting_for_human()
        assert await agent.delete_session("s")
        assert await agent.list_sessions() == ["healthy"]


async def overwrite(place: str, text: str) -> None:
    store = store_at(place)
    if isinstance(store, RedisHandler):
        await store.redis.set(f"{store.prefix}s", text)
        await store.redis.aclose()
        return
    with sqlite3.connect(place) as connection:
        (number,) = connection.execute("SELECT id FROM sessions WHERE agent_id = 's'").fetchone()
        connection.execute("UPDATE sessions SET seq = 0 WHERE id = ?", (number,))
        connection.execute("DELETE FROM log WHERE id = ?", (number,))
        connection.execute("UPDATE contents SET content = ? WHERE id = ?", (text.encode(), number))
    connection.close()


def without_lease(stored: bytes) -> Any:
    """What is stored, without what a claim writes beside it."""
    try:
        data = json.loads(stored)
    except (ValueError, RecursionError):
        return stored
    kept = {"version", "_store"}
    return {k: v for k, v in data.items() if k not in kept} if isinstance(data, dict) else data


async def read(place: str) -> Any:
    store = store_at(place)
    if isinstance(store, RedisHandler):
        value = await store.redis.get(f"{store.prefix}s")
        await store.redis.aclose()
        return without_lease(value)
    with sqlite3.connect(place) as connection:
        row = connection.execute(
            "SELECT content FROM contents JOIN sessions USING (id) WHERE agent_id = 's'"
        ).fetchone()
    connection.close()
    return row


# --- A6, A10 ------------------------------------------------------------------------------------


async def test_a6_an_answer_to_a_deleted_session_starts_nothing(
    fake: FakeOpenRouter, place: str, effects: Effects
) -> None:
    async with desk(fake.base_url, place, effects) as agent:
        waiting = await agent.agent(PROMPT, Report, agent_id="s")
        answer = decided(waiting.human_interaction_requests[0], "approve")
        assert await agent.delete_session("s")
        calls = len(fake.requests())
        with pytest.raises((InteractionNotFoundError, SessionNotFoundError, ConfigurationError)):
            await answered(agent, answer)
        with pytest.raises(InteractionNotFoundError):
            await agent.agent(PROMPT, Report, agent_id="s", human_response=answer)
        assert await agent.list_sessions() == []
        assert len(fake.requests()) == calls

    assert effects.noted("ship", "begun") == []


async def test_a6_an_answer_to_an_expired_session_starts_nothing(
    fake: FakeOpenRouter, redis_url: str, effects: Effects
) -> None:
    place = f"{redis_url}#expiring-{uuid.uuid4()}:"
    async with desk(fake.base_url, place, effects) as agent:
        waiting = await agent.agent(PROMPT, Report, agent_id="s")
        answer = decided(waiting.human_interaction_requests[0], "approve")
        handler = store_at(place)
        await handler.redis.pexpire(f"{handler.prefix}s", 1)
        while await handler.session_exists("s"):
            pass
        await handler.redis.aclose()
        with pytest.raises((InteractionNotFoundError, SessionNotFoundError, ConfigurationError)):
            await answered(agent, answer)
        assert await agent.list_sessions() == []

    assert effects.noted("ship", "begun") == []


HOSTILE = ["\x00", "s\x00", "a" * 10_240, "\n", "\x1b[2J", "\ud800", "a\u0085b"]


@pytest.mark.parametrize("agent_id", HOSTILE, ids=ascii)
async def test_a10_an_id_that_no_session_can_have_is_not_found_and_not_repeated(
    fake: FakeOpenRouter, place: str, effects: Effects, agent_id: str
) -> None:
    async with desk(fake.base_url, place, effects) as agent:
        for attempt in (
            agent.agent(PROMPT, Report, agent_id=agent_id),
            agent.get_session_info(agent_id),
            agent.get_response(agent_id),
            agent.delete_session(agent_id),
        ):
            with pytest.raises(SessionNotFoundError) as caught:
                await attempt
            assert agent_id not in str(caught.value)
        assert await agent.list_sessions() == []

    assert fake.requests() == []


@pytest.mark.parametrize("agent_id", ["../s", "../../etc/passwd", "/s", "s/../s", "S", "s ", "*"])
async def test_a10_an_id_that_looks_like_a_path_is_only_another_id(
    fake: FakeOpenRouter, place: str, effects: Effects, tmp_path: Path, agent_id: str
) -> None:
    files = {path.name for path in tmp_path.parent.iterdir()}
    async with desk(fake.base_url, place, effects) as agent:
        await agent.agent(PROMPT, Report, agent_id="s")
        with pytest.raises(SessionNotFoundError):
            await agent.get_session_info(agent_id)
        with pytest.raises(ConfigurationError):
            await agent.agent("", Report, agent_id=agent_id)
        assert not await agent.delete_session(agent_id)
        assert await agent.list_sessions() == ["s"]

    assert {path.name for path in tmp_path.parent.iterdir()} == files

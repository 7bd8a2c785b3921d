"""Workers as real processes, `mbxai sessions work`, on stores that they share."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
import pytest
import redis
from support.agent_worker_shop import (
    FOLDER,
    LEASE_SECONDS,
    TARGET,
    Receipt,
    Shop,
    all_completed,
    plan,
    until,
)
from support.programs import COMMAND, environment, mbxai

from mbxai.testing import FakeOpenRouter


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    prefix = f"mbxai-test:{uuid4().hex}:"
    yield prefix
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(key)


@contextmanager
def worker(shop: Shop, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """A worker's process, which is killed if it still runs in the end."""
    process = subprocess.Popen(
        [*COMMAND, "sessions", "work", TARGET, "--poll", "0.05", *words],
        env=environment(shop.env()),
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def left(process: "subprocess.Popen[str]", seconds: float = 10) -> tuple[int, str]:
    """Wait for a worker that was told to stop; return its exit code and what it said."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


async def shared(shop: Shop, *, sessions: int) -> None:
    """Two workers share sessions; each is run once, and both leave in peace."""
    async with shop.open() as agent:
        ids = [await agent.submit(f"Ship lamp {n}", Receipt) for n in range(sessions)]
        words = ["--concurrency", "2", "--grace", "5"]
        with worker(shop, *words) as one, worker(shop, *words) as two:
            await all_completed(agent, sessions)
            for process in (one, two):
                process.send_signal(signal.SIGTERM)
            assert [left(process)[0] for process in (one, two)] == [0, 0]
        assert await agent.store.due() == []
        for moment in ("begun", "ended"):
            assert sorted(note.agent_id for note in shop.notes(moment)) == sorted(ids)
        assert {note.worker for note in shop.notes("begun")} == {one.pid, two.pid}


async def test_two_workers_on_one_sqlite_file_run_each_of_20_sessions_once(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    shop = Shop(url=fake.base_url, folder=tmp_path, seconds=0.3)
    await shared(shop, sessions=20)
    assert len(shop.notes("ended")) == 20


async def test_two_workers_on_one_redis_run_each_of_20_sessions_once(
    fake: FakeOpenRouter, tmp_path: Path, redis_url: str, prefix: str
) -> None:
    shop = Shop(url=fake.base_url, folder=tmp_path, store=redis_url, prefix=prefix, seconds=0.3)
    await shared(shop, sessions=20)
    assert len(shop.notes("ended")) == 20


async def test_two_workers_on_one_postgres_run_each_of_20_sessions_once(
    fake: FakeOpenRouter, tmp_path: Path, postgres_url: str
) -> None:
    schema = f"mbxai_test_{uuid4().hex[:12]}"
    shop = Shop(url=fake.base_url, folder=tmp_path, store=postgres_url, prefix=schema, seconds=0.3)
    try:
        await shared(shop, sessions=20)
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    assert len(shop.notes("ended")) == 20


async def test_a_killed_workers_session_is_taken_over_after_its_lease(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    stuck = Shop(url=fake.base_url, folder=tmp_path, seconds=60)
    async with stuck.open() as agent:
        await agent.submit("Ship a lamp", Receipt)
        with worker(stuck) as one:
            await until(lambda: stuck.notes("begun"))
            os.kill(one.pid, signal.SIGKILL)
        killed = time.time()

        quick = Shop(url=fake.base_url, folder=tmp_path)
        with worker(quick) as two:
            await all_completed(agent, 1)
            two.send_signal(signal.SIGTERM)
            assert left(two)[0] == 0
    first, second = stuck.notes("begun")
    assert (first.worker, second.worker) == (one.pid, two.pid)
    assert first.key == second.key  # a service that knows the key does it once
    # The last sign of life was at most a third of the lease before the end.
    assert second.at - killed > LEASE_SECONDS / 3
    assert len(stuck.notes("ended")) == 1


@pytest.mark.alone
async def test_on_sigterm_a_run_has_its_grace_and_the_next_worker_goes_on(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    stuck = Shop(url=fake.base_url, folder=tmp_path, seconds=60)
    async with stuck.open() as agent:
        ids = [await agent.submit(f"Ship lamp {n}", Receipt) for n in range(5)]
        with worker(stuck, "--grace", "0.5", "--concurrency", "3") as one:
            await until(lambda: len(stuck.notes("begun")) == 3)
            one.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code, said = left(one)
            assert (code, time.monotonic() - began < 5) == (0, True)
        assert "Stopping" in said
        assert sorted(session.agent_id for session in await agent.store.due()) == sorted(ids)

        quick = Shop(url=fake.base_url, folder=tmp_path)
        with worker(quick, "--until-idle") as two:
            assert left(two)[0] == 0
        await all_completed(agent, 5, seconds=1)
    assert sorted(note.agent_id for note in quick.notes("ended")) == sorted(ids)


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,) * 2])
async def test_a_second_signal_cuts_runs_off(
    fake: FakeOpenRouter, tmp_path: Path, signals: Sequence[signal.Signals]
) -> None:
    stuck = Shop(url=fake.base_url, folder=tmp_path, seconds=60)
    async with stuck.open() as agent:
        agent_id = await agent.submit("Ship a lamp", Receipt)
        with worker(stuck) as one:
            await until(lambda: stuck.notes("begun"))
            for number in signals:
                one.send_signal(number)
                await anyio.sleep(0.3)
            code, said = left(one)
        assert code == 130
        assert "Traceback" not in said
        assert [session.agent_id for session in await agent.store.due()] == [agent_id]


async def test_an_answer_of_a_third_process_wakes_a_session_that_rests(
    tmp_path: Path,
) -> None:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as careful:
        shop = Shop(url=careful.base_url, folder=tmp_path, people=True)
        async with shop.open() as agent:
            agent_id = await agent.submit("Ship a lamp", Receipt)
            with worker(shop) as one:
                with anyio.fail_after(10):
                    while not (await agent.get_response(agent_id)).is_waiting_for_human():
                        await anyio.sleep(0.05)
                assert shop.notes("begun") == []

                words = ["sessions", "answer", agent_id, "--store", shop.place]
                ended = mbxai(*words, "--decision", "proceed", env={}, cwd=tmp_path)
                assert (ended.code, ended.err) == (0, "")
                await all_completed(agent, 1)
                one.send_signal(signal.SIGTERM)
                assert left(one)[0] == 0
    assert [note.worker for note in shop.notes("ended")] == [one.pid]

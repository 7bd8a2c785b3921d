"""Many who use one Postgres at once: workers, processes, threads, followers, lost answers."""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import psycopg
import pytest
from support.commit_proxy import CommitProxy
from support.scripts import run_script
from support.services import PostgresCluster
from support.stored_state import ids_of

from mbxai.errors import SessionBusyError, SessionConflictError
from mbxai.sessions import PostgresSessionStore

WORKERS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = PostgresCluster(folder)
        with cluster.running():
            yield cluster


@pytest.fixture
def schema() -> str:
    return f"test_{uuid4().hex[:12]}"


def backends(cluster: PostgresCluster, name: str, condition: str = "true") -> set[int]:
    """The server's processes that serve a client of this name."""
    with psycopg.connect(cluster.url, autocommit=True) as server:
        text = f"SELECT pid FROM pg_stat_activity WHERE application_name = %s AND {condition}"
        found = server.execute(text.encode(), [name])
        return {pid for (pid,) in found}


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("ttl_seconds", [None, 60.0])
async def test_who_claim_a_session_at_once_have_one_winner(
    cluster: PostgresCluster, schema: str, ttl_seconds: float | None, is_there: bool
) -> None:
    stores = [
        PostgresSessionStore(cluster.url, schema=schema, ttl_seconds=ttl_seconds) for _ in range(2)
    ]
    won: list[str] = []

    async def claim(store: PostgresSessionStore, agent_id: str, owner: str) -> None:
        try:
            record = await store.claim(agent_id, owner=owner, lease_seconds=60)
        except SessionBusyError:
            return
        await store.save(record, {"by": owner}, owner=owner)
        won.append(agent_id)

    names = [f"s{number}" for number in range(30)]
    for name in names:
        if is_there:
            await stores[0].create(name, {})
        async with anyio.create_task_group() as group:
            for worker in range(WORKERS):
                group.start_soon(claim, stores[worker % 2], name, f"worker-{worker}")
    assert won == names
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("ttl_seconds", [None, 60.0])
async def test_of_those_who_create_a_session_at_once_one_does(
    cluster: PostgresCluster, schema: str, ttl_seconds: float | None
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, ttl_seconds=ttl_seconds)
    made: list[tuple[str, int]] = []

    async def create(agent_id: str, number: int) -> None:
        try:
            await store.create(agent_id, {"n": number}, rows=[{"n": number}])
        except SessionConflictError:
            return
        made.append((agent_id, number))

    for name in range(30):
        async with anyio.create_task_group() as group:
            for worker in range(WORKERS):
                group.start_soon(create, f"s{name}", worker)
    assert [name for name, _ in made] == [f"s{name}" for name in range(30)]
    for name, number in made:
        record = await store.load(name)
        assert record is not None
        assert record.data == {"n": number}
    await store.aclose()


CLAIM_ALL = """
import asyncio, json, sys
from mbxai.errors import SessionBusyError
from mbxai.sessions import PostgresSessionStore

async def main(url, schema, owner):
    store = PostgresSessionStore(url, schema=schema, max_connections=4)
    won = []

    async def take(n):
        try:
            record = await store.claim(f"s{n}", owner=owner, lease_seconds=600)
        except SessionBusyError:
            return
        await store.save(record, {"by": owner}, owner=owner, rows=[{"n": n}])
        won.append(n)

    await asyncio.gather(*(take(n) for n in range(100)))
    await store.aclose()
    return won

print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
"""


def test_eight_processes_make_the_tables_once_and_share_a_hundred_sessions(
    cluster: PostgresCluster, schema: str
) -> None:
    command = [sys.executable, "-W", "error", "-c", CLAIM_ALL, cluster.url, schema]
    workers = [
        subprocess.Popen(
            [*command, f"worker-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    won: list[int] = []
    for worker in workers:
        output, errors = worker.communicate(timeout=50)
        assert (worker.returncode, errors) == (0, "")
        won += json.loads(output)
    assert sorted(won) == list(range(100))
    with psycopg.connect(cluster.url) as server:
        rows = server.execute(
            f"SELECT version, seq, count(*) FROM {schema}.sessions GROUP BY 1, 2".encode()
        )
        assert rows.fetchall() == [(1, 1, 100)]


def test_several_threads_each_with_a_loop_share_one_store(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema)
    won: list[int] = []

    async def work(owner: str) -> None:
        for number in range(25):
            try:
                record = await store.claim(f"s{number}", owner=owner, lease_seconds=600)
            except SessionBusyError:
                continue
            await store.save(record, {}, owner=owner)
            won.append(number)

    threads = [
        threading.Thread(target=lambda owner=f"worker-{n}": asyncio.run(work(owner)))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(won) == list(range(25))


FORK = """
import asyncio, os, sys
from mbxai.sessions import PostgresSessionStore

store = PostgresSessionStore(sys.argv[1], schema=sys.argv[2])

async def write(name, last):
    record = await store.claim(name, owner=name, lease_seconds=600)
    for n in range(record.data.get("n", 0) + 1, last + 1):
        record = await store.save(record, {"n": n}, owner=name)

loop = asyncio.new_event_loop()  # stays open: the parent goes on with its connections
loop.run_until_complete(write("parent", 5))
child = os.fork()
if child == 0:
    asyncio.run(write("child", 10))
    sys.exit(0)  # as a process ends that cleans up, also what it has from its parent
_, status = os.waitpid(child, 0)
loop.run_until_complete(write("parent", 10))
page = loop.run_until_complete(store.list())
print(status, sorted((s.agent_id, s.version) for s in page.sessions))
loop.run_until_complete(store.aclose())
loop.close()
"""


def test_a_forked_child_has_connections_of_its_own(cluster: PostgresCluster, schema: str) -> None:
    outcome = run_script(FORK, cluster.url, schema, warnings="default")
    assert outcome.out == "0 [('child', 10), ('parent', 10)]\n", outcome.err
    assert "Error" not in outcome.err


@pytest.fixture
def proxy(cluster: PostgresCluster) -> Iterator[CommitProxy]:
    with CommitProxy(urlsplit(cluster.url).port or 5432) as proxy:
        yield proxy


@pytest.fixture
async def behind(cluster: PostgresCluster, schema: str, proxy: CommitProxy) -> PostgresSessionStore:
    """A store whose tables are there, and which reaches them through the proxy."""
    direct = PostgresSessionStore(cluster.url, schema=schema)
    await direct.load("s")
    await direct.aclose()
    return PostgresSessionStore(
        f"postgresql://mbxai@127.0.0.1:{proxy.port}/postgres", schema=schema
    )


async def test_a_creation_whose_answer_was_lost_is_known_though_another_worker_saved(
    cluster: PostgresCluster, schema: str, proxy: CommitProxy, behind: PostgresSessionStore
) -> None:
    async def take_over() -> None:
        other = PostgresSessionStore(cluster.url, schema=schema)
        record = await other.claim("s", owner="other", lease_seconds=60)
        await other.save(record, {"by": "other"}, owner="other", rows=[{"n": 2}])
        await other.aclose()

    proxy.meanwhile = lambda: asyncio.run(take_over())
    proxy.lose.set()
    data = {"by": "me"}
    record = await behind.create("s", data, rows=[{"n": 1}])
    assert not proxy.lose.is_set()
    assert (record.version, record.seq, record.data) == (1, 1, data)
    assert record.data is not data
    stored = await behind.load("s")
    assert stored is not None
    assert (stored.version, stored.seq, stored.data) == (2, 2, {"by": "other"})
    with pytest.raises(SessionConflictError):
        await behind.create("s", {})
    await behind.aclose()


async def test_each_write_whose_answer_was_lost_is_done_once(
    proxy: CommitProxy, behind: PostgresSessionStore
) -> None:
    lost = 0

    async def losing(write: Callable[[], Awaitable[object]]) -> object:
        nonlocal lost
        proxy.lose.set()
        done = await write()
        lost += not proxy.lose.is_set()
        return done

    await losing(lambda: behind.claim("s", owner="me", lease_seconds=60))
    record = await behind.claim("s", owner="me", lease_seconds=60)
    assert (record.version, record.fence) == (0, 1)
    await losing(lambda: behind.save(record, {"n": 1}, owner="me", rows=[{"n": 1}, {"n": 2}]))
    record = await behind.load("s")
    assert record is not None
    assert (record.version, record.seq, record.data) == (1, 2, {"n": 1})
    await losing(lambda: behind.heartbeat(record, owner="me"))
    await losing(lambda: behind.post_answer("s", "i", {"yes": True}))
    assert [answer.number for answer in await behind.read_answers("s")] == [1]
    await losing(lambda: behind.release(record, owner="me", due_at=0.0))
    assert [due.agent_id for due in await behind.due()] == ["s"]
    assert await losing(lambda: behind.delete("s")) is True
    assert await behind.delete("s") is False
    assert await losing(behind.sweep) == 0  # writes nothing without a time to live
    proxy.lose.clear()
    assert lost == 6
    await behind.aclose()


async def test_a_save_whose_answer_was_lost_is_known_though_an_answer_came(
    cluster: PostgresCluster, schema: str, proxy: CommitProxy, behind: PostgresSessionStore
) -> None:
    async def answer() -> None:
        other = PostgresSessionStore(cluster.url, schema=schema)
        await other.post_answer("s", "i", {})
        await other.aclose()

    record = await behind.claim("s", owner="me", lease_seconds=60)
    proxy.meanwhile = lambda: asyncio.run(answer())
    proxy.lose.set()
    record = await behind.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    assert not proxy.lose.is_set()
    assert (record.version, record.seq, record.answers_posted) == (1, 1, 1)
    assert (await behind.save(record, {"n": 2}, owner="me")).version == 2
    await behind.aclose()


@pytest.mark.parametrize("is_scope", [True, False])
async def test_a_cancelled_save_is_cancelled_at_the_server_and_keeps_its_connection(
    cluster: PostgresCluster, schema: str, is_scope: bool
) -> None:
    store = PostgresSessionStore(f"{cluster.url}?application_name={schema}", schema=schema)
    record = await store.claim("s", owner="me", lease_seconds=60)
    before = backends(cluster, schema)
    with psycopg.connect(cluster.url) as locker:
        locker.execute(f"SELECT * FROM {schema}.sessions FOR UPDATE".encode())
        saving = asyncio.create_task(store.save(record, {"n": 1}, owner="me"))
        with anyio.fail_after(5):
            while not backends(cluster, schema, "wait_event_type = 'Lock'"):
                await anyio.sleep(0.01)
        if is_scope:
            saving.cancel()
            with anyio.move_on_after(0.2):
                await store.save(record, {"n": 1}, owner="me")
        else:
            saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        with anyio.fail_after(5):
            while backends(cluster, schema, "state <> 'idle'"):
                await anyio.sleep(0.01)
    assert before <= backends(cluster, schema)
    assert (await store.save(record, {"n": 2}, owner="me")).version == 1
    await store.aclose()


async def test_a_refused_claim_costs_no_connection(cluster: PostgresCluster, schema: str) -> None:
    store = PostgresSessionStore(f"{cluster.url}?application_name={schema}", schema=schema)
    record = await store.claim("s", owner="me", lease_seconds=60)
    before = backends(cluster, schema)
    for _ in range(5):
        with pytest.raises(SessionBusyError):
            await store.claim("s", owner="another", lease_seconds=60)
        with pytest.raises(SessionConflictError):
            await store.save(record, {}, owner="another")
    assert backends(cluster, schema) == before
    assert len(before) == 1
    await store.aclose()


async def test_nobody_listens_when_nobody_waits(cluster: PostgresCluster, schema: str) -> None:
    url = f"{cluster.url}?application_name={schema}"
    store = PostgresSessionStore(url, schema=schema, max_connections=1)
    record = await store.claim("s", owner="me", lease_seconds=60)
    heard: list[int] = []

    async def follow() -> None:
        while len(heard) < 5:
            assert await store.wait("s", after=len(heard), timeout_seconds=4)
            heard.append(len(heard) + 1)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        for number in range(1, 6):
            with anyio.fail_after(3):
                while not backends(cluster, schema, "query ^@ 'LISTEN'"):
                    await anyio.sleep(0.01)
            record = await store.save(record, {}, owner="me", rows=[{"n": number}])
            with anyio.fail_after(3):  # less than the pause after which it looks unasked
                while len(heard) < number:
                    await anyio.sleep(0.01)
    assert backends(cluster, schema, "query ^@ 'LISTEN'") == set()
    assert len(backends(cluster, schema)) == 2  # one, and the one that listened
    await store.aclose()


async def test_a_follower_whose_connection_is_ended_misses_nothing(
    cluster: PostgresCluster, schema: str
) -> None:
    """Sooner than by its looking now and then, which is each five seconds."""
    follower = PostgresSessionStore(f"{cluster.url}?application_name={schema}", schema=schema)
    writer = PostgresSessionStore(cluster.url, schema=schema)
    record = await writer.claim("s", owner="me", lease_seconds=60)
    following = asyncio.create_task(follower.wait("s", after=0, timeout_seconds=30))
    with anyio.fail_after(5):
        while not (listening := backends(cluster, schema, "query ^@ 'LISTEN'")):
            await anyio.sleep(0.01)
    with psycopg.connect(cluster.url, autocommit=True) as server:
        server.execute(b"SELECT pg_terminate_backend(%s)", [listening.pop()])
    await writer.save(record, {}, owner="me", rows=[{"n": 1}])
    with anyio.fail_after(4):
        assert await following
    await follower.aclose()
    await writer.aclose()


async def test_what_is_closed_while_it_is_used_leaves_nothing_open(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(f"{cluster.url}?application_name={schema}", schema=schema)
    record = await store.claim("s", owner="me", lease_seconds=60)

    async def save() -> None:
        await store.save(record, {"n": 1}, owner="me")

    async def follow() -> None:
        assert not await store.wait("s", after=5, timeout_seconds=1.5)

    async with anyio.create_task_group() as group:
        with psycopg.connect(cluster.url) as locker:
            locker.execute(f"SELECT * FROM {schema}.sessions FOR UPDATE".encode())
            group.start_soon(save)
            group.start_soon(follow)
            with anyio.fail_after(5):
                while not (
                    backends(cluster, schema, "wait_event_type = 'Lock'")
                    and backends(cluster, schema, "query ^@ 'LISTEN'")
                ):
                    await anyio.sleep(0.01)
            await store.aclose()
    assert await ids_of(store) == ["s"]  # it opens again
    await store.aclose()
    with anyio.fail_after(5):
        while backends(cluster, schema):
            await anyio.sleep(0.01)

"""PostgresSessionStore while its server restarts, ends connections, or refuses."""

import asyncio
import tempfile
from collections.abc import Iterator
from uuid import uuid4

import anyio
import psycopg
import pytest
from support.services import PostgresCluster, free_port
from support.stored_state import ids_of

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionStoreError,
)
from mbxai.sessions import PostgresSessionStore

RUNS = 50


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = PostgresCluster(folder)
        with cluster.running():
            yield cluster


@pytest.fixture
def schema() -> str:
    return f"test_{uuid4().hex[:12]}"


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(statement.encode())


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_fifty_runs_go_on_over_a_restart_and_lose_nothing(
    cluster: PostgresCluster, schema: str, mode: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=20)
    is_up_again = anyio.Event()
    ended: dict[str, int] = {}

    async def run(agent_id: str) -> None:
        record = await store.claim(agent_id, owner=agent_id, lease_seconds=60)
        number = 0
        while not is_up_again.is_set() or number < 5:
            number += 1
            record = await store.save(record, {"n": number}, owner=agent_id, rows=[{"n": number}])
            assert record.version == number
        await store.release(record, owner=agent_id)
        ended[agent_id] = number

    async with anyio.create_task_group() as group:
        for number in range(RUNS):
            group.start_soon(run, f"s{number}")
        await anyio.sleep(0.5)
        await anyio.to_thread.run_sync(cluster.stop, mode)
        await anyio.sleep(0.3)
        await anyio.to_thread.run_sync(cluster.start)
        is_up_again.set()

    assert len(ended) == RUNS
    for agent_id, number in ended.items():
        record = await store.load(agent_id)
        assert record is not None
        assert (record.data, record.version, record.seq) == ({"n": number}, number, number)
        rows = await store.read_log(agent_id)
        assert [row.content["n"] for row in rows] == list(range(1, number + 1))
    await store.aclose()


async def test_connections_that_are_ended_are_replaced(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=10)
    record = await store.claim("s", owner="me", lease_seconds=60)
    following = asyncio.create_task(store.wait("s", after=0, timeout_seconds=9))
    await asyncio.sleep(0.2)
    for number in range(1, 6):
        execute(
            cluster.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        record = await store.save(record, {"n": number}, owner="me", rows=[{"n": number}])
    assert await following
    assert (record.version, record.seq) == (5, 5)
    await store.aclose()


async def test_a_save_whose_answer_was_lost_is_not_done_twice(
    cluster: PostgresCluster, schema: str
) -> None:
    """Each connection is ended in the moment in which it commits, again and again."""
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=20)
    record = await store.claim("s", owner="me", lease_seconds=60)
    stop = anyio.Event()

    def end_all() -> None:
        execute(
            cluster.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT'"
            " AND pid <> pg_backend_pid()",
        )

    async def disturb() -> None:
        while not stop.is_set():
            await anyio.to_thread.run_sync(end_all)

    async with anyio.create_task_group() as group:
        group.start_soon(disturb)
        for number in range(1, 101):
            record = await store.save(record, {"n": number}, owner="me", rows=[{"n": number}])
            assert (record.version, record.seq) == (number, number)
        stop.set()
    rows = await store.read_log("s")
    assert [row.content["n"] for row in rows] == list(range(1, 101))
    await store.aclose()


async def test_a_server_that_is_not_there_is_a_typed_error_without_its_address() -> None:
    url = f"postgresql://me:hunter2hunter2@127.0.0.1:{free_port()}/db"
    store = PostgresSessionStore(url, wait_seconds=0.2)
    for call in (store.load("s"), store.claim("s", owner="me", lease_seconds=1)):
        with pytest.raises(SessionStoreError, match="can be reached") as caught:
            await call
        assert "hunter2" not in str(caught.value)
    assert not await wait_briefly(store)
    assert "hunter2" not in repr(store)


async def wait_briefly(store: PostgresSessionStore) -> bool:
    try:
        return await store.wait("s", after=0, timeout_seconds=0.1)
    except SessionStoreError:
        return False


async def test_wrong_database_and_missing_rights_say_so_at_once(
    cluster: PostgresCluster, schema: str
) -> None:
    wrong = PostgresSessionStore(cluster.url.replace("/postgres", "/nothere"), wait_seconds=9)
    with anyio.fail_after(5), pytest.raises(SessionStoreError, match="Check user"):
        await wrong.load("s")
    execute(cluster.url, f"CREATE ROLE {schema} LOGIN")
    weak_url = cluster.url.replace("mbxai@", f"{schema}@")
    weak = PostgresSessionStore(weak_url, schema=schema, wait_seconds=9)
    with anyio.fail_after(5), pytest.raises(SessionStoreError, match="Grant the user"):
        await weak.claim("s", owner="me", lease_seconds=60)
    strong = PostgresSessionStore(cluster.url, schema=schema)
    await strong.load("s")  # makes the tables
    execute(cluster.url, f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    execute(cluster.url, f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    assert (await weak.claim("s", owner="me", lease_seconds=60)).version == 0
    for store in (wrong, weak, strong):
        await store.aclose()


async def test_tables_of_a_newer_mbxai_are_left_alone(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema)
    await store.load("s")
    execute(cluster.url, f"INSERT INTO {schema}.migrations VALUES (99)")
    later = PostgresSessionStore(cluster.url, schema=schema)
    with pytest.raises(SessionStoreError, match="newer mbxai"):
        await later.claim("s", owner="me", lease_seconds=60)
    await store.aclose()
    await later.aclose()


async def test_many_who_come_first_make_the_tables_once(
    cluster: PostgresCluster, schema: str
) -> None:
    stores = [PostgresSessionStore(cluster.url, schema=schema) for _ in range(8)]

    async def begin(number: int) -> None:
        await stores[number].claim(f"s{number}", owner="me", lease_seconds=60)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(begin, number)
    assert await ids_of(stores[0]) == []
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize(
    "damage",
    [
        "sessions SET content = 'x'",
        "sessions SET content = decode('789c00', 'hex')",
        "log SET content = 'x'",
        "answers SET content = 'x'",
    ],
)
async def test_damage_is_a_data_error_and_can_be_deleted(
    cluster: PostgresCluster, schema: str, damage: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema)
    record = await store.claim("s", owner="me", lease_seconds=60)
    await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    await store.post_answer("s", "i", {"n": 1})
    execute(cluster.url, f"UPDATE {schema}.{damage}")

    async def read_all() -> None:
        await store.load("s")
        await store.read_log("s")
        await store.read_answers("s")

    with pytest.raises(SessionDataError):
        await read_all()
    assert await store.delete("s")
    assert await store.load("s") is None
    await store.aclose()


async def test_a_cancelled_caller_leaves_the_connections_whole(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, max_connections=2)
    record = await store.claim("s", owner="me", lease_seconds=60)
    record = await store.save(record, {"n": 0}, owner="me")
    with psycopg.connect(cluster.url) as locker:
        locker.execute(f"SELECT * FROM {schema}.sessions FOR UPDATE".encode())
        for _ in range(6):
            with anyio.move_on_after(0.05) as scope:
                await store.save(record, {"n": 1}, owner="me")
            assert scope.cancelled_caught
    record = await store.save(record, {"n": 2}, owner="me")
    assert record.version == 2
    await store.aclose()


def test_two_loops_in_turn_and_what_is_not_closed(cluster: PostgresCluster, schema: str) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema)
    record = asyncio.run(store.claim("s", owner="me", lease_seconds=60))
    record = asyncio.run(store.save(record, {"n": 1}, owner="me"))
    with pytest.raises(SessionBusyError):
        asyncio.run(store.claim("s", owner="another", lease_seconds=60))
    asyncio.run(store.delete("s"))
    with pytest.raises(SessionConflictError):
        asyncio.run(store.save(record, {"n": 2}, owner="me"))


@pytest.mark.parametrize(
    "given",
    [
        {"target": ""},
        {"target": 7},
        {"target": "x", "schema": 'a"; DROP'},
        {"target": "x", "ttl_seconds": 0},
        {"target": "x", "wait_seconds": -1},
        {"target": "x", "max_connections": 0},
    ],
)
def test_impossible_settings_are_refused(given: dict) -> None:
    with pytest.raises(ConfigurationError):
        PostgresSessionStore(**given)

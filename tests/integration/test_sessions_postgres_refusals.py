"""PostgresSessionStore where the server refuses, is slow, or is set up in its own way."""

import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
import pytest
from support.services import PostgresCluster, free_port
from support.stored_state import ids_of

from mbxai.errors import ConfigurationError, SessionStoreError
from mbxai.sessions import PostgresSessionStore, SessionRecord
from mbxai.sessions._postgres_schema import MIGRATIONS

PASSWORD = "hunter2hunter2"


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = PostgresCluster(folder)
        with cluster.running():
            yield cluster


@pytest.fixture
def schema() -> str:
    return f"test_{uuid4().hex[:12]}"


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        for statement in statements:
            server.execute(statement.encode())


def raising(schema: str, state: str, times: int) -> list[str]:
    """Statements that let the next saves of rows fail with this SQLSTATE, after all else."""
    return [
        f"CREATE SEQUENCE {schema}.failures",
        (
            f"CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('{schema}.failures') <= {times} THEN RAISE EXCEPTION 'refused'"
            f" USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"
        ),
        (
            f"CREATE CONSTRAINT TRIGGER failing AFTER INSERT ON {schema}.log DEFERRABLE"
            f" INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.fail()"
        ),
    ]


async def claimed(store: PostgresSessionStore) -> SessionRecord:
    record = await store.claim("s", owner="me", lease_seconds=60)
    return await store.save(record, {"n": 0}, owner="me")


async def assert_nothing_was_written(store: PostgresSessionStore) -> None:
    record = await store.load("s")
    assert record is not None
    assert (record.version, record.seq, record.data) == (1, 0, {"n": 0})
    assert await store.read_log("s") == []


@pytest.mark.parametrize(
    "target",
    [
        f"postgresql//me:{PASSWORD}@127.0.0.1/db",
        f"postgresql://me:{PASSWORD}%zz@127.0.0.1/db",
        f"host=127.0.0.1 password='{PASSWORD}",
        f"password={PASSWORD}\ud800",
        PASSWORD,
    ],
)
async def test_an_address_that_is_none_is_refused_without_its_password(target: str) -> None:
    store = PostgresSessionStore(target, wait_seconds=5)
    with anyio.fail_after(2), pytest.raises(ConfigurationError, match="address") as caught:
        await store.load("s")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("port", ["nothere", "70000"])
async def test_a_port_that_is_none_is_told_at_once(port: str) -> None:
    store = PostgresSessionStore(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/db", wait_seconds=9)
    with anyio.fail_after(4), pytest.raises(SessionStoreError) as caught:
        await store.load("s")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    await store.aclose()


async def test_no_password_is_told_where_nobody_answers() -> None:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/db"
    store = PostgresSessionStore(url, wait_seconds=0.1)
    with pytest.raises(SessionStoreError, match="can be reached") as caught:
        await store.load("s")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    await store.aclose()


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
async def test_a_server_that_gives_up_says_so_and_writes_nothing(
    cluster: PostgresCluster, schema: str, limit: str
) -> None:
    url = f"{cluster.url}?options=-c%20{limit}%3D100"
    store = PostgresSessionStore(url, schema=schema, wait_seconds=0.5)
    record = await claimed(store)
    with psycopg.connect(cluster.url) as locker:
        locker.execute(f"SELECT * FROM {schema}.sessions FOR UPDATE".encode())
        with anyio.fail_after(5), pytest.raises(SessionStoreError, match="time limit"):
            await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    await assert_nothing_was_written(store)
    assert (await store.save(record, {"n": 1}, owner="me")).version == 2
    await store.aclose()


async def test_a_time_limit_that_was_reached_once_is_tried_again(
    cluster: PostgresCluster, schema: str
) -> None:
    url = f"{cluster.url}?options=-c%20statement_timeout%3D100"
    store = PostgresSessionStore(url, schema=schema, wait_seconds=9)
    record = await claimed(store)
    locker = psycopg.connect(cluster.url)
    locker.execute(f"SELECT * FROM {schema}.sessions FOR UPDATE".encode())

    async def give_back() -> None:
        await anyio.sleep(0.4)
        locker.close()

    async with anyio.create_task_group() as group:
        group.start_soon(give_back)
        record = await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    assert (record.version, record.seq) == (2, 1)
    await store.aclose()


async def test_no_free_connection_is_waited_for_and_then_told(
    cluster: PostgresCluster, schema: str
) -> None:
    execute(
        cluster.url,
        f"CREATE ROLE {schema} LOGIN CONNECTION LIMIT 1",
        f"GRANT CREATE ON DATABASE postgres TO {schema}",
    )
    url = cluster.url.replace("mbxai@", f"{schema}@")
    hurried = PostgresSessionStore(url, schema=schema, wait_seconds=0.2)
    patient = PostgresSessionStore(url, schema=schema, wait_seconds=9)
    holder = psycopg.connect(url)

    async def give_back() -> None:
        await anyio.sleep(0.4)
        holder.close()

    with pytest.raises(SessionStoreError, match="no connection left"):
        await hurried.load("s")
    async with anyio.create_task_group() as group:
        group.start_soon(give_back)
        assert await patient.load("s") is None
    await hurried.aclose()
    await patient.aclose()


async def test_a_read_only_server_is_read_and_refuses_writes(
    cluster: PostgresCluster, schema: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema)
    record = await claimed(store)
    url = f"{cluster.url}?options=-c%20default_transaction_read_only%3Don"
    reader = PostgresSessionStore(url, schema=schema, wait_seconds=0.2)
    await assert_nothing_was_written(reader)
    assert await ids_of(reader) == ["s"]
    with pytest.raises(SessionStoreError, match="takes no writes"):
        await reader.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    await assert_nothing_was_written(store)
    unmade = PostgresSessionStore(url, schema=f"{schema}_", wait_seconds=0.2)
    with pytest.raises(SessionStoreError, match="takes no writes"):
        await unmade.load("s")
    for each in (store, reader, unmade):
        await each.aclose()


@pytest.mark.parametrize(("state", "hint"), [("53100", "free some disk"), ("58030", "cause")])
async def test_a_full_disk_at_the_commit_is_no_half_write(
    cluster: PostgresCluster, schema: str, state: str, hint: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=9)
    record = await claimed(store)
    execute(cluster.url, *raising(schema, state, times=1))
    with anyio.fail_after(5), pytest.raises(SessionStoreError, match=hint):
        await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    await assert_nothing_was_written(store)
    record = await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    assert (record.version, record.seq) == (2, 1)
    await store.aclose()


@pytest.mark.parametrize("state", ["40001", "40P01", "57P01", "57P03", "08006"])
async def test_what_passes_is_tried_again_and_done_once(
    cluster: PostgresCluster, schema: str, state: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=9)
    record = await claimed(store)
    execute(cluster.url, *raising(schema, state, times=2))
    record = await store.save(record, {"n": 1}, owner="me", rows=[{"n": 1}])
    assert (record.version, record.seq) == (2, 1)
    assert [row.content for row in await store.read_log("s")] == [{"n": 1}]
    await store.aclose()


@pytest.mark.parametrize("level", ["serializable", "repeatable%5C%20read"])
async def test_a_stricter_isolation_by_default_changes_nothing(
    cluster: PostgresCluster, schema: str, level: str
) -> None:
    url = f"{cluster.url}?options=-c%20default_transaction_isolation%3D{level}"
    stores = [PostgresSessionStore(url, schema=schema) for _ in range(8)]
    seen: list[int] = []

    async def work(number: int) -> None:
        await stores[number].post_answer("s", f"i{number}", {"n": number})
        seen.append(number)

    await stores[0].create("s", {})
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(work, number)
    answers = await stores[0].read_answers("s")
    assert sorted(seen) == list(range(8))
    assert [answer.number for answer in answers] == list(range(1, 9))
    for store in stores:
        await store.aclose()


async def test_many_make_the_tables_at_once_under_a_strict_isolation(
    cluster: PostgresCluster, schema: str
) -> None:
    url = f"{cluster.url}?options=-c%20default_transaction_isolation%3Dserializable"
    stores = [PostgresSessionStore(url, schema=schema) for _ in range(8)]
    async with anyio.create_task_group() as group:
        for number, store in enumerate(stores):
            group.start_soon(store.create, f"s{number}", {})
    assert await ids_of(stores[0]) == [f"s{number}" for number in range(8)]
    for store in stores:
        await store.aclose()


async def test_rights_on_a_schema_that_is_there_are_enough(
    cluster: PostgresCluster, schema: str
) -> None:
    execute(
        cluster.url,
        f"CREATE ROLE {schema} LOGIN",
        f"CREATE SCHEMA {schema}",
        f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {schema}",
    )
    url = cluster.url.replace("mbxai@", f"{schema}@")
    store = PostgresSessionStore(url, schema=schema)
    assert (await claimed(store)).version == 1
    await store.aclose()


async def test_tables_of_the_first_version_are_brought_up_with_what_they_hold(
    cluster: PostgresCluster, schema: str
) -> None:
    execute(
        cluster.url,
        f"CREATE SCHEMA {schema}",
        MIGRATIONS[0].replace("{schema}", schema),
        f"CREATE TABLE {schema}.migrations (version bigint)",
        f"INSERT INTO {schema}.migrations VALUES (1)",
        f"INSERT INTO {schema}.sessions (scope, agent_id, version, fence, seq, status, until,"
        " lease_seconds, answers_posted, answers_read, created_at, updated_at, write, content)"
        " VALUES ('', 's', 3, 1, 0, 'done', 0, 0, 0, 0, 1, 2, 'w', '{\"n\":3}')",
    )
    store = PostgresSessionStore(cluster.url, schema=schema)
    record = await store.claim("s", owner="me", lease_seconds=60)
    assert (record.version, record.data, record.status) == (3, {"n": 3}, "done")
    assert (await store.save(record, {"n": 4}, owner="me", rows=[{}])).version == 4
    with psycopg.connect(cluster.url) as server:
        found = server.execute(f"SELECT version FROM {schema}.migrations".encode()).fetchall()
    assert sorted(found) == [(number,) for number in range(1, len(MIGRATIONS) + 1)]
    await store.aclose()


async def test_a_database_without_an_encoding_keeps_any_text(
    cluster: PostgresCluster, schema: str
) -> None:
    execute(
        cluster.url,
        f"CREATE DATABASE {schema} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'",
    )
    url = cluster.url.replace("/postgres", f"/{schema}")
    store = PostgresSessionStore(url, schema=schema)
    await store.create(
        "sitz\u0131\u4e2d", {"text": "\u4e2d\ud800\0"}, scope="\u00fc", status="\u00e9"
    )
    record = await store.load("sitz\u0131\u4e2d", scope="\u00fc")
    assert record is not None
    assert (record.status, record.data) == ("\u00e9", {"text": "\u4e2d\ud800\0"})
    page = await store.list(scope="\u00fc", status="\u00e9")
    assert [session.agent_id for session in page.sessions] == ["sitz\u0131\u4e2d"]
    await store.aclose()


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_an_owner_that_the_database_cannot_store_is_a_typed_error(
    cluster: PostgresCluster, schema: str, text: str
) -> None:
    store = PostgresSessionStore(cluster.url, schema=schema, wait_seconds=9)
    with anyio.fail_after(5), pytest.raises(SessionStoreError, match="letter"):
        await store.claim("s", owner=text, lease_seconds=60)
    assert (await claimed(store)).fence == 1
    await store.aclose()


async def test_a_unix_socket_is_an_address_as_well(schema: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster = PostgresCluster(folder)
        with cluster.running():
            port = next(Path(folder).glob(".s.PGSQL.*[0-9]")).suffix.removeprefix(".")
            target = f"host={folder} port={port} user=mbxai dbname=postgres"
            store = PostgresSessionStore(target, schema=schema)
            assert (await claimed(store)).version == 1
            await store.aclose()

"""The SQLite file: its mode, what it refuses, what it survives."""

import asyncio
import gc
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import pytest
from support.stored_state import ids_of

from mbxai.errors import ConfigurationError, SessionBusyError, SessionDataError, SessionStoreError
from mbxai.sessions import SQLiteSessionStore


async def save_one(path, agent_id="a", data=None):
    store = SQLiteSessionStore(path)
    record = await store.claim(agent_id, owner="one", lease_seconds=60)
    record = await store.save(record, data or {"n": 1}, owner="one")
    await store.release(record, owner="one")
    await store.aclose()


async def test_nothing_is_created_before_the_first_call_and_the_file_is_private(tmp_path):
    path = tmp_path / "with ? # % odd name.db"
    store = SQLiteSessionStore(path)
    assert not path.exists()
    old = os.umask(0)
    try:
        await store.claim("a", owner="one", lease_seconds=60)
    finally:
        os.umask(old)
    files = list(tmp_path.iterdir())
    assert path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await store.aclose()
    assert list(tmp_path.iterdir()) == [path]  # the write-ahead log is gone: the file is closed


async def test_sessions_outlive_the_store_and_the_file_is_wal(tmp_path):
    path = tmp_path / "s.db"
    await save_one(path)
    store = SQLiteSessionStore(str(path))
    assert (await store.load("a")).data == {"n": 1}
    await store.aclose()
    await store.aclose()
    assert (await store.load("a")).data == {"n": 1}  # opens again
    await store.aclose()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_path_that_is_no_file_is_refused_at_once(path):
    with pytest.raises(ConfigurationError, match="InMemorySessionStore"):
        SQLiteSessionStore(path)


async def refused(path, match):
    """How many of four calls are refused for this reason, with an error that names the file."""
    store, refusals = SQLiteSessionStore(path, busy_timeout=0.1), 0
    for call in (
        store.load("a"),
        store.list(),
        store.claim("a", owner="one", lease_seconds=60),
        store.delete("a"),
    ):
        with pytest.raises(SessionStoreError, match=match) as caught:
            await call
        assert str(path) in str(caught.value)
        assert caught.value.hint
        refusals += 1
    await store.aclose()
    return refusals


async def test_missing_directory_is_named_and_not_created(tmp_path):
    assert (
        await refused(tmp_path / "missing" / "s.db", "its directory does not exist. Create the")
        == 4
    )
    assert list(tmp_path.iterdir()) == []


async def test_directory_is_refused(tmp_path):
    assert await refused(tmp_path, "it is a directory") == 4


async def test_path_with_nul_is_refused(tmp_path):
    assert await refused(f"{tmp_path}/a\0b", "embedded null") == 4


@pytest.mark.parametrize("content", [b"not a database at all, but long enough\n" * 50, b"short"])
async def test_other_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    path.chmod(0o640)
    assert await refused(path, "not a database") == 4
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


async def test_database_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sessions (agent_id TEXT, mine TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert await refused(path, "a database of another program") == 4
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_newer_schema_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "s.db"
    await save_one(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    assert await refused(path, "newer mbxai .schema 99") == 4
    assert path.read_bytes() == before


async def test_damaged_file_is_a_typed_error(tmp_path):
    path = tmp_path / "s.db"
    await save_one(path)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert await refused(path, "malformed|disk image") == 4


async def test_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "s.db"
    path.touch()
    await save_one(path)
    store = SQLiteSessionStore(path)
    assert await ids_of(store) == ["a"]
    await store.aclose()


@pytest.mark.parametrize(
    "change",
    [
        "contents SET content = 'no json'",
        "contents SET content = '[1]'",
        "contents SET content = '{\"x\": NaN}'",
        "contents SET content = x'ff00'",
        "contents SET content = x'789c00'",
        "contents SET content = ''",
        "contents SET content = 7",
        "sessions SET version = 'one'",
        "sessions SET until = 'soon'",
        "sessions SET created_at = 'then'",
        "sessions SET owner = CAST(x'ff' AS TEXT)",
    ],
)
async def test_damaged_row_is_its_own_problem_only(tmp_path, change):
    path = tmp_path / "s.db"
    await save_one(path, "good")
    await save_one(path, "bad")
    connection = sqlite3.connect(path)
    (number,) = connection.execute("SELECT id FROM sessions WHERE agent_id = 'bad'").fetchone()
    connection.execute(f"UPDATE {change} WHERE id = ?", (number,))
    connection.commit()
    before = connection.execute("SELECT * FROM sessions WHERE agent_id = 'good'").fetchall()
    connection.close()
    store = SQLiteSessionStore(path)
    for call in (store.load("bad"), store.claim("bad", owner="one", lease_seconds=60)):
        with pytest.raises(SessionDataError, match="'bad'") as caught:
            await call
        assert caught.value.agent_id == "bad"
    assert await ids_of(store) == ["bad", "good"]
    record = await store.claim("good", owner="one", lease_seconds=60)
    assert record.data == {"n": 1}
    assert (await store.save(record, {"n": 2}, owner="one")).version == 2
    assert await store.delete("bad") is True
    assert await ids_of(store) == ["good"]
    await store.aclose()
    assert before


async def test_database_held_by_another_program_is_a_typed_error_and_recovers(tmp_path):
    path = tmp_path / "s.db"
    await save_one(path)
    store = SQLiteSessionStore(path, busy_timeout=0.05)
    await store.list()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SessionStoreError, match=r"locked.*busy_timeout"):
        await store.claim("a", owner="one", lease_seconds=60)
    assert (await store.load("a")).data == {"n": 1}  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    assert (await store.claim("a", owner="one", lease_seconds=60)).data == {"n": 1}
    await store.aclose()


def test_store_serves_two_loops_one_after_the_other(tmp_path):
    store = SQLiteSessionStore(tmp_path / "s.db")

    async def step(n: int) -> None:
        record = await store.claim("a", owner="one", lease_seconds=60)
        await store.save(record, {**record.data, str(n): n}, owner="one")

    asyncio.run(step(1))
    asyncio.run(step(2))

    async def finish():
        try:
            return await store.load("a")
        finally:
            await store.aclose()

    assert asyncio.run(finish()).data == {"1": 1, "2": 2}


def test_store_serves_two_loops_at_the_same_time(tmp_path):
    store = SQLiteSessionStore(tmp_path / "s.db")
    together = threading.Barrier(2, timeout=5)
    wins: list[str] = []

    async def work(name: str) -> None:
        async def one(n: int) -> None:
            try:
                record = await store.claim(f"session-{n}", owner=name, lease_seconds=60)
            except SessionBusyError:
                return
            await store.save(record, {"by": name}, owner=name)
            wins.append(f"session-{n}")

        together.wait()
        await asyncio.gather(*(one(n) for n in range(20)))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(wins) == sorted(f"session-{n}" for n in range(20))
    asyncio.run(store.aclose())


def test_forgotten_store_closes_its_file_without_a_warning(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = SQLiteSessionStore(tmp_path / "s.db")
        asyncio.run(store.list())
        assert len(list(tmp_path.iterdir())) == 3
        del store
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]


async def test_cancelled_save_is_whole_or_not_there(tmp_path):
    store = SQLiteSessionStore(tmp_path / "s.db")
    record = await store.claim("a", owner="one", lease_seconds=60)
    for n in range(20):
        task = asyncio.create_task(store.save(record, {"n": n}, owner="one"))
        for _ in range(n % 4):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        record = await store.claim("a", owner="one", lease_seconds=60)
        assert record.version <= n + 1
    assert (await store.save(record, {"n": "last"}, owner="one")).data == {"n": "last"}
    await store.aclose()


AS_NOBODY = """
import asyncio, os, sys
from mbxai.errors import SessionStoreError
from mbxai.sessions import SQLiteSessionStore

store = SQLiteSessionStore(sys.argv[1])
if os.getuid() == 0:
    warm = SQLiteSessionStore(sys.argv[1] + ".warm")  # loads what nobody cannot load any more
    asyncio.run(warm.list())
    asyncio.run(warm.aclose())
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for call in (store.list, lambda: store.claim("a", owner="one", lease_seconds=1)):
    try:
        asyncio.run(call())
    except SessionStoreError as error:
        print(error)
    else:
        print("no error")
"""


@pytest.mark.parametrize("mode", ["unreadable", "unwritable directory"])
async def test_permission_denied_is_a_typed_error_that_names_the_path(mode):
    # Not in tmp_path, which other users may not enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "s.db"
        if mode == "unreadable":
            await save_one(path)
            path.chmod(0)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", AS_NOBODY, str(path)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        folder.chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert str(path) in line
        assert "for this user" in line


async def test_a_file_of_the_first_tables_is_brought_up_to_date_with_everything_in_it(tmp_path):
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE sessions (agent_id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL,
            fence INTEGER NOT NULL, owner TEXT, until REAL NOT NULL, lease_seconds REAL NOT NULL,
            updated_at REAL NOT NULL, data TEXT NOT NULL);
        INSERT INTO sessions VALUES ('rests', 4, 2, NULL, 0.0, 60.0, 1000.0, '{"n": 1}');
        INSERT INTO sessions VALUES ('runs', 2, 1, 'me', 1e12, 60.0, 1001.0, '{"n": 2}');
        PRAGMA application_id = 1835169889;
        PRAGMA user_version = 1;
        """
    )
    connection.close()
    store = SQLiteSessionStore(path)
    assert await ids_of(store) == ["rests", "runs"]
    record = await store.claim("rests", owner="one", lease_seconds=60)
    assert (record.data, record.version, record.fence) == ({"n": 1}, 4, 3)
    assert (await store.save(record, rows=[{"row": 1}], owner="one")).seq == 1
    with pytest.raises(SessionBusyError):
        await store.claim("runs", owner="one", lease_seconds=60)
    await store.aclose()


def test_a_file_that_others_are_just_making_is_never_a_foreign_one(tmp_path):
    """Eight stores race to open each of twelve new files; none may see it half made."""
    errors: list[Exception] = []

    def begin(path: Path, gate: threading.Barrier) -> None:
        store = SQLiteSessionStore(path)
        gate.wait()
        try:
            asyncio.run(store.load("a"))
        except SessionStoreError as error:
            errors.append(error)
        asyncio.run(store.aclose())

    for number in range(12):
        gate = threading.Barrier(8)
        path = tmp_path / f"{number}.db"
        threads = [threading.Thread(target=begin, args=(path, gate)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []

"""The SQLite file when something is wrong with it, with the disk, or with somebody's clock."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mbxai.errors import (
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionError,
    SessionStoreError,
)
from mbxai.sessions import SQLiteSessionStore

ROWS = 20
LAST = {"n": ROWS, "pad": "x" * ROWS}


async def filled(path, names=("a",)):
    """Sessions with as many rows as saves, the file closed."""
    store = SQLiteSessionStore(path)
    for name in names:
        record = await store.claim(name, owner="one", lease_seconds=60)
        for n in range(1, ROWS + 1):
            content = {"n": n, "pad": "x" * n}
            record = await store.save(record, content, owner="one", rows=[content])
        await store.post_answer(name, "q1", {"n": 1})
        await store.release(record, owner="one")
    await store.aclose()


def changed(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def calls(store, name="a"):
    return (
        lambda: store.load(name),
        lambda: store.read_log(name),
        lambda: store.read_answers(name),
        store.list,
        store.due,
        lambda: store.claim(name, owner="two", lease_seconds=60),
        lambda: store.post_answer(name, "q2", {"n": 2}),
        lambda: store.delete(name),
    )


@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
async def test_truncated_file_gives_typed_errors_and_nothing_wrong(tmp_path, part):
    path = tmp_path / "s.db"
    names = [f"s{n}" for n in range(8)]
    await filled(path, names)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    store = SQLiteSessionStore(path)
    hints = []
    for name in names:
        for call in calls(store, name)[:5]:
            try:
                result = await call()
            except SessionError as error:
                hints.append(error.hint)
            else:
                assert getattr(result, "data", LAST) == LAST
    await store.aclose()
    assert hints
    assert all(hints)
    assert path.read_bytes()[: int(len(content) * part)] == content[: int(len(content) * part)]


async def test_write_ahead_log_that_was_cut_off_leaves_whole_saves(tmp_path):
    path = tmp_path / "s.db"
    store = SQLiteSessionStore(path)
    record = await store.claim("a", owner="one", lease_seconds=60)
    for n in range(1, ROWS + 1):
        record = await store.save(record, {"n": n}, owner="one", rows=[{"n": n}])
    copies = tmp_path / "copies"
    copies.mkdir()
    log = Path(f"{path}-wal").read_bytes()
    seen = set()
    for part in range(21):
        copy = copies / f"{part}.db"
        shutil.copy(path, copy)
        Path(f"{copy}-wal").write_bytes(log[: len(log) * part // 20 - 7 * (part % 2)])
        cut = SQLiteSessionStore(copy)
        loaded = await cut.load("a")
        if loaded is not None:
            rows = [row.content["n"] for row in await cut.read_log("a")]
            assert rows == list(range(1, loaded.seq + 1))
            assert (loaded.version, loaded.data.get("n", 0)) == (loaded.seq, loaded.seq)
            seen.add(loaded.version)
        await cut.aclose()
    await store.aclose()
    assert {ROWS} < seen


@pytest.mark.parametrize(
    "content", ["x'ff00'", "'no bytes'", "x'7b'", "x'5b315d'", "x'789c00'", "7"]
)
async def test_damaged_row_of_a_log_is_a_typed_error_for_its_session_only(tmp_path, content):
    path = tmp_path / "s.db"
    await filled(path, ["bad", "good"])
    changed(
        path,
        f"UPDATE log SET content = {content}"
        " WHERE seq = 5 AND id = (SELECT id FROM sessions WHERE agent_id = 'bad')",
    )
    store = SQLiteSessionStore(path)
    with pytest.raises(SessionDataError, match="'bad'") as caught:
        await store.read_log("bad")
    assert caught.value.agent_id == "bad"
    assert [row.seq for row in await store.read_log("bad", after=5)] == list(range(6, ROWS + 1))
    assert len(await store.read_log("good")) == ROWS
    assert (await store.load("bad")).data["n"] == ROWS
    await store.aclose()


@pytest.mark.parametrize("content", ["x'ff00'", "'no bytes'", "7"])
async def test_damaged_answer_is_a_typed_error_for_its_session_only(tmp_path, content):
    path = tmp_path / "s.db"
    await filled(path, ["bad", "good"])
    changed(
        path,
        f"UPDATE answers SET content = {content}"
        " WHERE id = (SELECT id FROM sessions WHERE agent_id = 'bad')",
    )
    store = SQLiteSessionStore(path)
    with pytest.raises(SessionDataError, match="'bad'"):
        await store.read_answers("bad")
    assert [answer.content for answer in await store.read_answers("good")] == [{"n": 1}]
    assert (await store.load("bad")).answers_posted == 1
    assert await store.delete("bad") is True
    await store.aclose()


@pytest.mark.parametrize(
    "change",
    ["version = 'one'", "fence = 'x'", "seq = 'x'", "until = 'soon'", "created_at = 'then'"],
)
async def test_damaged_sessions_hide_no_others_from_a_list_in_pages(tmp_path, change):
    path = tmp_path / "s.db"
    store = SQLiteSessionStore(path)
    names = [f"s{n}" for n in range(9)]
    for name in names:
        await store.create(name, {})
    await store.aclose()
    bad = {"s0", "s3", "s4", "s7", "s8"}
    changed(path, f"UPDATE sessions SET {change} WHERE agent_id IN {tuple(sorted(bad))}")
    listed: list[str] = []
    cursor = None
    for _ in range(20):
        page = await store.list(limit=2, cursor=cursor)
        listed += [one.agent_id for one in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert set(listed) >= set(names) - bad
    assert len(listed) == len(set(listed))
    for name in bad:
        assert await store.delete(name) is True
    await store.aclose()


AS_NOBODY = """
import asyncio, os, sys
from mbxai.errors import SessionStoreError
from mbxai.sessions import SQLiteSessionStore

warm = SQLiteSessionStore(sys.argv[1] + ".warm")  # loads what nobody cannot load any more
asyncio.run(warm.list())
asyncio.run(warm.aclose())
os.remove(sys.argv[1] + ".warm")
os.chmod(os.path.dirname(sys.argv[1]), int(sys.argv[2], 8))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def main():
    store = SQLiteSessionStore(sys.argv[1])
    for call in (
        lambda: store.claim("a", owner="two", lease_seconds=1),
        lambda: store.create("b", {}),
        lambda: store.post_answer("a", "q2", {}),
        lambda: store.delete("a"),
    ):
        try:
            await call()
        except SessionStoreError as error:
            print(error)
        else:
            print("no error")
    await store.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("folder_mode", ["755", "555"], ids=["file", "file and directory"])
async def test_read_only_file_is_a_typed_error_and_stays_as_it_is(folder_mode):
    # Not in tmp_path, which other users may not enter.
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "s.db"
        await filled(path)
        path.chmod(0o444)
        before = path.read_bytes()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", AS_NOBODY, str(path), folder_mode],
            capture_output=True,
            text=True,
            timeout=20,
        )
        folder.chmod(0o755)
        assert path.read_bytes() == before
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    for line in lines:
        assert str(path) in line
        assert "writable for this user" in line


FULL = """
import asyncio, resource, signal, sys
from mbxai.errors import SessionStoreError
from mbxai.sessions import SQLiteSessionStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails, as on a full disk
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

async def main():
    store = SQLiteSessionStore(sys.argv[1])
    record = await store.claim("a", owner="one", lease_seconds=60)
    record = await store.save(record, {"n": 0}, owner="one", rows=[{"n": 0}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    for n in range(1, 1000):
        content = {"n": n, "pad": [str(n * 7919 + i * i) for i in range(3000)]}
        try:
            record = await store.save(record, content, owner="one", rows=[content])
        except SessionStoreError as error:
            print(type(error).__name__, str(error))
            break
    else:
        raise SystemExit("the disk is not full")
    loaded = await store.load("a")
    assert loaded.data["n"] == record.data["n"] == n - 1, (loaded.data["n"], n)
    assert (loaded.version, loaded.seq) == (record.version, record.seq)
    assert [row.content["n"] for row in await store.read_log("a")] == [*range(n)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    record = await store.save(record, {"n": n}, owner="one", rows=[{"n": n}])
    assert (await store.load("a")).data == {"n": n}
    await store.aclose()
    print(n > 2)

asyncio.run(main())
"""


async def test_full_disk_is_a_typed_error_and_nothing_is_half_written(tmp_path):
    path = tmp_path / "s.db"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    error, recovered = done.stdout.splitlines()
    assert error.startswith(f"SessionStoreError The session database {path} cannot be used: ")
    assert recovered == "True"
    store = SQLiteSessionStore(path)
    assert (await store.load("a")).seq == len(await store.read_log("a"))
    await store.aclose()


async def test_clock_that_is_an_hour_fast_takes_a_session_away_but_loses_nothing(tmp_path):
    slow = SQLiteSessionStore(tmp_path / "s.db")
    fast = SQLiteSessionStore(tmp_path / "s.db", now=lambda: time.time() + 3600)
    mine = await slow.claim("a", owner="slow", lease_seconds=60)
    mine = await slow.save(mine, {"n": 1}, owner="slow", rows=[{"n": 1}])
    theirs = await fast.claim("a", owner="fast", lease_seconds=60)
    assert (theirs.fence, theirs.data) == (mine.fence + 1, {"n": 1})
    for late in (
        slow.save(mine, {"n": 99}, owner="slow", rows=[{"n": 99}]),
        slow.heartbeat(mine, owner="slow"),
    ):
        with pytest.raises(SessionConflictError):
            await late
    theirs = await fast.save(theirs, {"n": 2}, owner="fast", rows=[{"n": 2}])
    with pytest.raises(SessionBusyError):
        await slow.claim("a", owner="slow", lease_seconds=60)
    await fast.release(theirs, owner="fast")
    again = await slow.claim("a", owner="slow", lease_seconds=60)
    assert (again.version, again.data) == (2, {"n": 2})
    assert [row.content["n"] for row in await slow.read_log("a")] == [1, 2]
    for store in (slow, fast):
        await store.aclose()


async def test_clocks_that_differ_keep_a_list_and_its_pages_whole(tmp_path):
    stores = [
        SQLiteSessionStore(tmp_path / "s.db", now=lambda by=by: time.time() + by)
        for by in (0, 3600, -3600)
    ]
    for n in range(12):
        await stores[n % 3].create(f"s{n}", {})
    listed: list[str] = []
    cursor = None
    for turn in range(12):
        page = await stores[turn % 3].list(limit=2, cursor=cursor)
        listed += [one.agent_id for one in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(listed) == sorted(f"s{n}" for n in range(12))
    for store in stores:
        await store.aclose()


async def test_missing_table_is_a_typed_error_with_the_path(tmp_path):
    path = tmp_path / "s.db"
    await filled(path)
    changed(path, "DROP TABLE log")
    store = SQLiteSessionStore(path)
    with pytest.raises(SessionStoreError, match="no such table") as caught:
        await store.read_log("a")
    assert str(path) in str(caught.value)
    await store.aclose()

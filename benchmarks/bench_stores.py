"""What session stores cost: claims, saves, bytes of a run, long lists, many sessions at once.

    python benchmarks/bench_stores.py                           # all of it
    python benchmarks/bench_stores.py --only sqlite --parts claims,lists

Stores that are not here are left out. Redis and Postgres are looked for on their usual ports;
REDIS_URL and POSTGRES_URL name others.
"""

import argparse
import asyncio
import importlib
import importlib.util
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from effects.oracle import WORDY, Oracle
from effects.prose import passage
from effects.script import prompt_of
from effects.stores import emptied, missing, opened
from effects.tools import Till

from mbxai import SessionBusyError

STORES = ("memory", "sqlite", "redis", "postgres")
CLAIMS = 400
WARM_UP = 20
LEASE_SECONDS = 60.0
STEPS = 24
"""Steps of a run whose bytes are counted: as many turns of the model as calls of the tool."""

MOST_BYTES = 36 * 1024
MOST_CLAIM_MS = {"sqlite": 1.0, "redis": 1.0}
SESSIONS = 100_000
PAGE = 100
FILLING_AT_ONCE = 32
SESSIONS_AT_ONCE = 200
WRITERS = 3
UPDATES = 5
"""Updates that each of the writers makes to each session."""

_BUSY_SECONDS = 0.002
_BUSY_GROWTH = 1.5
_MOST_BUSY_SECONDS = 0.1
MEMORY_DISK = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)
"""Where files lie in memory."""

Store = Any  # a `SessionStore`


@asynccontextmanager
async def store_of(name: str, *, in_memory: bool = False) -> AsyncIterator[Store]:
    """Open an empty store, and remove what is in it at the end.

    Args:
        name: Which.
        in_memory: Whether files may lie in memory, where waiting for a disk is not measured.
    """
    place = MEMORY_DISK if in_memory else None
    with tempfile.TemporaryDirectory(prefix="stores", dir=place) as folder:
        store = opened(name, Path(folder))
        try:
            yield store
        finally:
            await store.aclose()
            await emptied(name, Path(folder))


# --- one session at a time ------------------------------------------------------------------------


async def claims(name: str) -> list[str]:
    """Claim, save and release sessions, one after the other."""
    taking: list[float] = []
    saving: list[float] = []
    row = {"at": 1.0, "patch": {"text": passage(0)}}
    async with store_of(name) as store:
        names = [uuid4().hex for _ in range(CLAIMS + WARM_UP)]
        for agent_id in names:
            await store.create(agent_id, {"state": "new"})
        for agent_id in names:
            began = time.perf_counter()
            record = await store.claim(agent_id, owner="a run", lease_seconds=LEASE_SECONDS)
            taken = time.perf_counter()
            record = await store.save(record, None, owner="a run", rows=[row], status="running")
            saved = time.perf_counter()
            await store.release(record, owner="a run")
            taking.append(taken - began)
            saving.append(saved - taken)
    goal = MOST_CLAIM_MS.get(name)
    median = _share(taking, 0.5)
    reached = "-" if goal is None else "yes" if median <= goal else "no"
    figures = [median, _share(taking, 0.95), _share(saving, 0.5), _share(saving, 0.95)]
    return [name, *(f"{figure:.2f}" for figure in figures), reached]


def _share(seconds: list[float], share: float) -> float:
    """Return milliseconds below which this share lies, without the first ones."""
    measured = sorted(seconds[WARM_UP:])
    if share == 0.5:
        return 1000 * statistics.median(measured)
    return 1000 * measured[int(len(measured) * share)]


# --- many of them ---------------------------------------------------------------------------------


async def lists(name: str, count: int) -> list[str]:
    """List many sessions page by page, and each page's time."""
    pages: list[float] = []
    listed = 0
    async with store_of(name, in_memory=True) as store:
        await _filled(store, count)
        cursor = None
        while True:
            began = time.perf_counter()
            page = await store.list(limit=PAGE, cursor=cursor)
            pages.append(time.perf_counter() - began)
            listed += len({session.agent_id for session in page.sessions})
            cursor = page.next_cursor
            if cursor is None:
                break
    if listed != count:
        raise SystemExit(f"{name}: {listed} of {count} sessions were listed")
    ordered = sorted(pages)
    figures = [statistics.median(pages), ordered[int(len(pages) * 0.99)], ordered[-1], pages[-1]]
    return [name, str(len(pages)), *(f"{1000 * figure:.2f}" for figure in figures)]


async def _filled(store: Store, count: int) -> None:
    numbers = iter(range(count))

    async def fill() -> None:
        for number in numbers:
            await store.create(f"session-{number:07d}-{uuid4().hex}", {}, status="completed")

    async with asyncio.TaskGroup() as group:
        for _ in range(FILLING_AT_ONCE):
            group.create_task(fill())


async def at_once(name: str) -> list[str]:
    """Let writers compete for each of many sessions, and look whether an update is lost."""
    expected = WRITERS * UPDATES
    async with store_of(name) as store:
        names = [uuid4().hex for _ in range(SESSIONS_AT_ONCE)]
        for agent_id in names:
            await store.create(agent_id, {"count": 0})
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for agent_id in names:
                for _ in range(WRITERS):
                    group.create_task(_update(store, agent_id))
        seconds = time.perf_counter() - began
        lost = wrong = 0
        for agent_id in names:
            record = await store.load(agent_id)
            lost += expected - record.data["count"]
            rows = await store.read_log(agent_id)
            wrong += [row.content["count"] for row in rows] != list(range(1, expected + 1))
    updates = expected * SESSIONS_AT_ONCE
    return [name, str(updates), f"{seconds:.1f}", f"{updates / seconds:.0f}", str(lost), str(wrong)]


async def _update(store: Store, agent_id: str) -> None:
    owner = uuid4().hex
    for _ in range(UPDATES):
        pause = _BUSY_SECONDS
        while True:
            with suppress(SessionBusyError):
                record = await store.claim(agent_id, owner=owner, lease_seconds=LEASE_SECONDS)
                break
            await asyncio.sleep(pause)
            pause = min(pause * _BUSY_GROWTH, _MOST_BUSY_SECONDS)
        data = {"count": record.data["count"] + 1}
        record = await store.save(record, data, owner=owner, rows=[data])
        await store.release(record, owner=owner)


# --- bytes of a run -------------------------------------------------------------------------------


async def written(framework: str, oracle: Oracle) -> list[str]:
    """Run one session with much text, and count what was written of it.

    Args:
        framework: Which agent of `effects`.
        oracle: The model.
    """
    made = importlib.import_module(f"effects.{framework}_agent").Agent
    case = f"order-{sum(map(ord, framework)):05d}"
    with tempfile.TemporaryDirectory(prefix="stores") as folder:
        till = Till(Path(folder) / "till", is_wordy=True)
        options = {"store": "counting"} if framework == "mbxai" else {}
        agent = made(oracle.url, WORDY, Path(folder), till, approval=False, **options)
        await agent.open()
        try:
            rest = await agent.start(case, prompt_of(case, STEPS // 2))
        finally:
            await agent.close()
        if rest.state != "done" or len(till.effects(case)) != STEPS // 2:
            raise SystemExit(f"{framework} does not get through: {rest}")
        if framework == "mbxai":
            size, writes = agent.store.written_bytes, agent.store.writes
            reached = "yes" if size <= MOST_BYTES else "no"
        else:
            size, writes = _in_tables(Path(folder))
            reached = "-"
    return [TITLES[framework], str(writes), f"{size / 1024:.1f}", reached]


def _in_tables(folder: Path) -> tuple[int, int]:
    """Return the bytes of all values in SQLite files, and how many rows there are."""
    size = rows = 0
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                for values in connection.execute(f'SELECT * FROM "{table}"'):
                    rows += 1
                    size += sum(_size(value) for value in values)
    return size, rows


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    return len(value) if isinstance(value, bytes) else 0


TITLES = {
    "mbxai": "mbxai",
    "langgraph": "langgraph, `AsyncSqliteSaver`",
    "pydantic_ai": "pydantic-ai, `SqliteStepStore`",
    "openai_agents": "openai-agents, `SQLiteSession`",
}
PACKAGES = {
    "mbxai": ("mbxai",),
    "langgraph": ("langchain", "langchain_openai", "aiosqlite"),
    "pydantic_ai": ("pydantic_ai", "pydantic_ai_harness"),
    "openai_agents": ("agents",),
}


async def bytes_of_runs() -> list[list[str]]:
    """Count for each framework that is here."""
    found: list[list[str]] = []
    with Oracle() as oracle:
        for framework, packages in PACKAGES.items():
            if all(importlib.util.find_spec(package) for package in packages):
                found.append(await written(framework, oracle))
    return found


# --- tables ---------------------------------------------------------------------------------------


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as the README has it."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


CLAIMS_HEAD = ["ms", "claim, p50", "p95", "save of 1.5 KB, p50", "p95", "claim p50 <= 1"]
LISTS_HEAD = ["ms a page of 100", "pages", "median", "99th percentile", "slowest", "last"]
AT_ONCE_HEAD = [
    f"{SESSIONS_AT_ONCE} sessions, {WRITERS} writers each",
    *("updates", "seconds", "updates/s", "lost", "logs out of order"),
]
BYTES_HEAD = [
    f"a run of {STEPS} steps with 1.5 KB each",
    *("writes", "KiB written", f"<= {MOST_BYTES // 1024} KiB"),
]
PARTS = ("claims", "bytes", "lists", "at_once")


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(STORES), help="stores, separated by commas")
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions that are listed")
    return parser.parse_args()


def main() -> None:
    arguments = parsed_arguments()
    parts = arguments.parts.split(",")
    names: list[str] = []
    for name in arguments.only.split(","):
        if reason := missing(name):
            print(f"{name} is not here: {reason}", file=sys.stderr)
        else:
            names.append(name)
    if "claims" in parts:
        print_table(CLAIMS_HEAD, (asyncio.run(claims(name)) for name in names))
    if "bytes" in parts:
        print_table(BYTES_HEAD, asyncio.run(bytes_of_runs()))
    if "lists" in parts:
        print_table(LISTS_HEAD, (asyncio.run(lists(name, arguments.sessions)) for name in names))
    if "at_once" in parts:
        print_table(AT_ONCE_HEAD, (asyncio.run(at_once(name)) for name in names))


if __name__ == "__main__":
    main()

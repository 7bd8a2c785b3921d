"""A user's module with an agent that workers run: it notes in a file when its tool begins and ends.

The environment says where everything is, see `Shop.env`; `agent` is what `mbxai sessions work`
loads, from the folder above this one.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.sessions import PostgresSessionStore, RedisSessionStore, SessionStore, SQLiteSessionStore
from mbxai.tools import ToolContext

TARGET = "support.agent_worker_shop:agent"
FOLDER = Path(__file__).parents[1]
LEASE_SECONDS = 1.5


def plan(**task: object) -> dict[str, object]:
    """What the model plans: one task that ships something."""
    planned = {"key": "a", "title": "Ship it", "description": "Ship the lamp", "depends_on": []}
    planned |= {"tools_needed": ["ship"], "estimated_complexity": 1}
    return {"TodoList": {"tasks": [planned | task], "estimated_total_time": "1 minute"}}


class Receipt(BaseModel):
    summary: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """What the tool noted.

    Attributes:
        moment: "begun" or "ended".
        worker: Process id.
    """

    moment: str
    agent_id: str
    key: str
    worker: int
    at: float


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Where the sessions, the model and the notes are.

    Attributes:
        store: A path, or the URL of a Redis or Postgres server.
        prefix: Of the keys in Redis; the schema in Postgres.
        seconds: How long the tool takes.
    """

    url: str
    folder: Path
    store: str = ""
    prefix: str = ""
    seconds: float = 0.0
    people: bool = False

    @property
    def place(self) -> str:
        return self.store or str(self.folder / "sessions.db")

    def env(self) -> dict[str, str]:
        return {
            "SHOP_URL": self.url,
            "SHOP_FOLDER": str(self.folder),
            "SHOP_STORE": self.store,
            "SHOP_PREFIX": self.prefix,
            "SHOP_SECONDS": str(self.seconds),
            "SHOP_PEOPLE": "1" if self.people else "",
        }

    def open_store(self) -> SessionStore:
        if self.store.startswith("redis"):
            return RedisSessionStore(self.store, prefix=self.prefix)
        if self.store.startswith("postgres"):
            return PostgresSessionStore(self.store, schema=self.prefix)
        return SQLiteSessionStore(self.place, busy_timeout=20)

    @asynccontextmanager
    async def open(
        self, *, store: SessionStore | None = None, lease_seconds: float = LEASE_SECONDS
    ) -> AsyncIterator[AsyncAgentClient]:
        key = "sk-or-v1-fake"
        async with AsyncOpenRouterClient(key, "fake/model", self.url, max_retries=0) as client:
            tools = AsyncToolClient(client)
            tools.register_tool("ship", "Ship something", self.ship, effect="idempotent")
            async with AsyncAgentClient(
                tools,
                self.people,
                session_handler=store or self.open_store(),
                lease_seconds=lease_seconds,
            ) as agent:
                yield agent

    async def ship(self, context: ToolContext) -> str:
        self._note("begun", context)
        await anyio.sleep(self.seconds)
        self._note("ended", context)
        return "shipped"

    def notes(self, moment: str) -> list[Note]:
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [
            Note(moment=word, agent_id=agent_id, key=key, worker=int(pid), at=float(at))
            for word, agent_id, key, pid, at in map(str.split, lines)
        ]
        return [note for note in notes if note.moment == moment]

    def _note(self, moment: str, context: ToolContext) -> None:
        line = (moment, context.session_id, context.idempotency_key, os.getpid(), time.time())
        with (self.folder / "notes").open("a") as file:
            file.write(" ".join(map(str, line)) + "\n")


async def until(met: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    with anyio.fail_after(seconds):
        while not met():
            await anyio.sleep(0.02)


async def all_completed(agent: AsyncAgentClient, count: int, seconds: float = 20.0) -> None:
    """Wait until so many sessions are completed."""
    with anyio.fail_after(seconds):
        while len((await agent.sessions.list(status="completed")).sessions) < count:
            await anyio.sleep(0.05)


def agent() -> object:
    """Make the agent that the environment describes."""
    given = os.environ
    return Shop(
        url=given["SHOP_URL"],
        folder=Path(given["SHOP_FOLDER"]),
        store=given["SHOP_STORE"],
        prefix=given["SHOP_PREFIX"],
        seconds=float(given["SHOP_SECONDS"]),
        people=bool(given["SHOP_PEOPLE"]),
    ).open()

"""A process that runs sessions of a durable agent, as an application's worker does.

It takes one JSON argument (see `Order`), says `ready` once it works, notes in a file what its tools
do, and leaves on SIGTERM. Everybody who runs or starts sessions in these tests uses `durable_of`.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.agent_safety_run import Effects, Report

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.durable import AsyncDurableAgent, DurableSchedule
from mbxai.sessions import SQLiteSessionStore

LEASE_SECONDS = 1.5


@dataclass(kw_only=True)
class Order:
    """What a process is to do.

    Attributes:
        url: Where the model is.
        database: Address of the workflows' database.
        folder: Where the sessions and the notes are.
        kill_at: When the process kills itself, such as "charge ended": it makes the file `reached`
            and waits for the file `go` before; empty: never.
        options: Further arguments of the durable agent.
        cron: When a schedule starts a session; empty: there is no schedule.
    """

    url: str
    database: str
    folder: str
    kill_at: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    cron: str = ""

    def json(self) -> str:
        return json.dumps(asdict(self))


@asynccontextmanager
async def durable_of(order: Order) -> AsyncIterator[tuple[AsyncDurableAgent, AsyncAgentClient]]:
    """A durable agent and the agent under it, closed in the end."""

    def at(moment: str) -> None:
        if moment == order.kill_at:
            (Path(order.folder) / "reached").touch()
            while not (Path(order.folder) / "go").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal comes before that

    async with AsyncOpenRouterClient(
        "sk-or-v1-fake", "fake/model", order.url, max_retries=0
    ) as client:
        tools = AsyncToolClient(client)
        Effects(Path(order.folder) / "effects", at).register(tools)
        store = SQLiteSessionStore(Path(order.folder) / "sessions.db")
        agent = AsyncAgentClient(tools, True, session_handler=store, lease_seconds=LEASE_SECONDS)
        schedules = [
            DurableSchedule(
                name="often",
                cron=order.cron,
                prompt="Deliver what is due",
                final_response_structure=Report,
            )
        ]
        options = {"poll_seconds": 0.1, "takeover_seconds": 0.3, **order.options}
        async with AsyncDurableAgent(
            agent, order.database, schedules=schedules if order.cron else (), **options
        ) as durable:
            yield durable, agent
        await store.aclose()


async def main(order: Order) -> None:
    async with durable_of(order) as (durable, _):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, durable.stop)
        print("ready", flush=True)
        await durable.work(grace_seconds=5)


if __name__ == "__main__":
    asyncio.run(main(Order(**json.loads(sys.argv[1]))))
    print("left", flush=True)

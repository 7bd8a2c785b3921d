"""A program whose children run the story of `agent_safety_run` and are killed at a given moment.

It reads one JSON object a line and forks a child for each, which saves the time of starting Python;
it answers with one line: the signal that ended the child, or minus its exit code. Moments are
"before save 3", "after save 3", "ship effect" (when the tool is about to have its effect), and so on.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.agent_safety_run import Effects, play

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.sessions import SessionRecord, SQLiteSessionStore


class KilledAt:
    """Kills this process, as `kill -9` does, when it comes to a moment for the n-th time."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def __call__(self, moment: str) -> None:
        if moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal comes before that


class Store(SQLiteSessionStore):
    """A store that says when it saves."""

    def __init__(self, path: Path, at: KilledAt) -> None:
        super().__init__(path)
        self._at = at
        self._saves = 0
        self._releases = 0

    async def save(self, record: SessionRecord, *args: Any, **given: Any) -> Any:
        self._saves += 1
        number = self._saves
        self._at(f"before save {number}")
        saved = await super().save(record, *args, **given)
        self._at(f"after save {number}")
        return saved

    async def release(self, record: SessionRecord, **given: Any) -> None:
        self._releases += 1
        self._at(f"before release {self._releases}")
        await super().release(record, **given)


async def child(order: dict[str, str]) -> None:
    at = KilledAt(order["moment"])
    folder = Path(order["folder"])
    async with AsyncOpenRouterClient(
        "sk-or-v1-fake", "fake/model", order["url"], max_retries=0
    ) as client:
        tools = AsyncToolClient(client)
        Effects(folder / "effects", at).register(tools)
        store = Store(folder / "sessions.db", at)
        agent = AsyncAgentClient(tools, True, session_handler=store)
        await play(agent, "s")
        await store.aclose()


def main() -> None:
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            code = 1
            try:
                asyncio.run(child(json.loads(line)))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        status = os.waitpid(pid, 0)[1]
        print(-os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()

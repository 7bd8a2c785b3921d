"""A4: a process is killed in the middle of a run; another one goes on, and nothing happens twice."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_safety_run import OVERRIDES, Effects, check, play, script

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import FakeOpenRouter

PROGRAM = Path(__file__).parents[1] / "support" / "agent_safety_child.py"

SAVES = [f"{when} save {number}" for number in range(1, 18) for when in ("before", "after")]
FEWEST_SAVES = 10
TOOLS = [
    f"{tool} {moment}"
    for tool in ("look", "charge", "ship", "note")
    for moment in ("begun", "effect", "ended")
]


class Nursery:
    """Runs children that are killed."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def killed_by(self, fake: FakeOpenRouter, folder: Path, moment: str) -> int:
        """Run a child that is killed at a moment; return the signal that ended it."""
        order = {"url": fake.base_url, "folder": str(folder), "moment": moment}
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        yield Nursery(program)
        assert program.stdin is not None
        program.stdin.close()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    script(server)
    return server


async def resumed(fake: FakeOpenRouter, folder: Path) -> Effects:
    """Go on in this process, long after the lease of the other one has ended."""
    effects = Effects(folder / "effects")
    key, url = fake.api_key, fake.base_url
    async with AsyncOpenRouterClient(key, "fake/model", url, max_retries=0) as client:
        tools = AsyncToolClient(client)
        effects.register(tools)
        store = SQLiteSessionStore(folder / "sessions.db", now=lambda: time.time() + 1000)
        agent = AsyncAgentClient(tools, True, session_handler=store)
        response = await play(agent, "s")
        assert response.is_complete()
        assert response.todo_list is not None
        assert {task.status for task in response.todo_list.tasks} == {"completed"}
        await check(effects, fake)
        await store.aclose()
    return effects


@pytest.mark.parametrize("moment", SAVES)
def test_a4_a_session_whose_process_is_killed_around_a_save_goes_on_in_another(
    nursery: Nursery, fake: FakeOpenRouter, moment: str, tmp_path: Path
) -> None:
    ended = nursery.killed_by(fake, tmp_path, moment)

    effects = asyncio.run(resumed(fake, tmp_path))

    assert len(effects.noted("charge", "effect")) <= 1
    # A run that needed fewer saves ended before.
    assert ended == signal.SIGKILL or int(moment.rsplit(maxsplit=1)[-1]) > FEWEST_SAVES


@pytest.mark.parametrize("moment", TOOLS)
def test_a4_a_session_whose_process_is_killed_in_a_tool_goes_on_in_another(
    nursery: Nursery, fake: FakeOpenRouter, moment: str, tmp_path: Path
) -> None:
    assert nursery.killed_by(fake, tmp_path, moment) == signal.SIGKILL

    effects = asyncio.run(resumed(fake, tmp_path))

    tool = moment.partition(" ")[0]
    if tool in ("look", "note"):  # they may be repeated, and are
        assert len(effects.noted(tool, "ended")) >= 1
        assert len(set(effects.noted(tool, "begun"))) == 1
    else:  # nobody knows, and nobody tries again
        assert effects.noted(tool, "ended") == []


@pytest.mark.parametrize("number", [1, 2])
def test_a4_a_session_whose_process_is_killed_before_it_gave_it_back_goes_on_in_another(
    nursery: Nursery, fake: FakeOpenRouter, number: int, tmp_path: Path
) -> None:
    assert nursery.killed_by(fake, tmp_path, f"before release {number}") == signal.SIGKILL

    effects = asyncio.run(resumed(fake, tmp_path))

    assert len(effects.noted("ship", "effect")) == 1

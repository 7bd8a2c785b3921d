"""A run that its caller leaves: streams ended early, loops that end, several loops, errors in one."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.agent_safety_run import OVERRIDES, PROMPT, Effects, Report, check, play, script

from mbxai import (
    AgentFailedError,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    SessionNotFoundError,
    SessionStoreError,
)
from mbxai.agent.events import AgentEvent
from mbxai.sessions import InMemorySessionStore, SessionRecord, SQLiteSessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Stall

SLICES = 8
STRICT_PYTHON = (sys.executable, "-X", "dev", "-W", "error", "-c")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    script(server)
    return server


def client_of(fake: FakeOpenRouter) -> AsyncOpenRouterClient:
    return AsyncOpenRouterClient(fake.api_key, "fake/model", fake.base_url, max_retries=0)


class Watched:
    """The story's agent on an SQLite store."""

    def __init__(self, client: AsyncOpenRouterClient, folder: Path) -> None:
        self.effects = Effects(folder / "effects")
        tools = AsyncToolClient(client)
        self.effects.register(tools)
        self.store = SQLiteSessionStore(folder / "sessions.db")
        self.agent = AsyncAgentClient(tools, True, session_handler=self.store)

    async def events_until(self, number: int) -> list[AgentEvent]:
        """Read so many events of the run up to the request to a person, then leave."""
        seen: list[AgentEvent] = []
        async with self.agent.stream(PROMPT, Report, agent_id="s") as stream:
            if number == 0:
                return seen
            async for event in stream:
                seen.append(event)
                if len(seen) == number:
                    break
        return seen


@pytest.fixture(scope="module")
def events(server: FakeOpenRouter, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many events there are until the agent waits for a person."""

    async def count() -> int:
        server.reset()
        script(server)
        async with client_of(server) as client:
            watched = Watched(client, tmp_path_factory.mktemp("whole"))
            return len(await watched.events_until(-1))

    return asyncio.run(count())


@pytest.mark.parametrize("number", range(SLICES))
async def test_x2_a_stream_that_is_left_after_any_event_can_be_resumed(
    fake: FakeOpenRouter, events: int, number: int, tmp_path: Path
) -> None:
    points = range(events)[number::SLICES]
    async with client_of(fake) as client:
        for point in points:
            fake.reset()
            script(fake)
            (folder := tmp_path / str(point)).mkdir()
            watched = Watched(client, folder)
            before = asyncio.all_tasks()

            seen = await watched.events_until(point)

            assert len(seen) == point
            assert asyncio.all_tasks() == before
            assert (await play(watched.agent, "s")).is_complete()
            await check(watched.effects, fake)
            await watched.store.aclose()

    assert len(points) > 1


LEFT_BEHIND = """
import asyncio, gc, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from support.agent_safety_run import PROMPT, Effects, Report
from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.sessions import SQLiteSessionStore

kept = []

async def main(url, folder, way):
    client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", url, max_retries=0)
    tools = AsyncToolClient(client)
    Effects(folder / "effects").register(tools)
    agent = AsyncAgentClient(tools, True, session_handler=SQLiteSessionStore(folder / "s.db"))
    kept.append(client)

    async def watch():
        async with agent.stream(PROMPT, Report, agent_id="s") as run:
            async for event in run:
                print(event.type, flush=True)
                if way == "waits":
                    begun.set()
                    await asyncio.Event().wait()

    async def work():
        begun.set()
        await agent.agent(PROMPT, Report, agent_id="s")

    begun = asyncio.Event()
    kept.append(asyncio.create_task(work() if way == "agent" else watch()))
    if way == "reads":
        begun.set()
    await begun.wait()
    await asyncio.sleep(0.05)

asyncio.run(main(sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
gc.collect()
asyncio.run(kept[0].aclose())
kept.clear()
gc.collect()
print("end")
"""


@pytest.mark.parametrize("way", ["waits", "reads", "agent"])
def test_x3_a_loop_that_ends_with_a_running_agent_leaves_no_warning(
    fake: FakeOpenRouter, way: str, tmp_path: Path
) -> None:
    fake.reset()
    fake.script(Stall(30, when=Match(schema="TodoList")), Auto(times=None))
    support = str(Path(__file__).parents[1])

    done = subprocess.run(
        [*STRICT_PYTHON, LEFT_BEHIND, support, fake.base_url, str(tmp_path), way],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.endswith("end\n")

    async def resume() -> None:
        fake.reset()
        script(fake)
        async with client_of(fake) as client:
            watched = Watched(client, tmp_path)
            watched.store = SQLiteSessionStore(tmp_path / "s.db")
            tools = AsyncToolClient(client)
            watched.effects.register(tools)
            agent = AsyncAgentClient(tools, True, session_handler=watched.store)
            assert (await play(agent, "s")).is_complete()
            await check(watched.effects, fake, everything=True)
            await watched.store.aclose()

    asyncio.run(resume())


def test_x6_one_agent_goes_on_in_a_second_loop(fake: FakeOpenRouter, tmp_path: Path) -> None:
    client = client_of(fake)
    watched = Watched(client, tmp_path)

    first = asyncio.run(watched.agent.agent(PROMPT, Report, agent_id="s"))
    second = asyncio.run(play(watched.agent, "s"))

    assert first.is_waiting_for_human()
    assert second.is_complete()
    asyncio.run(check(watched.effects, fake, everything=True))
    asyncio.run(watched.store.aclose())
    asyncio.run(client.aclose())


async def test_x6_one_agent_runs_in_two_loops_at_the_same_time(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    client = client_of(fake)
    watched = Watched(client, tmp_path)
    script(fake)  # for the second session

    async with asyncio.timeout(8):
        other = asyncio.to_thread(asyncio.run, play(watched.agent, "other"))
        responses = await asyncio.gather(play(watched.agent, "s"), other)

    assert [response.is_complete() for response in responses] == [True, True]
    assert len(watched.effects.noted("charge", "effect")) == 2
    await watched.store.aclose()
    await client.aclose()


async def test_x7_an_error_beside_other_calls_comes_out_alone(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    fake.reset()
    side_by_side = [Match(contains=f"MARK-{key}", tool="charge") for key in ("left", "right")]
    fake.script(
        Failure(402, message="no credits", when=side_by_side[0]),
        Failure(402, message="no credits", when=side_by_side[1]),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        watched = Watched(client, tmp_path)
        with pytest.raises(AgentFailedError) as caught:
            await watched.agent.agent(PROMPT, Report, agent_id="s", human_in_loop=False)
        await watched.store.aclose()

    assert type(caught.value) is AgentFailedError
    assert not isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert not isinstance(caught.value.__context__, BaseExceptionGroup)


class Failing(InMemorySessionStore):
    """A store that breaks when it is to save for the n-th time, or to release."""

    def __init__(self, *, saves: int | None = None, releases: bool = True) -> None:
        super().__init__()
        self.saves = saves
        self.releases = releases

    async def save(self, record: SessionRecord, *args: Any, **given: Any) -> SessionRecord:
        if self.saves == 0:
            raise SessionStoreError("The disk is full.")
        self.saves = None if self.saves is None else self.saves - 1
        return await super().save(record, *args, **given)

    async def release(self, record: SessionRecord, **given: Any) -> None:
        if not self.releases:
            raise SessionStoreError("The disk is gone.")
        await super().release(record, **given)


@pytest.mark.parametrize("saves", range(1, 14, 3))
async def test_x7_a_store_that_fails_beside_running_calls_raises_its_own_error(
    fake: FakeOpenRouter, saves: int, tmp_path: Path
) -> None:
    async with client_of(fake) as client:
        effects = Effects(tmp_path / "effects")
        tools = AsyncToolClient(client)
        effects.register(tools)
        store = Failing(saves=saves)
        agent = AsyncAgentClient(tools, True, session_handler=store)
        before = asyncio.all_tasks()

        with pytest.raises(SessionStoreError, match="disk is full") as caught:
            await play(agent, "s")

        assert type(caught.value) is SessionStoreError
        assert asyncio.all_tasks() == before
        store.saves = None  # the disk has room again
        assert (await play(agent, "s")).is_complete()
        await check(effects, fake)


async def test_x1_a_cancel_stays_a_cancel_although_the_store_fails_too(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    fake.reset()
    fake.script(Stall(30, when=Match(schema="TodoList")), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=Failing(releases=False))
        run = asyncio.create_task(agent.agent(PROMPT, Report, agent_id="s"))
        with anyio.fail_after(5):
            while len(fake.requests()) < 3:
                await anyio.sleep(0.005)
        run.cancel()
        await asyncio.wait({run}, timeout=5)

    assert run.cancelled(), run


async def test_a5_a_run_whose_session_cannot_be_given_back_still_tells_its_outcome(
    fake: FakeOpenRouter,
) -> None:
    fake.reset()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=Failing(releases=False))
        response = await agent.agent(PROMPT, Report, agent_id="s")

    assert response.is_complete()


async def test_x1_a_run_cancelled_before_its_first_save_leaves_no_session(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        run = asyncio.create_task(agent.agent(PROMPT, Report, agent_id="s"))
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await agent.list_sessions() == []
        with pytest.raises(SessionNotFoundError):
            await agent.get_response("s")

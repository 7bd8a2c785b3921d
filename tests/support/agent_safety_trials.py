"""Runs the story of `agent_safety_run` on a loop that stops it at a given step, and resumes it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from support.agent_safety_loop import CancellingLoop
from support.agent_safety_run import Effects, check, play, script

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient, SessionNotFoundError
from mbxai.sessions import InMemorySessionStore, SessionStore, SQLiteSessionStore
from mbxai.testing import FakeOpenRouter

STORES: dict[str, Callable[[Path], SessionStore]] = {
    "memory": lambda _folder: InMemorySessionStore(),
    "sqlite": lambda folder: SQLiteSessionStore(folder / "sessions.db"),
}

Stops = list[Callable[[], object]]
Way = Callable[[Awaitable[object], Stops], Awaitable[bool]]
"""Runs something so that it can be stopped: adds what stops it, and tells whether that happened."""


async def by_cancel(run: Awaitable[object], stops: Stops) -> bool:
    """The task is cancelled; CancelledError must come out of the run as it is."""
    task = asyncio.current_task()
    assert task is not None
    stops.append(task.cancel)
    try:
        await run
    except asyncio.CancelledError:
        task.uncancel()
        return True
    assert not task.cancelling(), "The cancel was swallowed"
    return False


async def by_scope(run: Awaitable[object], stops: Stops) -> bool:
    """A scope of anyio is cancelled, as `move_on_after` does."""
    with anyio.CancelScope() as scope:
        stops.append(scope.cancel)
        await run
    return scope.cancelled_caught


async def by_timeout(run: Awaitable[object], stops: Stops) -> bool:
    """`asyncio.timeout` ends."""
    try:
        async with asyncio.timeout(None) as limit:
            stops.append(lambda: limit.reschedule(0))
            await run
    except TimeoutError:
        return True
    return False


async def by_scope_in_timeout(run: Awaitable[object], stops: Stops) -> bool:
    """A scope of anyio is cancelled in the instant in which the `asyncio.timeout` around it ends."""
    inner: list[bool] = []

    async def scoped() -> None:
        inner.append(await by_scope(run, stops))

    return await by_timeout(scoped(), stops) or inner == [True]


async def by_timeout_in_scope(run: Awaitable[object], stops: Stops) -> bool:
    """An `asyncio.timeout` ends in the instant in which the scope of anyio around it is cancelled."""
    inner: list[bool] = []

    async def timed() -> None:
        inner.append(await by_timeout(run, stops))

    try:
        return await by_scope(timed(), stops) or inner == [True]
    except asyncio.CancelledError:
        return True  # so it is with anyio alone, if both come before the same step


class Trials:
    """The story, stopped and resumed; each time with fresh tools and a fresh session.

    Attributes:
        stopped: How often the stop came before the end.
        steps: Steps of the last run.
    """

    def __init__(
        self, fake: FakeOpenRouter, store: str, folder: Path, way: Way = by_cancel
    ) -> None:
        self.stopped = 0
        self.steps = 0
        self._fake = fake
        self._folder = folder
        self._store = STORES[store](folder)
        self._way = way

    def at(self, *points: int) -> None:
        """Stop a run before its step of each number (0: never), resume it, and check it."""
        with asyncio.Runner(loop_factory=CancellingLoop) as runner:
            runner.run(self._at(points))

    async def _at(self, points: tuple[int, ...]) -> None:
        key, url = self._fake.api_key, self._fake.base_url
        async with AsyncOpenRouterClient(key, "fake/model", url, max_retries=0) as client:
            for number, point in enumerate(points):
                await self._one(client, f"run-{number}", point)
        await self._store.aclose()

    async def _one(self, client: AsyncOpenRouterClient, agent_id: str, point: int) -> None:
        self._fake.reset()
        script(self._fake)
        effects = Effects(self._folder / agent_id)
        tools = AsyncToolClient(client)
        effects.register(tools)
        agent = AsyncAgentClient(tools, True, session_handler=self._store)
        before = asyncio.all_tasks()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CancellingLoop)

        stops: Stops = []
        run = asyncio.ensure_future(self._way(play(agent, agent_id), stops))
        await asyncio.sleep(0)  # it has said how it is stopped
        loop.arm(lambda: run.done() or [stop() for stop in stops], point)
        await asyncio.wait({run}, timeout=5)
        self.steps = loop.steps
        loop.arm(bool, 0)

        where = f"stopped at {point}"
        assert run.done(), f"{where}: it goes on for ever"
        was_stopped = run.result()
        assert asyncio.all_tasks() == before, where
        await self._loads(agent, agent_id)
        assert (await play(agent, agent_id)).is_complete(), where
        await check(effects, self._fake, everything=not was_stopped)
        assert asyncio.all_tasks() == before, where
        self.stopped += was_stopped

    async def _loads(self, agent: AsyncAgentClient, agent_id: str) -> None:
        """The session can be read; if it was not saved yet, nothing is there and nothing was done."""
        try:
            info = await agent.get_session_info(agent_id)
        except SessionNotFoundError:
            assert agent_id not in await agent.list_sessions()
            assert self._fake.requests() == []
        else:
            assert info["agent_id"] == agent_id

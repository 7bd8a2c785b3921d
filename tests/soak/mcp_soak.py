"""Four MCP servers, many calls, and every now and then one of the servers is killed.

    python tests/soak/mcp_soak.py [--calls 2000] [--every 100] [--plain]

Two servers speak over stdio, one over streamable HTTP and one over SSE, in both eras. At each kill
some calls are in the victim's hands and others are on their way to it. Each call must return what
belongs to its arguments, or say in our own words that the server went away. At the end there must
be no task, file descriptor, thread or process more than there was before.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.mcp_model import NoModel  # noqa: E402
from support.mcp_processes import SOURCES, SUPPORT, TOOLS_SERVER, children  # noqa: E402
from support.real_servers import Served, child_of, served  # noqa: E402

from mbxai.mcp import AsyncMCPClient, MCPTool  # noqa: E402

# -S and -E only make them start sooner.
PLAIN = [sys.executable, "-S", "-E", str(SUPPORT / "mcp_modern_fault_server.py")]
PLAIN_HTTP = [sys.executable, "-S", "-E", str(Path(__file__).with_name("http_server.py")), "{port}"]

POOLS = ("asyncio_", "AnyIO worker thread")
WORKERS = 16
HELD = 4
"""How many calls a victim holds when it dies."""

CALL_SECONDS = 20.0
LOST_SECONDS = 60.0
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """One of the servers.

    Attributes:
        name: What it is called.
        transport: "stdio", "http" or "sse".
        command: What starts it; "{port}" stands for where it is to listen.
        is_ours: Whether it is made with `MCPServer`, or else written by hand.
        env: Environment variables for it.
    """

    name: str
    transport: str
    command: list[str]
    is_ours: bool = False
    env: dict[str, str] | None = None

    def quick(self, number: int) -> tuple[str, dict[str, Any], str]:
        """A call that is answered at once: the tool, its arguments, what the answer is."""
        if self.is_ours:
            return "add", {"a": number, "b": 1}, str(number + 1)
        return "good", {"number": number}, json.dumps({"tool": "good", "number": number})

    def endless(self) -> tuple[str, dict[str, Any]]:
        """A call that is answered too late."""
        return ("slow", {"seconds": 600.0}) if self.is_ours else ("hold", {})


PLAIN_SERVERS = (
    Plan("one", "stdio", PLAIN),
    Plan("two", "stdio", [*PLAIN, "legacy"]),
    Plan("three", "http", PLAIN_HTTP),
    Plan("four", "sse", [*PLAIN_HTTP, "legacy"]),
)
"""All written by hand: they start at once."""

MIXED_SERVERS = (
    PLAIN_SERVERS[0],
    Plan("two", "stdio", TOOLS_SERVER, is_ours=True, env=SOURCES),
    Plan("three", "http", [*TOOLS_SERVER, "asgi", "{port}"], is_ours=True),
    PLAIN_SERVERS[3],
)
"""Two of them made with `MCPServer`."""


@dataclass
class Member:
    """A running server, and the names of its tools here."""

    plan: Plan
    over_http: Served | None
    tools: dict[str, str] = field(default_factory=dict[str, str])
    lives: int = 1

    async def kill(self) -> None:
        """End it without a word; over HTTP it is started again."""
        if self.over_http is None:
            os.kill(child_of(self.plan.command), signal.SIGKILL)
        else:
            self.over_http.kill()
            await asyncio.to_thread(self.over_http.start)
        self.lives += 1


@dataclass
class Footprint:
    """What this process holds.

    Attributes:
        tasks: Tasks of the event loop.
        descriptors: Open files, pipes and sockets.
        threads: Threads, but for those of the two pools, which are made when there is need of one
            more at the same time, and stay for the next.
        processes: Children, dead ones that nobody waited for included.
    """

    tasks: int
    descriptors: int
    threads: int
    processes: int

    @classmethod
    def now(cls) -> "Footprint":
        """Count."""
        return cls(
            tasks=len(asyncio.all_tasks()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            threads=sum(not thread.name.startswith(POOLS) for thread in threading.enumerate()),
            processes=len(children()),
        )


@dataclass
class Figures:
    """What became of the calls.

    Attributes:
        outcomes: How many calls returned, were told of a death, or are lost.
        lost: What is wrong with those.
        complaints: What the event loop had to say.
        kills: How many servers were killed.
        seconds: How long it all took.
        connected: What was held while all four were connected, before and after.
        closed: The same without any connection.
        kilobytes: How much the memory in use has grown between the first and the last round.
    """

    outcomes: Counter[str] = field(default_factory=Counter[str])
    lost: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])
    kills: int = 0
    seconds: float = 0.0
    connected: list[Footprint] = field(default_factory=list[Footprint])
    closed: list[Footprint] = field(default_factory=list[Footprint])
    kilobytes: int = 0

    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        found = [*self.lost, *self.complaints]
        for name, (before, after) in {"connected": self.connected, "closed": self.closed}.items():
            if after != before:
                found.append(f"{name}: {before} has become {after}")
        return found


async def soak(
    plans: tuple[Plan, ...] = MIXED_SERVERS, *, calls: int = 2000, every: int = 100
) -> Figures:
    """Run it.

    Args:
        plans: The servers.
        calls: How many calls in all.
        every: After how many calls a server is killed.
    """
    figures = Figures()
    loop = asyncio.get_running_loop()
    former = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: figures.complaints.append(str(context)))
    try:
        with ExitStack() as stack:
            members = [_start(plan, stack) for plan in plans]
            # Whatever is made once in a process, is there then: modules, watchers.
            async with AsyncMCPClient(NoModel()) as client:
                await _connect(client, members)
            figures.closed.append(await _settled())
            async with AsyncExitStack() as connected:
                client = await connected.enter_async_context(AsyncMCPClient(NoModel()))
                await _connect(client, members)
                await _run(client, members, figures, calls, every)
            figures.closed.append(await _settled(figures.closed[0]))
    finally:
        loop.set_exception_handler(former)
    return figures


async def _run(
    client: AsyncMCPClient, members: list[Member], figures: Figures, calls: int, every: int
) -> None:
    for member in members:
        await _use_again(client, member)
    figures.connected.append(await _settled())
    started, memory = time.monotonic(), 0
    for turn in range(calls // every):
        victim = members[turn % len(members)]
        await _round(client, members, victim, figures, range(turn * every, (turn + 1) * every))
        memory = memory or _resident_kilobytes()
    figures.seconds = time.monotonic() - started
    figures.kilobytes = _resident_kilobytes() - memory
    for member in members:
        if member.over_http:
            # However many connections its pool has kept open: begin again with one, as before.
            await member.kill()
            await _use_again(client, member)
    figures.connected.append(await _settled(figures.connected[0]))


async def _round(
    client: AsyncMCPClient,
    members: list[Member],
    victim: Member,
    figures: Figures,
    numbers: range,
) -> None:
    """Make calls, some of which never end, and kill a server in the middle of them."""
    held = [
        asyncio.create_task(_call(client, victim, figures, *victim.plan.endless()))
        for _ in range(HELD)
    ]
    waiting = list(numbers)[HELD:]
    half = len(waiting) // 2
    is_half_done = asyncio.Event()

    async def work() -> None:
        while waiting:
            number = waiting.pop()
            member = members[number % len(members)]
            await _call(client, member, figures, *member.plan.quick(number))
            if len(waiting) <= half:
                is_half_done.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
        await is_half_done.wait()
        await victim.kill()
        figures.kills += 1
    await asyncio.gather(*held)
    await _use_again(client, victim)


async def _call(
    client: AsyncMCPClient,
    member: Member,
    figures: Figures,
    name: str,
    arguments: dict[str, Any],
    expected: str | None = None,
) -> None:
    """Make one call and note what became of it."""
    what = f"{member.plan.name}.{name}({arguments})"
    try:
        async with asyncio.timeout(LOST_SECONDS):
            result = await client.call_tool(member.tools[name], json.dumps(arguments))
    except Exception as error:
        figures.outcomes["lost"] += 1
        figures.lost.append(f"{what} raised {error!r}")
        return
    if not result.is_error and result.content == expected:
        figures.outcomes["returned"] += 1
    elif result.is_error and f"MCP server {member.plan.name!r} " in result.content:
        figures.outcomes["told of a death"] += 1
    else:
        figures.outcomes["lost"] += 1
        figures.lost.append(f"{what} returned {result.content!r}")


async def _use_again(client: AsyncMCPClient, member: Member) -> None:
    """Wait until a server answers."""
    name, arguments, expected = member.plan.quick(0)
    async with asyncio.timeout(LOST_SECONDS):
        while True:
            result = await client.call_tool(member.tools[name], json.dumps(arguments))
            if not result.is_error:
                assert result.content == expected
                return
            await asyncio.sleep(0.02)


async def _connect(client: AsyncMCPClient, members: list[Member]) -> None:
    for member in members:
        plan, over_http = member.plan, member.over_http
        path = "sse" if plan.transport == "sse" else "mcp"
        await client.register_mcp_server(
            plan.name,
            f"{over_http.url()}/{path}" if over_http else None,
            command=None if over_http else plan.command,
            env=plan.env,
            timeout=CALL_SECONDS,
        )
    for member in members:
        member.tools = {
            tool.original_name: tool.name
            for tool in client.registry.tools()
            if isinstance(tool, MCPTool) and tool.source == member.plan.name
        }


def _start(plan: Plan, stack: ExitStack) -> Member:
    if plan.transport == "stdio":
        return Member(plan, None)
    return Member(plan, stack.enter_context(served(plan.command)))


async def _settled(expected: Footprint | None = None) -> Footprint:
    """What is held once nothing changes any more, or once it is what is expected."""
    is_quiet: Callable[[Footprint, Footprint], bool] = (
        (lambda before, now: before == now)
        if expected is None
        else (lambda _, now: now == expected)
    )
    deadline = time.monotonic() + SETTLE_SECONDS
    before = Footprint.now()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        now = Footprint.now()
        if is_quiet(before, now):
            return now
        before = now
    return before


def _resident_kilobytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def main() -> int:
    """Run it and print the figures; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--every", type=int, default=100, help="calls from kill to kill")
    parser.add_argument("--plain", action="store_true", help="only servers written by hand")
    chosen = parser.parse_args()
    logging.getLogger("mbxai").setLevel(logging.CRITICAL)  # it warns of each death
    plans = PLAIN_SERVERS if chosen.plain else MIXED_SERVERS
    figures = asyncio.run(soak(plans, calls=chosen.calls, every=chosen.every))
    total = sum(figures.outcomes.values())
    print(f"calls            {total} in {figures.seconds:.1f} s")
    for outcome in ("returned", "told of a death", "lost"):
        print(f"  {outcome:15} {figures.outcomes[outcome]}")
    print(f"servers killed   {figures.kills}")
    print(f"connected        {figures.connected[0]} -> {figures.connected[1]}")
    print(f"closed           {figures.closed[0]} -> {figures.closed[1]}")
    print(f"memory           {figures.kilobytes:+d} kB from the first round to the last")
    problems = figures.problems()
    print(*problems[:20], sep="\n")
    return 1 if problems or total != chosen.calls // chosen.every * chosen.every else 0


if __name__ == "__main__":
    sys.exit(main())

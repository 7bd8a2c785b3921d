"""What an agent service costs: a request, a follower, and what reaches two hundred of them.

    python benchmarks/bench_serving.py

The service is a process of its own under uvicorn with sessions in memory; its model is the fake of
`mbxai.testing`. Processor time and memory are those of the service.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from mbxai.testing import FakeOpenRouter

FOLLOWERS = 200
REQUESTS = 500
SERVICE = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from mbxai import AsyncAgentClient, AsyncOpenRouterClient
from mbxai.fastapi import agent_router, anonymous

class Answer(BaseModel):
    text: str

agent = AsyncAgentClient(AsyncOpenRouterClient(), human_in_loop=True)
app = FastAPI()
app.include_router(agent_router(agent, scope=anonymous, responses=[Answer]))
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", loop="asyncio")
"""


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    task = {"key": "a", "title": "Do it", "description": "Do it", "depends_on": []}
    task |= {"tools_needed": [], "estimated_complexity": 5}  # so that a person is asked
    plan = {"TodoList": {"tasks": [task], "estimated_total_time": "1 minute"}}
    with FakeOpenRouter(auto_overrides=plan) as fake:
        command = [sys.executable, "-c", SERVICE, str(port)]
        with subprocess.Popen(command, env=os.environ | fake.env()) as program:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/agent/sessions", program.pid
            program.terminate()


def processor_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=FOLLOWERS + 20)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session:
        yield session


async def waiting(http: aiohttp.ClientSession, url: str) -> tuple[str, str]:
    """Begin a session, and return its id and that of what it asks."""
    async with http.post(url, json={"prompt": "Do it"}) as answer:
        agent_id: str = (await answer.json())["agent_id"]
    while True:
        async with http.get(f"{url}/{agent_id}") as answer:
            if asked := (await answer.json())["interactions"]:
                return agent_id, asked[0]["id"]
        await asyncio.sleep(0.02)


async def follow(http: aiohttp.ClientSession, address: str, opened: asyncio.Semaphore) -> int:
    count = 0
    async with http.get(address) as answer:
        async for line in answer.content:
            count += line.startswith(b"id:")
            if b"human_requested" in line:
                opened.release()
    return count


async def measure(url: str, pid: int) -> None:
    async with client() as http:
        agent_id, asked = await waiting(http, url)
        before, began = processor_ms(pid), time.perf_counter()
        for _ in range(REQUESTS):
            async with http.get(f"{url}/{agent_id}") as answer:
                await answer.read()
        wall = 1000 * (time.perf_counter() - began) / REQUESTS
        print(f"state, ms: {wall:.2f} (CPU {(processor_ms(pid) - before) / REQUESTS:.2f})")

        before, memory, began = processor_ms(pid), memory_kb(pid), time.perf_counter()
        opened = asyncio.Semaphore(0)
        address = f"{url}/{agent_id}/events"
        readers = [asyncio.create_task(follow(http, address, opened)) for _ in range(FOLLOWERS)]
        for _ in readers:
            await opened.acquire()
        taken = 1000 * (time.perf_counter() - began)
        print(f"{FOLLOWERS} followers have all so far after, ms: {taken:.0f}")
        grown = (memory_kb(pid) - memory) / FOLLOWERS
        print(f"memory of one, KB: {grown:.0f}")
        begun = time.perf_counter()
        body = {"interaction_id": asked, "response_type": "decision", "decision": "proceed"}
        async with http.post(f"{url}/{agent_id}/responses", json=body) as answer:
            answer.raise_for_status()
        counts = await asyncio.gather(*readers)
        print(f"answer to the end of the last, ms: {1000 * (time.perf_counter() - begun):.0f}")
        spent = processor_ms(pid) - before
        print(f"an event to one follower, CPU us: {1000 * spent / sum(counts):.0f}")
        assert len(set(counts)) == 1, counts


def main() -> None:
    with service() as (url, pid):
        asyncio.run(measure(url, pid))


if __name__ == "__main__":
    main()

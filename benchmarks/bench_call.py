"""What a call costs in processor time of this process, against a server in a process of its own.

python benchmarks/bench_call.py
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection

import httpx

from mbxai import AsyncOpenRouterClient, OpenRouterClient

ROUNDS = 4
CALLS = 1000
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
BODY = {"model": "openai/gpt-4.1", "messages": MESSAGES}
ANSWER = {
    "id": "gen-1",
    "object": "chat.completion",
    "created": 1,
    "model": "openai/gpt-4.1",
    "provider": "OpenAI",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "native_finish_reason": "stop",
            "message": {"role": "assistant", "content": "Paris. " * 40},
        }
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 80, "total_tokens": 92, "cost": 0.0007},
}


class Server(asyncio.Protocol):
    """Answers every request with the same completion and keeps the connection."""

    payload = json.dumps(ANSWER).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(payload),
        payload,
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            at = head.index(b"content-length:") + len(b"content-length:")
            length = int(head[at:].split(b"\r\n", 1)[0])
            if len(self.received) < end + 4 + length:
                return
            self.received = self.received[end + 4 + length :]
            self.transport.write(self.reply)


def serve(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def spend(call: Callable[[], Awaitable[object]], in_flight: int) -> float:
    """Processor microseconds for each call."""
    left = iter(range(CALLS))

    async def worker() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(call() for _ in range(in_flight)))  # opens the connections
    started = time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return (time.process_time() - started) / CALLS * 1e6


async def measure_async(url: str, best: dict[str, float]) -> None:
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with (
        httpx.AsyncClient(limits=limits) as plain,
        AsyncOpenRouterClient("sk-or-benchmark", base_url=url) as client,
    ):
        post = partial(plain.post, url + "/chat/completions", json=BODY)

        async def stock() -> object:
            return (await post()).json()

        ours = partial(client.create, MESSAGES, model="openai/gpt-4.1")
        for in_flight in (1, 128):
            keep(best, f"httpx.AsyncClient, {in_flight} in flight", await spend(stock, in_flight))
            keep(
                best, f"AsyncOpenRouterClient, {in_flight} in flight", await spend(ours, in_flight)
            )


def measure_blocking(url: str, best: dict[str, float]) -> None:
    def spend_blocking(call: Callable[[], object]) -> float:
        call()
        started = time.process_time()
        for _ in range(CALLS):
            call()
        return (time.process_time() - started) / CALLS * 1e6

    with httpx.Client() as plain, OpenRouterClient("sk-or-benchmark", base_url=url) as client:
        post = partial(plain.post, url + "/chat/completions", json=BODY)
        keep(best, "httpx.Client", spend_blocking(lambda: post().json()))
        ours = partial(client.create, MESSAGES, model="openai/gpt-4.1")
        keep(best, "OpenRouterClient", spend_blocking(ours))


def keep(best: dict[str, float], name: str, microseconds: float) -> None:
    best[name] = min(best.get(name, float("inf")), microseconds)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/api/v1"
    best: dict[str, float] = {}
    for _ in range(ROUNDS):  # in turns, so that a busy moment does not hit one case alone
        asyncio.run(measure_async(url, best))
        measure_blocking(url, best)
    server.terminate()
    server.join()
    print("| call | CPU microseconds |")
    print("|---|---|")
    for name, microseconds in best.items():
        print(f"| {name} | {microseconds:.0f} |")


if __name__ == "__main__":
    main()

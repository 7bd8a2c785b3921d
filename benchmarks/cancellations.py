"""Cancels 10 000 calls on a pool of 10 connections and sees whether the next calls succeed.

    python benchmarks/cancellations.py
    python benchmarks/cancellations.py --client httpx --count 1000

Half of them are streams. They end by `Task.cancel`, `asyncio.timeout`, `asyncio.wait_for` and a
scope of anyio, 0 to 30 ms after their start, when the server's answer may arrive as well, or while
they wait for one of the ten connections.
"""

import argparse
import asyncio
import functools
import importlib
import itertools
import json
import random
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from server import Server

CONNECTIONS = 10
IN_FLIGHT = 40
MOST_SECONDS = 0.03
MODELS = ("bench/call-5", "bench/stream-20-1", "bench/call-15", "bench/stream-5-5")

Work = Callable[[], Awaitable[None]]


async def by_task(work: Work, seconds: float) -> bool:
    task = asyncio.ensure_future(work())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait((task,))
    if task.cancelled():
        return True
    task.result()
    return False


async def by_timeout(work: Work, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await work()
    except TimeoutError:
        return True
    return False


async def by_wait_for(work: Work, seconds: float) -> bool:
    try:
        await asyncio.wait_for(work(), seconds)
    except TimeoutError:
        return True
    return False


async def by_scope(work: Work, seconds: float) -> bool:
    with anyio.move_on_after(seconds) as scope:
        await work()
    return scope.cancelled_caught


MANNERS = (by_task, by_timeout, by_wait_for, by_scope)


async def cancel_all(client: Any, count: int) -> tuple[int, int]:
    """Cancel that many calls; how many were tried, and how many failed with another error."""
    chance = random.Random(1)
    numbers = itertools.count()
    cancelled = failed = 0

    async def keep_cancelling() -> None:
        nonlocal cancelled, failed
        while cancelled < count and failed < CONNECTIONS:
            number = next(numbers)
            model = MODELS[number % len(MODELS)]
            manner = MANNERS[number // len(MODELS) % len(MANNERS)]
            try:
                was_cancelled = await manner(
                    functools.partial(use, client, model), chance.random() * MOST_SECONDS
                )
                cancelled += was_cancelled
            except Exception as error:  # noqa: BLE001  (any library's)
                failed += 1
                print(f"{type(error).__name__}: {error}", file=sys.stderr)

    await asyncio.gather(*(keep_cancelling() for _ in range(IN_FLIGHT)))
    return next(numbers), failed


async def use(client: Any, model: str) -> None:
    if "stream" not in model:
        await client.call(model)
        return
    chunks = client.stream(model)
    try:
        async for _ in chunks:
            pass
    finally:
        await chunks.aclose()


async def main(name: str, count: int) -> int:
    with Server() as server:
        module = importlib.import_module(f"clients.{name}_client")
        client = module.Client(server.url, max_connections=CONNECTIONS)
        began = time.monotonic()
        tried, failed = await cancel_all(client, count)
        seconds = time.monotonic() - began
        await asyncio.sleep(0.1)
        left = stats(server)
        is_alive = await succeeds(lambda: client.call("bench/call"))
        stats(server)  # the most requests at a time are counted from here
        together = [succeeds(lambda: client.call("bench/call-500")) for _ in range(CONNECTIONS)]
        successes = sum(await asyncio.gather(*together))
        usable = stats(server)["most_requests"]
        await client.close()
        await asyncio.sleep(0.1)
        still_open = stats(server)["open_connections"]
    print(f"| after {count} cancellations on a pool of {CONNECTIONS} | {name} |\n|---|---|")
    print(f"| calls begun | {tried} |\n| seconds | {seconds:.1f} |")
    print(f"| other failures | {failed} |")
    print(f"| open connections afterwards | {left['open_connections']} |")
    print(f"| the next call succeeds | {'yes' if is_alive else 'no'} |")
    print(f"| dead places in the pool | {CONNECTIONS - usable} |")
    print(f"| {CONNECTIONS} calls at once that succeed | {successes} |")
    print(f"| open connections when the client is closed | {still_open} |")
    is_whole = is_alive and not failed and not still_open
    return 0 if is_whole and (successes, usable) == (CONNECTIONS, CONNECTIONS) else 1


async def succeeds(call: Work) -> bool:
    try:
        async with asyncio.timeout(10):
            await call()
    except Exception as error:  # noqa: BLE001  (any library's)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def stats(server: Server) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.url}/stats") as answer:
        return json.load(answer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="See what cancellations do to a pool.")
    parser.add_argument("--client", default="mbxai", choices=("mbxai", "httpx"))
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.client, options.count)))

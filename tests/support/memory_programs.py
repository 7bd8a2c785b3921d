"""What a call costs in memory, measured in a Python process of its own."""

import json
from dataclasses import dataclass
from typing import Any

from support.scripts import run_script

MIB = 1024 * 1024

_PROGRAM = """
import asyncio, json, resource, sys, time
from mbxai.errors import MBXAIError
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient

kind, url, count, pause, options = json.loads(sys.argv[1])
user = [{"role": "user", "content": "hi"}]
made = {"max_retries": 0, "timeout": 30.0, **options.pop("client", {})}
stream = options.get("stream", False)

def peak():
    try:
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def forget():
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        pass

async def read_async(client, is_slow):
    reply = await client.create(user, **options)
    if not stream:
        return len(reply.text)
    size = 0
    async for chunk in reply:
        if is_slow and not size:
            await asyncio.sleep(pause)
        size += len(chunk.choices[0].delta.content or "")
    return size

def read_sync(client, is_slow):
    reply = client.create(user, **options)
    if not stream:
        return len(reply.text)
    size = 0
    for chunk in reply:
        if is_slow and not size:
            time.sleep(pause)
        size += len(chunk.choices[0].delta.content or "")
    return size

def tell(before, began, outcome):
    print(json.dumps([outcome, peak() - before, time.monotonic() - began]))

async def run_async():
    async with AsyncOpenRouterClient("k", "a/b", url, **made) as client:
        for _ in range(count):
            await read_async(client, False)
        forget()
        before, began = peak(), time.monotonic()
        try:
            outcome = str(await read_async(client, True))
        except MBXAIError as error:
            outcome = type(error).__name__ + ": " + str(error)
        tell(before, began, outcome)

def run_sync():
    with OpenRouterClient("k", "a/b", url, **made) as client:
        for _ in range(count):
            read_sync(client, False)
        forget()
        before, began = peak(), time.monotonic()
        try:
            outcome = str(read_sync(client, True))
        except MBXAIError as error:
            outcome = type(error).__name__ + ": " + str(error)
        tell(before, began, outcome)

asyncio.run(run_async()) if kind == "async" else run_sync()
"""


@dataclass(frozen=True)
class Measured:
    """How one call went.

    Attributes:
        outcome: Name and text of the error, or the number of characters of the answer.
        growth: Bytes by which the most memory in use exceeded that of the calls before it.
        seconds: How long it took.
    """

    outcome: str
    growth: int
    seconds: float


def measured(
    kind: str, url: str, *, warm_up: int = 3, pause: float = 0.0, **options: Any
) -> Measured:
    """Make some calls, then one whose memory counts; warnings are errors.

    Args:
        kind: Of the client.
        url: Of a server whose script begins with as many harmless answers as there are calls
            before the one that counts.
        warm_up: How many those are.
        pause: Seconds for which the reader of a stream sleeps after its first chunk.
        **options: Of the call; `client` holds those of the client.
    """
    told = run_script(_PROGRAM, json.dumps([kind, url, warm_up, pause, options])).check()
    return Measured(*json.loads(told))

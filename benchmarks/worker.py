"""Measures one client in one scenario, in a process of its own; `run.py` starts it.

    python benchmarks/worker.py CLIENT SCENARIO URL [TOOL_LOOPS]

prints one JSON object of figures. What the client hands back is checked, so that one that skips
work fails.
"""

import asyncio
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from answers import PIECE, REPORT, TEXT
from lookups import CALLS_A_ROUND, ROUNDS, RUNS, completed

SLOW_CLIENTS = frozenset({"openrouter", "pydantic_ai", "openai_agents"})
"""They get less to do, so that a run ends within minutes; figures are per call or per chunk."""

IMPORTS = {
    "mbxai": ("import mbxai", "from mbxai import AsyncOpenRouterClient as C; C('sk')"),
    "httpx": ("import httpx", "import httpx; httpx.AsyncClient()"),
    "openai": ("import openai", "import openai; openai.AsyncOpenAI(api_key='sk')"),
    "openrouter": ("import openrouter", "import openrouter; openrouter.OpenRouter(api_key='sk')"),
    "pydantic_ai": (
        "import pydantic_ai",
        (
            "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIChatModel;"
            "from pydantic_ai.providers.openai import OpenAIProvider;"
            "Agent(OpenAIChatModel('m', provider=OpenAIProvider(api_key='sk')))"
        ),
    ),
}

Figures = dict[str, float]


def expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise SystemExit(f"{what}: expected {str(wanted)[:80]!r}, got {str(got)[:80]!r}")


async def call(client: Any, calls: int) -> Figures:
    await _calls(client, "bench/call", 30)
    wall, cpu = time.perf_counter(), time.process_time()
    await _calls(client, "bench/call", calls)
    spent = time.process_time() - cpu
    return {
        "cpu_us": spent / calls * 1e6,
        "wall_us": (time.perf_counter() - wall) / calls * 1e6,
    }


async def typed(client: Any, calls: int) -> Figures:
    for _ in range(5):
        await client.typed("bench/typed")
    cpu = time.process_time()
    answers = [await client.typed("bench/typed") for _ in range(calls)]
    spent = time.process_time() - cpu
    for answer in answers:
        expect("the typed answer", answer.model_dump(), REPORT)
    return {"cpu_us": spent / calls * 1e6}


async def tools(run: Callable[[str], Awaitable[str | None]], loops: int, text: str) -> Figures:
    """Whole tool loops, one after the other."""
    warm_up = 5
    times: list[float] = []
    cpu = 0.0
    for number in range(warm_up + loops):
        if number == warm_up:
            cpu = time.process_time()
        began = time.perf_counter()
        expect("the answer", await run("bench/tools"), text)
        times.append((time.perf_counter() - began) * 1000)
    spent = time.process_time() - cpu
    _check_runs(warm_up + loops)
    return {
        "wall_ms": statistics.median(times[warm_up:]),
        "p90_ms": statistics.quantiles(times[warm_up:], n=10)[-1],
        "cpu_ms": spent / loops * 1000,
    }


def _check_runs(loops: int) -> None:
    """Every tool ran once a round with its arguments, at the same time as the others."""
    wanted = [{name: completed(name, given) for name, given in calls} for calls in ROUNDS] * loops
    expect("runs of tools", len(RUNS), len(wanted) * CALLS_A_ROUND)
    for number, calls in enumerate(wanted):
        runs = RUNS[number * CALLS_A_ROUND :][:CALLS_A_ROUND]
        expect("the calls of a round", {run.name: run.arguments for run in runs}, calls)
        first_end, last_begin = min(run.ended for run in runs), max(run.began for run in runs)
        expect("the calls of a round overlap", last_begin < first_end, True)


async def first_call(client: Any) -> Figures:
    await _calls(client, "bench/call", 1)
    return {"cpu_ms": time.process_time() * 1000}


async def stream(client: Any, manner: str, streams: int) -> Figures:
    await _read(client, "bench/stream-100-one", 100)
    cpu = time.process_time()
    for _ in range(streams):
        await _read(client, f"bench/stream-2000-{manner}", 2000)
    return {"cpu_us": (time.process_time() - cpu) / streams / 2000 * 1e6}


async def paced(client: Any) -> Figures:
    await _read(client, "bench/stream-100-one", 100)
    cpu = time.process_time()
    await asyncio.gather(*(_read(client, "bench/stream-100-5", 100) for _ in range(20)))
    return {"cpu_us": (time.process_time() - cpu) / 2000 * 1e6}


async def many_streams(client: Any, streams: int, chunks: int) -> Figures:
    await _read(client, "bench/stream-100-one", 100)
    model = f"bench/stream-{chunks}-sep"
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_read(client, model, chunks) for _ in range(streams)))
    spent, elapsed = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "per_second": streams * chunks / elapsed,
        "cpu_us": spent / streams / chunks * 1e6,
    }


async def first_chunk(client: Any, streams: int) -> Figures:
    model = "bench/stream-20-one"
    firsts: list[float] = []
    for _ in range(streams + 5):
        began = time.perf_counter()
        chunks = client.stream(model)
        await anext(chunks)
        firsts.append(time.perf_counter() - began)
        expect("further chunks", len([text async for text in chunks]), 19)
    return {"wall_us": statistics.median(firsts[5:]) * 1e6}


async def load(client: Any, model: str, calls: int, in_flight: int) -> Figures:
    """Calls per second of warm connections."""
    await asyncio.gather(*(_calls(client, model, 1) for _ in range(in_flight)))
    return await _burst(client, model, calls, in_flight)


async def cold_load(client: Any, calls: int) -> Figures:
    """All at once after a single call, so that nearly each opens a connection."""
    await _calls(client, "bench/call", 1)
    figures = await _burst(client, "bench/call", calls, calls)
    return {**figures, "memory_mb": _resident_mb()}


async def _burst(client: Any, model: str, calls: int, in_flight: int) -> Figures:
    left = iter(range(calls))
    latencies: list[float] = []

    async def work() -> None:
        for _ in left:
            began = time.perf_counter()
            await _calls(client, model, 1)
            latencies.append(time.perf_counter() - began)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    spent, elapsed = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "per_second": calls / elapsed,
        "p99_ms": statistics.quantiles(latencies, n=100)[-1] * 1000,
        "cpu_us": spent / calls * 1e6,
    }


async def _calls(client: Any, model: str, calls: int) -> None:
    for _ in range(calls):
        expect("the answer", await client.call(model), TEXT)


async def _read(client: Any, model: str, chunks: int) -> None:
    got = characters = 0
    async for text in client.stream(model):
        got += 1
        characters += len(text)
    expect("chunks", (got, characters), (chunks, chunks * len(PIECE)))


def blocking_call(client: Any, calls: int) -> Figures:
    for _ in range(30):
        client.call("bench/call")
    cpu = time.process_time()
    for _ in range(calls):
        expect("the answer", client.call("bench/call"), TEXT)
    return {"cpu_us": (time.process_time() - cpu) / calls * 1e6}


def blocking_stream(client: Any, streams: int) -> Figures:
    cpu = 0.0
    for number in range(streams + 1):
        if number == 1:
            cpu = time.process_time()
        pieces = [len(text) for text in client.stream("bench/stream-2000-sep")]
        expect("chunks", (len(pieces), sum(pieces)), (2000, 2000 * len(PIECE)))
    return {"cpu_us": (time.process_time() - cpu) / streams / 2000 * 1e6}


def imports(name: str) -> Figures:
    """Processor time of a whole Python process, its start included."""
    figures: Figures = {}
    environment = {**os.environ, "OPENROUTER_API_KEY": "sk-or-benchmark"}
    for metric, statement in zip(("import_ms", "client_ms"), IMPORTS[name], strict=True):
        code = f"import time; {statement}; print(time.process_time() * 1000)"
        times: list[float] = []
        for _ in range(4):  # the first one also writes and reads what the caches lack
            shown = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, check=True, env=environment
            )
            times.append(float(shown.stdout))
        figures[metric] = statistics.median(times[1:])
    return figures


def _resident_mb() -> float:
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # the peak, in bytes on macOS


def scenarios(name: str, loops: int) -> dict[str, Callable[[Any], Awaitable[Figures]]]:
    is_slow = name in SLOW_CLIENTS
    load_calls = 512 if name == "httpx" else 128 if name in SLOW_CLIENTS else 1024

    def some(count: int, slow: int) -> int:
        return slow if is_slow else count

    return {
        "call": lambda client: call(client, some(500, 50)),
        "stream": lambda client: stream(client, "one", some(5, 1)),
        "stream-sep": lambda client: stream(client, "sep", some(5, 1)),
        "paced": paced,
        "streams200": lambda client: many_streams(client, *((40, 50) if is_slow else (200, 200))),
        "first-chunk": lambda client: first_chunk(client, some(100, 20)),
        "typed": lambda client: typed(client, some(150, 20)),
        "tools": lambda client: tools(client.use_tools, loops, TEXT),
        "tools-stream": lambda client: tools(client.stream_tools, loops, PIECE * 20),
        "load128": lambda client: load(client, "bench/call", load_calls, 128),
        "load128-50": lambda client: load(client, "bench/call-50", load_calls, 128),
        "load1000": lambda client: cold_load(client, 1000),
        "first-call": first_call,
    }


def blocking_scenarios(name: str) -> dict[str, Callable[[Any], Figures]]:
    is_slow = name in SLOW_CLIENTS
    return {
        "blocking-call": lambda client: blocking_call(client, 50 if is_slow else 500),
        "blocking-stream": lambda client: blocking_stream(client, 1 if is_slow else 5),
    }


async def measure(client: Any, scenario: Callable[[Any], Awaitable[Figures]]) -> Figures:
    try:
        return await scenario(client)
    finally:
        await client.close()


def main(name: str, scenario: str, url: str, loops: str = "40") -> None:
    if scenario == "import":
        figures = imports(name)
    else:
        module = importlib.import_module(f"clients.{name}_client")
        if blocking := blocking_scenarios(name).get(scenario):
            client = module.BlockingClient(url)
            figures = blocking(client)
            client.close()
        else:
            figures = asyncio.run(
                measure(module.Client(url), scenarios(name, int(loops))[scenario])
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs one agent through the plans in a process of its own; `bench_plans.py` starts it.

    python -m plans.worker AGENT PORT LATENCY_MS AT_ONCE EVERY    run in `benchmarks`

prints one JSON object: a row of figures for each plan, and the processor time of all. Every answer
is checked, and that each task called its tool once, so an agent that skips work fails.
"""

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from plans.graphs import Plan, plans
from plans.oracle import Record, fetched_records
from plans.tools import CALLS

AGENTS: dict[str, tuple[str, str, dict[str, Any]]] = {  # Any: the agent's options
    "mbxai": ("mbxai_agent", "", {}),
    "mbxai-merged": ("mbxai_agent", "", {"planning": "merged"}),
    "mbxai-filled": ("mbxai_agent", "-filled", {"planning": "merged"}),
    "sequential": ("sequential_agent", "", {}),
    "pydantic_ai": ("pydantic_ai_agent", "", {}),
    "langgraph": ("langgraph_agent", "", {}),
}
"""Agent to its module, the oracle's manner, and options."""

WARM_UP_PLANS = 3
RUN_SECONDS = 120.0


class Row(NamedTuple):
    """What one plan cost.

    Attributes:
        rounds: Most model calls that came one after the other.
        calls: All model calls.
        wall: Seconds from the question to the checked answer.
        sent_bytes: Bodies of all requests.
        serving: Seconds in which at least one request was with the server.
    """

    case: str
    rounds: int
    calls: int
    wall: float
    sent_bytes: int
    serving: float


def longest_chain(records: Sequence[Record]) -> int:
    """Return how many requests came one after the other at most: each began after one had ended."""
    chain, end = 0, 0.0
    for record in sorted(records, key=lambda record: record.answered):
        if record.arrived >= end:
            chain, end = chain + 1, record.answered
    return chain


def time_covered(records: Sequence[Record]) -> float:
    """Return the seconds in which at least one of the requests was with the server."""
    covered, end = 0.0, 0.0
    for record in sorted(records):
        covered += max(0.0, record.answered - max(record.arrived, end))
        end = max(end, record.answered)
    return covered


async def measure(agent: Any, chosen: Sequence[Plan], at_once: int, stagger: float) -> list[float]:
    """Run all plans, so many at the same time, and return the seconds of each.

    Args:
        agent: The agent.
        chosen: The plans.
        at_once: How many run at the same time.
        stagger: Seconds over which the first ones begin, so that they do not stay in step.
    """
    walls = [0.0] * len(chosen)
    left: Iterator[tuple[int, Plan]] = iter(enumerate(chosen))

    async def work(place: int) -> None:
        await asyncio.sleep(stagger * place / at_once)
        for number, plan in left:
            began = time.perf_counter()
            async with asyncio.timeout(RUN_SECONDS):
                values = await agent.run(plan)
            walls[number] = time.perf_counter() - began
            expected = [f"{key}={value}" for key, value in plan.values().items()]
            if values != expected:
                raise SystemExit(f"{plan.case}: expected {expected}, got {values}")

    async with asyncio.TaskGroup() as group:
        for place in range(at_once):
            group.create_task(work(place))
    return walls


def check_tool_calls(chosen: Sequence[Plan]) -> None:
    """Fail unless each task of each plan called its tool once."""
    expected = sorted((plan.case, key) for plan in chosen for key in plan.needs)
    if sorted(CALLS) != expected:
        raise SystemExit(f"{len(CALLS)} calls of the tool, not {len(expected)} different ones")


async def main(name: str, port: int, latency: str, at_once: int, every: int) -> None:
    module, manner, options = AGENTS[name]
    made = importlib.import_module(f"plans.agents.{module}").Agent
    agent = made(f"http://127.0.0.1:{port}/api/v1", f"plans/{latency}{manner}", **options)
    everything = list(plans().values())
    # Imports, connections and schemas, once.
    await measure(agent, everything[:WARM_UP_PLANS], 1, 0.0)
    fetched_records(port)
    CALLS.clear()
    chosen, cpu = everything[::every], time.process_time()
    walls = await measure(agent, chosen, at_once, float(latency) / 1000)
    cpu = time.process_time() - cpu
    check_tool_calls(chosen)
    await agent.close()
    records = fetched_records(port)
    rows = [
        Row(
            plan.case,
            longest_chain(records[plan.case]),
            len(records[plan.case]),
            wall,
            sum(record.size_bytes for record in records[plan.case]),
            time_covered(records[plan.case]),
        )
        for plan, wall in zip(chosen, walls, strict=True)
    ]
    print(json.dumps({"rows": rows, "cpu": cpu}))


if __name__ == "__main__":
    name, port, latency, at_once, every = sys.argv[1:]
    asyncio.run(main(name, int(port), latency, int(at_once), int(every)))

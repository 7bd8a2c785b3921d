"""A program that carries out orders, each in a child of its own that may be killed.

    python -m effects.worker FRAMEWORK    run in `benchmarks`

reads one order a line, forks a child for it, which saves the time of the imports, and prints two
lines: the child's id, and when it has ended what came of each session (none if it was killed).
"""

import asyncio
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import effects.oracle as oracle
from effects.rest import Agent
from effects.script import prompt_of
from effects.tools import Till

Json = dict[str, Any]  # Any: JSON


async def carried_out(agent: Agent, order: Json) -> list[Json]:
    """Do what an order says with each of its sessions, and return what came of each."""
    return [outcome for case in order["cases"] for outcome in await _one(agent, case, order)]


async def _one(agent: Agent, case: str, order: Json) -> list[Json]:
    if order["has_gate"]:
        await asyncio.to_thread(oracle.pass_gate, order["url"], case)
    doing = [_outcome(agent, case, order) for _ in range(order["times"])]
    return list(await asyncio.gather(*doing))


async def _outcome(agent: Agent, case: str, order: Json) -> Json:
    """Return how a session rests, or the type of what was raised."""
    began = time.perf_counter()
    prompt = prompt_of(case, order["count"])
    try:
        async with asyncio.timeout(order["seconds"]):
            if order["do"] == "answer":
                rest = await agent.answer(case)
            elif order["do"] == "resume":
                rest = await agent.resume(case, prompt)
            else:
                rest = await agent.start(case, prompt)
    except Exception as error:  # noqa: BLE001  # whatever a framework raises is its outcome
        detail = f"{type(error).__name__}: {error}"[:300]
        return {"case": case, "state": type(error).__name__, "told": 0, "detail": detail}
    seconds = time.perf_counter() - began
    return {"case": case, "state": rest.state, "told": rest.told, "seconds": seconds}


async def child(made: Any, order: Json) -> list[Json]:  # Any: an agent's class
    """Make an agent and carry an order out."""
    folder = Path(order["folder"])
    stop_at = order["stop_at"]
    till = Till(folder / "till", tuple(stop_at) if stop_at else None)
    options = {"approval": order["approval"]}
    if order["store"]:
        options["store"] = order["store"]
    agent: Agent = made(order["url"], order["model"], folder, till, **options)
    await agent.open()
    try:
        return await carried_out(agent, order)
    finally:
        await agent.close()


def main(framework: str) -> None:
    made = importlib.import_module(f"effects.{framework}_agent").Agent
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reading)
            code = 1
            try:
                said = json.dumps(asyncio.run(child(made, order)))
                with os.fdopen(writing, "w") as pipe:
                    pipe.write(said)
                code = 0
            except BaseException:  # noqa: BLE001  # what Python itself would do with it
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        print(pid, flush=True)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        print(said or "[]", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""One agent run that meets everything: tasks side by side, tools of each effect, an approval.

The plan is a diamond. `look` only reads, `charge` and `ship` must happen once, `note` may be
repeated under its key; `ship` blocks and needs a person's word. What the tools did is in a file,
which outlives the process.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from mbxai import (
    AgentResponse,
    AsyncAgentClient,
    AsyncToolClient,
    HumanInLoopResponse,
    SessionNotFoundError,
)
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply
from mbxai.tools import ToolContext

PROMPT = "Deliver the order"
CALLS = {"look": "root", "charge": "left", "ship": "right", "note": "join"}
"""Which task calls which tool."""

UNKNOWN = re.compile("unknown|not known", re.IGNORECASE)


class Report(BaseModel):
    summary: str


def _task(key: str, tool: str, *after: str) -> dict[str, Any]:
    return {
        "key": key,
        "title": f"The {key} part",
        "description": f"MARK-{key}",
        "depends_on": list(after),
        "tools_needed": [tool],
        "estimated_complexity": 1,
    }


PLAN = {
    "tasks": [
        _task("root", "look"),
        _task("left", "charge", "root"),
        _task("right", "ship", "root"),
        _task("join", "note", "left", "right"),
    ],
    "estimated_total_time": "1 minute",
}
OVERRIDES = {"TodoList": PLAN}


def script(fake: FakeOpenRouter, *, copies: int = 3) -> None:
    """Say what the model does; a step is there several times, as a call may be repeated."""
    steps: list[Any] = []
    for tool, key in CALLS.items():
        said = Match(tool=tool, contains=json.dumps({"item": key}))
        steps += [Reply(f"{key} is done", when=said)] * copies
    for tool, key in CALLS.items():
        calling = [{"name": tool, "arguments": json.dumps({"item": key})}]
        steps += [Reply(tool_calls=calling, when=Match(tool=tool, contains=f"MARK-{key}"))] * copies
    fake.script(*steps, Auto(times=None))


class Effects:
    """Tools that note in a file when they begin, when they have an effect, and when they end.

    `at` is called with the tool's name and the moment before that is noted.
    """

    def __init__(self, path: Path, at: Callable[[str], object] = str) -> None:
        self.path = path
        self.running = 0
        self._at = at
        self._lock = threading.Lock()  # guards `running`

    def register(self, client: AsyncToolClient) -> None:
        client.register_tool("look", "Look", self.look, effect="read")
        client.register_tool("charge", "Charge", self.charge)
        client.register_tool("ship", "Ship", self.ship, requires_approval=True)
        client.register_tool("note", "Note", self.note, effect="idempotent")

    async def look(self, item: str, context: ToolContext) -> str:
        return await self._work("look", context)

    async def charge(self, item: str, context: ToolContext) -> str:
        return await self._work("charge", context)

    def ship(self, item: str, context: ToolContext) -> str:
        with self._lock:
            self.running += 1
        try:
            self._note("ship", "begun", context)
            time.sleep(0.001)
            self._note("ship", "effect", context)
            time.sleep(0.001)
            self._note("ship", "ended", context)
        finally:
            with self._lock:
                self.running -= 1
        return "ship has happened"

    async def note(self, item: str, context: ToolContext) -> str:
        return await self._work("note", context)

    async def _work(self, name: str, context: ToolContext) -> str:
        self._note(name, "begun", context)
        await anyio.sleep(0)
        self._note(name, "effect", context)
        await anyio.sleep(0)
        self._note(name, "ended", context)
        return f"{name} has happened"

    def _note(self, name: str, moment: str, context: ToolContext) -> None:
        self._at(f"{name} {moment}")
        line = json.dumps({"tool": name, "moment": moment, "key": context.idempotency_key})
        with self.path.open("a") as file:
            file.write(line + "\n")

    def noted(self, tool: str, moment: str) -> list[str]:
        """Return the keys under which a tool came to a moment, in order."""
        if not self.path.exists():
            return []
        lines = map(json.loads, self.path.read_text().splitlines())
        return [one["key"] for one in lines if (one["tool"], one["moment"]) == (tool, moment)]


async def play(agent: AsyncAgentClient, agent_id: str) -> AgentResponse:
    """Run the story from wherever its session stands to the end, as an application would."""
    try:
        response = await agent.get_response(agent_id, Report)
    except SessionNotFoundError:
        response = await agent.agent(PROMPT, Report, agent_id=agent_id)
    for _ in range(10):
        if response.is_complete():
            return response
        answers = [
            HumanInLoopResponse(
                interaction_id=request.id,
                response_type="decision",
                # Nobody knows what a call did that was cut off, and nobody tries it again.
                decision="approve" if "approve" in request.options else "skip",
            )
            for request in response.human_interaction_requests
        ]
        response = await agent.agent("", Report, agent_id=agent_id, human_response=answers)
    raise AssertionError(f"The run never ends: {response.state}")


async def check(effects: Effects, fake: FakeOpenRouter, *, everything: bool = False) -> None:
    """Assert that no effect was doubled, and that the model knows of each that is uncertain.

    With `everything`, nothing was interrupted, so each effect must have happened.
    """
    with anyio.fail_after(5):
        while effects.running:  # a thread cannot be stopped
            await anyio.sleep(0.001)
    bodies = [request.json for request in fake.requests()]
    for tool in ("charge", "ship"):
        begun, done = effects.noted(tool, "begun"), effects.noted(tool, "effect")
        assert len(begun) <= 1, f"{tool} was run {len(begun)} times"
        told = results_of(bodies, tool)
        assert told, f"The model never learnt what became of {tool}"
        if not done or everything:
            is_unknown = all(UNKNOWN.search(text) for text in told)
            assert is_unknown != everything, f"{tool}: {told}"
        if not any(UNKNOWN.search(text) for text in told):
            assert len(done) == 1
            assert all("has happened" in text for text in told)
    for tool in ("look", "note"):
        assert effects.noted(tool, "ended")
        assert len(set(effects.noted(tool, "begun"))) == 1, f"{tool} has another key when repeated"


def results_of(bodies: list[dict[str, Any]], tool: str) -> list[str]:
    """Return what the model was told of a tool's calls, once a request."""
    told: list[str] = []
    for body in bodies:
        ids = {
            call["id"]
            for message in body["messages"]
            for call in message.get("tool_calls") or ()
            if call["function"]["name"] == tool
        }
        told += [str(m["content"]) for m in body["messages"] if m.get("tool_call_id") in ids]
    return told


def kill_self() -> None:
    """End this process at once, as `kill -9` does."""
    os.kill(os.getpid(), 9)

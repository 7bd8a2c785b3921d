"""The stage of a scripted story: a fake OpenRouter, a place for sessions, programs, effects."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from support.agent_story_worlds import Effects

from mbxai.testing import Auto, FakeOpenRouter, Match, RecordedRequest, Reply, Step

TESTS = Path(__file__).resolve().parents[1]
LIMIT = 30.0


class House:
    """What the stories of a file share: a fake OpenRouter, and the program loaded and waiting."""

    def __init__(self) -> None:
        self.fake = FakeOpenRouter()
        self._open = ExitStack()
        self._path = ""

    def __enter__(self) -> Self:
        """Start both."""
        with ExitStack() as opened:
            opened.enter_context(self.fake)
            folder = opened.enter_context(tempfile.TemporaryDirectory())
            self._path = str(Path(folder) / "s")
            command = [sys.executable, "-W", "error", "-m", "support.agent_story_program"]
            program = opened.enter_context(
                subprocess.Popen(
                    [*command, self._path],
                    env={**os.environ, "PYTHONPATH": str(TESTS)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert program.stdin is not None
            opened.callback(program.stdin.close)
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """End both."""
        self._open.close()

    def stage(self, folder: Path, world: str, *script: Step, **order: Any) -> "Stage":
        """A new story; the first two steps of the agent are answered by themselves."""
        self.fake.reset()
        names = ("RequirementAnalysis", "ToolAnalysis")
        self.fake.script(*(Auto(times=None, when=Match(schema=name)) for name in names), *script)
        return Stage(self, folder, world, **order)

    def link(self) -> socket.socket:
        """A connection to a new process."""
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(LIMIT)
        link.connect(self._path)
        return link


class Program:
    """A process that carries out one order."""

    def __init__(self, link: socket.socket, order: dict[str, Any]) -> None:
        self._link = link
        self._talk = link.makefile("rw")
        self.pid = int(self._talk.readline())
        self.log = Path(order["log"])
        self._talk.write(f"{json.dumps(order)}\n")
        self._talk.flush()

    def end(self) -> dict[str, Any]:
        """Wait until it has told its outcome and is gone."""
        with self._link, self._talk:
            lines = self._talk.readlines()
        assert lines, self.log.read_text()[-4000:]
        return json.loads(lines[0])

    def kill(self) -> None:
        """Kill it at once, wherever it is, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        with self._link, self._talk:
            assert self._talk.readlines() == []


class Stage:
    """One story: a place for its sessions, effects and logs, and what its processes share.

    Attributes:
        order: What is the same in all orders.
    """

    def __init__(self, house: House, folder: Path, world: str, **order: Any) -> None:
        self.fake = house.fake
        self.folder = folder
        self.effects = Effects(folder / "effects.txt")
        self.order: dict[str, Any] = {
            "kind": "async",
            "base_url": self.fake.base_url,
            "sessions": str(folder / "sessions.sqlite"),
            "world": world,
            "effects": str(self.effects.path),
            "log": str(folder / "log.txt"),
            **order,
        }
        self._house = house

    def begin(self, **order: Any) -> Program:
        """Start a process with an order; see `agent_story_program.Order`."""
        return Program(self._house.link(), {**self.order, **order})

    def run(self, **order: Any) -> dict[str, Any]:
        """Start a process with an order, and wait for its outcome."""
        return self.begin(**order).end()

    def log(self) -> str:
        """What the processes logged at DEBUG."""
        return (self.folder / "log.txt").read_text()

    def prompts(self) -> list[str]:
        """What models were sent, oldest first."""
        return [json.dumps(request.body) for request in self.fake.requests()]

    def steps(self) -> list[str | None]:
        """The schema that each request's answer had to fit; None for the rounds of tasks."""
        return [request.schema_name for request in self.fake.requests()]

    def task_requests(self, marker: str) -> list[RecordedRequest]:
        """The requests of the one task whose description holds the marker."""
        return [
            request
            for request in self.fake.requests()
            if request.schema_name is None and marker in json.dumps(request.body)
        ]


def task(
    key: str, *after: str, tools: Sequence[str] = (), complexity: int = 1, title: str = ""
) -> dict[str, Any]:
    """A task of a plan; `do-KEY.` stands in its own conversation, and in no other."""
    return {
        "key": key,
        "title": title or f"Part {key}",
        "description": f"Please do-{key}. Say how it went.",
        "depends_on": list(after),
        "tools_needed": list(tools),
        "estimated_complexity": complexity,
    }


def plan(*tasks: dict[str, Any], **more: Any) -> Reply:
    """The answer to the planning step."""
    value = {"tasks": list(tasks), "estimated_total_time": "1 minute", **more}
    return Reply(json=value, when=Match(schema="TodoList"))


def says(key: str, text: str) -> Reply:
    """What the model says next in a task's conversation."""
    return Reply(text, when=Match(contains=f"do-{key}."))


def calls(
    key: str, tool: str, /, *, usage: Mapping[str, object] = {}, **arguments: object
) -> Reply:
    """The tool that the model calls next in a task's conversation, and what the answer costs."""
    call = {"name": tool, "arguments": arguments}
    return Reply(tool_calls=[call], usage=usage, when=Match(contains=f"do-{key}."))


def evaluated(*, achieved: bool, missing: Sequence[str] = ()) -> Reply:
    """The answer to the evaluation step."""
    value = {
        "feedback": "all is there" if achieved else "something is missing",
        "completed_criteria": [],
        "remaining_criteria": list(missing),
        "next_steps": [],
        "completion_percentage": 100 if achieved else 40,
        "goal_achieved": achieved,
    }
    return Reply(json=value, when=Match(schema="GoalEvaluation"))


def final(name: str, **value: object) -> Reply:
    """The final response."""
    return Reply(json=value, when=Match(schema=name))

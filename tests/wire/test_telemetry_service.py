"""One trace from the request that begins a run to the spans that its tools make, over processes."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import traced_program
from support.agent_worker_shop import plan

from mbxai._telemetry import current_traceparent
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

PROMPT = "prompt-canary-77 of the lamp"
FOLDER = Path(traced_program.__file__).parents[1]


@pytest.fixture
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        calls = [{"name": name, "arguments": {"place": "a"}} for name in ("lookup", "carry")]
        planned = plan(tools_needed=["lookup", "carry"])["TodoList"]
        server.script(
            Reply(when=Match(schema="TodoList"), json=planned),
            Reply(tool_calls=calls, when=Match(tool="lookup")),
            Auto(times=None),
        )
        yield server


def started(role: str, folder: Path, fake: FakeOpenRouter, port: int) -> "subprocess.Popen[str]":
    env = os.environ | {"SHOP_URL": fake.base_url, "SERVICE_PORT": str(port)}
    env |= {"PYTHONPATH": str(FOLDER)}
    command = [sys.executable, traced_program.__file__, role, str(folder)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


@contextmanager
def served(
    role: str, folder: Path, fake: FakeOpenRouter
) -> Iterator[tuple[httpx.Client, list[Any]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spans: list[Any] = []
    with started(role, folder, fake, port) as program:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/agent") as client:
            until = time.monotonic() + 8
            while time.monotonic() < until:
                try:
                    client.get("/dialog-options")
                    break
                except httpx.ConnectError:
                    time.sleep(0.02)
            yield client, spans
        program.terminate()
        spans += spans_of(program)


def spans_of(program: "subprocess.Popen[str]") -> list[Any]:
    told, _ = program.communicate(timeout=8)
    return [json.loads(line) for line in told.splitlines()]


def completed(client: httpx.Client, agent_id: str) -> None:
    until = time.monotonic() + 8
    state = ""
    while state != "completed" and time.monotonic() < until:
        state = client.get(f"/sessions/{agent_id}").json()["state"]
        time.sleep(0.02)
    assert state == "completed"


def way_up(span: Any, spans: list[Any]) -> list[str]:
    """Names from a span to the root of its trace."""
    known = {(s["trace"], s["id"]): s for s in spans}
    names = [span["name"]]
    while (above := known.get((span["trace"], span["parent"]))) is not None:
        span = above
        names.append(span["name"])
    return names


def judged(spans: list[Any], begun: str) -> None:
    for name, tool in (("database", "lookup"), ("carrier", "carry")):
        (span,) = (s for s in spans if s["name"] == name)
        steps = [f"execute_tool {tool}", "task", "step executing_tasks", "invoke_agent"]
        way = way_up(span, spans)
        assert way[:5] == [name, *steps]
        assert way[-1] == begun  # FastAPI may have spans of its own between
    (run,) = (s for s in spans if s["name"] == "invoke_agent")
    in_trace = {s["name"].partition(" ")[0] for s in spans if s["trace"] == run["trace"]}
    assert in_trace >= {"POST", "invoke_agent", "step", "chat", "execute_tool", "database"}
    assert "canary" not in json.dumps(spans)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sessions", {"prompt": PROMPT}),
        (
            "/ag-ui",
            {
                "threadId": "t",
                "runId": "r",
                "messages": [{"id": "1", "role": "user", "content": PROMPT}],
            },
        ),
    ],
)
def test_a_run_is_in_the_trace_of_its_request(
    fake: FakeOpenRouter, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    with served("serve", tmp_path, fake) as (client, spans):
        answer = client.post(path, json=body)
        completed(client, "t" if path == "/ag-ui" else answer.json()["agent_id"])
    judged(spans, f"POST /agent{path}")


def test_so_it_is_where_another_process_runs_it(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served("accept", tmp_path, fake) as (client, spans):
        agent_id = client.post("/sessions", json={"prompt": PROMPT}).json()["agent_id"]
        with started("work", tmp_path, fake, 0) as worker:
            elsewhere = spans_of(worker)
        completed(client, agent_id)
    assert "invoke_agent" not in {span["name"] for span in spans}
    judged([*spans, *elsewhere], "POST /agent/sessions")


def test_without_a_tracer_there_is_nothing_to_tell() -> None:
    assert current_traceparent() == ""

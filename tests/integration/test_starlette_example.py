"""`examples/starlette_service.py` as a process: a run without FastAPI, followed, asked and answered."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import services
from support.agent_worker_shop import plan

from mbxai.testing import FakeOpenRouter

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def service() -> Iterator[httpx.Client]:
    port = services.free_port()
    words = ["starlette_service:app", "--port", str(port), "--log-level", "warning"]
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5, tools_needed=[])) as fake:
        command = [sys.executable, "-W", "error", "-m", "uvicorn", "--loop", "asyncio", *words]
        with subprocess.Popen(
            command, cwd=EXAMPLES, env=os.environ | fake.env(), stderr=subprocess.PIPE, text=True
        ) as program:
            until = time.monotonic() + 8
            while not services.answers(port) and time.monotonic() < until:
                time.sleep(0.02)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=8) as client:
                yield client
            program.terminate()
            assert program.stderr is not None
            assert "Traceback" not in program.stderr.read()


def numbers(told: str) -> list[int]:
    lines = told.splitlines()
    return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id:")]


def test_a_run_is_begun_asked_answered_and_followed_again(service: httpx.Client) -> None:
    begun = service.post("/runs", json={"prompt": "Plan a day"})
    assert begun.status_code == 202
    path = f"/runs/{begun.json()['agent_id']}"
    asked: list[str] = []
    with service.stream("GET", f"{path}/events") as told:
        for line in told.iter_lines():
            asked.append(line)
            if line == "event: human_requested":
                break
    (request,) = service.get(path).json()["human_interaction_requests"]
    answer = {"interaction_id": request["id"], "response_type": "decision", "decision": "proceed"}
    assert service.post(f"{path}/answers", json=answer).status_code == 202
    last = [line for line in asked if line.startswith("id:")][-1].removeprefix("id: ")
    rest: str = service.get(f"{path}/events", headers={"Last-Event-ID": last}).text
    whole = service.get(f"{path}/events").text
    # Pieces of text have no number, and are only told while they come.
    assert numbers(whole) == list(range(1, len(numbers(whole)) + 1))
    assert numbers(rest) == numbers(whole)[int(last) :]
    assert rest.rstrip().endswith("data: {}")
    assert service.get(path).json()["state"] == "completed"


def test_what_does_not_fit_is_refused(service: httpx.Client) -> None:
    assert service.get("/runs/agt_unknown").status_code == 404
    refused = service.post("/runs", content=b'{"secret-canary')
    assert refused.status_code == 422
    assert "canary" not in refused.text

"""The clients that front ends use, each driving a run with a question and an answer to its end."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_http import agent_of, served
from support.agent_worker_shop import plan

from mbxai.testing import FakeOpenRouter

HERE = Path(__file__).parent
INSTALLED = Path(os.environ["MBXAI_FRONTENDS"])


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with (
        FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as fake,
        served(agent_of(fake, tmp_path, people=True)) as service,
    ):
        yield str(service.base_url).rstrip("/")


def told(program: str, url: str) -> dict[str, Any]:
    # A program finds packages only above its own place.
    shutil.copy(HERE / program, INSTALLED)
    command = ["node", str(INSTALLED / program), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_ai_sdk_of_vercel(url: str) -> None:
    seen = told("ai_ui.mjs", url)
    first, second = seen["first"], seen["second"]
    assert first["reason"] == "other"
    assert first["message"]["metadata"]["state"] == "waiting_for_human"
    parts = {part["type"]: part for part in first["message"]["parts"]}
    assert parts["data-interaction"]["data"]["request"]["options"][0] == "proceed"
    assert "text" not in parts
    assert second["reason"] == "stop"
    parts = {part["type"]: part for part in second["message"]["parts"]}
    tasks = parts["data-plan"]["data"]["tasks"]
    assert [task["status"] for task in tasks] == ["completed"]
    tool = parts["dynamic-tool"]
    assert (tool["toolName"], tool["state"], tool["output"]) == (
        "ship",
        "output-available",
        "shipped",
    )
    assert parts["text"]["text"] == parts["data-result"]["data"]["summary"]
    assert seen["left"] is None


def test_the_client_of_ag_ui(url: str) -> None:
    seen = told("ag_ui.mjs", url)
    assert seen["first"]["finished"]["outcome"]["type"] == "interrupt"
    assert seen["first"]["state"]["state"] == "waiting_for_human"
    second = seen["second"]
    assert second["finished"]["outcome"]["type"] == "success"
    assert second["state"]["state"] == "completed"
    assert [task["status"] for task in second["state"]["todo_list"]["tasks"]] == ["completed"]
    assert second["state"]["final_response"] == second["finished"]["result"]
    roles = [message["role"] for message in seen["messages"]]
    assert roles[0] == "user"
    assert {"tool", "assistant"} <= set(roles)

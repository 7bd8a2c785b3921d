"""An agent whose MCP server asks a person: in both eras, and over the death of the agent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent_deployer import Deployer
from support.agent_traveller import Traveller, Trip
from support.mcp_processes import is_alive

from mbxai import AgentResponse, AsyncAgentClient, ConfigurationError, HumanInLoopResponse
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

PROGRAM = Path(__file__).parents[1] / "support" / "agent_traveller.py"


@pytest.fixture(scope="module")
def model() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(model: FakeOpenRouter) -> FakeOpenRouter:
    model.reset()
    model.script(
        Reply(
            when=Match(schema="TodoList"),
            json={"tasks": [task("t", "book")], "estimated_total_time": "1 min"},
        ),
        Reply(when=Match(tool="book"), tool_calls=[call("book")]),
        Auto(times=None),
    )
    return model


def task(key: str, title: str) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "description": title,
        "depends_on": [],
        "tools_needed": [title],
        "estimated_complexity": 1,
    }


def call(name: str) -> dict[str, Any]:
    return {"name": name, "arguments": {"city": "Oslo"}}


async def answered(
    agent: AsyncAgentClient, request: Any, agent_id: str = "s", **fields: Any
) -> AgentResponse:
    answer = HumanInLoopResponse(
        interaction_id=request["id"], response_type=request["interaction_type"], **fields
    )
    return await agent.agent(
        final_response_structure=Trip, agent_id=agent_id, human_response=answer
    )


def request_of(response: AgentResponse) -> dict[str, Any]:
    request = response.human_interaction_request
    assert request is not None
    return request.model_dump(mode="json")


def told_to_model(fake: FakeOpenRouter) -> str:
    return json.dumps([request.body for request in fake.requests()])


async def test_a_question_outlives_the_agent_that_was_killed_while_it_waited(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    log, database = tmp_path / "log", tmp_path / "s.db"
    with subprocess.Popen(
        [sys.executable, PROGRAM, fake.base_url, database, log],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as killed:
        assert killed.stdout is not None
        first = json.loads(killed.stdout.readline())
        os.kill(killed.pid, signal.SIGKILL)

    async with Traveller(fake.base_url, database, log) as agent:
        waiting = await answered(agent, first, content={"name": "Bo", "age": 30})
        done = await answered(agent, request_of(waiting), decision="yes")

    assert killed.returncode == -signal.SIGKILL
    assert "Who travels?" in first["prompt"]
    assert first["source"] == "travel"
    assert waiting.is_waiting_for_human()
    assert done.is_complete()
    lines = log.read_text().splitlines()
    assert len([line for line in lines if line.startswith("started")]) == 2
    assert lines[-1] == "booked Oslo for Bo"
    assert lines.count("booked Oslo for Bo") == 1
    assert "booked Oslo for Bo" in told_to_model(fake)


async def test_a_server_of_ours_that_was_killed_with_its_agent_knows_the_question_again(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    fake.reset()
    fake.script(
        Reply(
            when=Match(schema="TodoList"),
            json={"tasks": [task("t", "deploy")], "estimated_total_time": "1 min"},
        ),
        Reply(
            when=Match(tool="deploy"),
            tool_calls=[{"name": "deploy", "arguments": {"version": "2"}}],
        ),
        Auto(times=None),
    )
    log, database = tmp_path / "log", tmp_path / "s.db"
    program = PROGRAM.with_name("agent_deployer.py")
    with subprocess.Popen(
        [sys.executable, program, "run", fake.base_url, database, log],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as agent_process:
        assert agent_process.stdout is not None
        asked = json.loads(agent_process.stdout.readline())
        server = int(log.read_text().split()[1])
        os.kill(server, signal.SIGKILL)
        os.kill(agent_process.pid, signal.SIGKILL)

    async with Deployer(fake.base_url, database, log) as agent:
        done = await answered(agent, asked, decision="yes")

    assert not is_alive(server)
    assert done.is_complete()
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    assert lines[-1] == "deployed 2"
    assert "requestState" not in told_to_model(fake)


async def test_an_answer_is_not_taken_while_the_server_that_asked_is_not_registered(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    log, database = tmp_path / "log", tmp_path / "s.db"
    async with Traveller(fake.base_url, database, log) as agent:
        waiting = await agent.agent("Book a trip", Trip, agent_id="s")
        request = request_of(waiting)
    forgetful = Traveller(fake.base_url, database, log)
    asked_before = len(fake.requests())
    with pytest.raises(ConfigurationError, match=r"'book' of the MCP server 'travel'.*register it"):
        await answered(forgetful.agent, request, content={"name": "Bo", "age": 30})
    assert len(fake.requests()) == asked_before
    async with forgetful as agent:
        assert (await agent.get_response("s")).is_waiting_for_human()
        second = await answered(agent, request, content={"name": "Bo", "age": 30})
        done = await answered(agent, request_of(second), decision="yes")

    assert done.is_complete()
    assert log.read_text().splitlines()[-1] == "booked Oslo for Bo"
    assert "There is no tool" not in told_to_model(fake)


async def test_a_question_of_a_server_that_is_gone_may_still_be_declined(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    log, database = tmp_path / "log", tmp_path / "s.db"
    async with Traveller(fake.base_url, database, log) as agent:
        waiting = await agent.agent("Book a trip", Trip, agent_id="s")
    alone = Traveller(fake.base_url, database, log)
    try:
        done = await answered(alone.agent, request_of(waiting), decision="decline")
    finally:
        await alone.__aexit__()

    assert done.is_complete()
    assert "booked Oslo" not in log.read_text()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_asks_twice_while_another_task_goes_on(
    fake: FakeOpenRouter, tmp_path: Path, era: str
) -> None:
    fake.reset()
    tasks = [task("a", "book"), task("b", "peek")]
    # A legacy server cannot say in which of two calls it asks, so there is only one of them.
    peek: dict[str, Any] = {"tool_calls": [call("peek")]}
    fine = "The weather is fine."
    fake.script(
        Reply(
            when=Match(schema="TodoList"), json={"tasks": tasks, "estimated_total_time": "1 min"}
        ),
        Reply(when=Match(contains="outcome.\nbook"), tool_calls=[call("book")]),
        Reply(
            when=Match(contains="outcome.\npeek"),
            **(peek if era == "modern" else {"content": fine}),
        ),
        Reply(fine, when=Match(contains="sunny")),
        Reply("It is booked.", when=Match(contains="booked Oslo")),
        Auto(times=None),
    )
    async with Traveller(fake.base_url, tmp_path / "s.db", tmp_path / "log", era=era) as agent:
        first = await agent.agent("Book a trip", Trip, agent_id="s")
        second = await answered(agent, request_of(first), content={"name": "Bo"})
        done = await answered(agent, request_of(second), decision="yes")

    assert first.todo_list is not None
    assert {t.title: t.status.value for t in first.todo_list.tasks} == {
        "book": "in_progress",
        "peek": "completed",
    }
    assert request_of(second)["options"] == ["yes", "no", "decline"]
    assert done.is_complete()
    assert (tmp_path / "log").read_text().splitlines()[-1] == "booked Oslo for Bo"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_person_may_decline_and_the_server_is_told(
    fake: FakeOpenRouter, tmp_path: Path, era: str
) -> None:
    async with Traveller(fake.base_url, tmp_path / "s.db", tmp_path / "log", era=era) as agent:
        waiting = await agent.agent("Book a trip", Trip, agent_id="s")
        done = await answered(agent, request_of(waiting), decision="decline")

    assert done.is_complete()
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[1].removeprefix("told "))["action"] == "decline"
    assert lines[-1] == "not booked"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_without_people_the_server_is_told_that_nobody_answered(
    fake: FakeOpenRouter, tmp_path: Path, era: str
) -> None:
    traveller = Traveller(fake.base_url, tmp_path / "s.db", tmp_path / "log", era=era, asks=False)
    async with traveller as agent:
        done = await agent.agent("Book a trip", Trip)

    assert done.is_complete()
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[1].removeprefix("told "))["action"] == "cancel"
    assert lines[-1] == "not booked"


async def test_a_held_call_of_the_older_protocol_does_not_outlive_its_process(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    log, database = tmp_path / "log", tmp_path / "s.db"
    async with Traveller(fake.base_url, database, log, era="legacy") as agent:
        waiting = await agent.agent("Book a trip", Trip, agent_id="s")
    async with Traveller(fake.base_url, database, log, era="legacy") as agent:
        done = await answered(agent, request_of(waiting), content={"name": "Bo"})

    assert done.is_complete()
    assert not [line for line in log.read_text().splitlines() if line.startswith("booked")]
    assert "is not known" in told_to_model(fake)

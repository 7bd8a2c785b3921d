"""The blocking durable agent, and the worker beside it in a thread."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_safety_run import OVERRIDES, PROMPT, Report
from support.durable_stage import database_of

from mbxai import AgentClient, OpenRouterClient
from mbxai.durable import DurableAgent
from mbxai.errors import ConfigurationError
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import FakeOpenRouter


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    with database_of(postgres_url) as url:
        yield url


def test_a_script_without_a_loop_works_starts_and_waits(database: str, tmp_path: Path) -> None:
    overrides = {"TodoList": {**OVERRIDES["TodoList"], "tasks": []}}
    with (
        FakeOpenRouter(auto_overrides=overrides) as fake,
        OpenRouterClient("sk-or-v1-fake", "fake/model", fake.base_url) as client,
    ):
        store = SQLiteSessionStore(tmp_path / "sessions.db")
        agent = AgentClient(client, session_handler=store)
        with DurableAgent(agent, database, poll_seconds=0.1) as durable:
            worker = threading.Thread(target=durable.work)
            worker.start()
            try:
                agent_id = durable.for_scope("anna").start(PROMPT, Report)
                response = durable.for_scope("anna").result(agent_id, Report, timeout_seconds=15)
                assert isinstance(response.final_response, Report)
                assert agent.for_scope("anna").get_response(agent_id).is_complete()
                with pytest.raises(ValueError, match="not found"):
                    durable.result(agent_id)
            finally:
                durable.stop()
                worker.join(20)
            assert not worker.is_alive()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "Großes"}, "lower-case"),
        ({"max_runs": 0}, "max_runs must be 1"),
        ({"poll_seconds": 0.0}, "poll_seconds"),
        ({"takeover_seconds": -1.0}, "takeover_seconds"),
        ({"database_url": "mysql://nobody:hunter2@host/name"}, "Postgres"),
    ],
)
def test_impossible_arguments_are_refused_without_a_secret(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    arguments: dict[str, object] = {"database_url": "postgresql://host/name", **change}
    with OpenRouterClient("sk-or-v1-fake", "fake/model") as client:
        agent = AgentClient(client, session_handler=SQLiteSessionStore(tmp_path / "s.db"))
        with pytest.raises(ConfigurationError, match=says) as caught:
            DurableAgent(agent, **arguments)
        assert "hunter2" not in str(caught.value)
        with pytest.raises(ConfigurationError, match="in memory"):
            DurableAgent(AgentClient(client), "postgresql://host/name")

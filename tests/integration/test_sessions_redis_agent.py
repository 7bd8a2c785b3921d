"""Agents whose sessions are in Redis: what one pauses, another goes on with."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from pydantic import BaseModel
from support.agent_scripts import client_of, planned

from mbxai import AgentClient, AsyncAgentClient, HumanInLoopResponse, OpenRouterClient
from mbxai.errors import SessionBusyError
from mbxai.sessions import RedisSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Reply

ASK: dict[str, Any] = {"name": "ask_question", "arguments": {"prompt": "Which colour?"}}


class Report(BaseModel):
    text: str


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(latency=0.05) as server:  # so that two runs overlap
        yield server


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    chosen = f"test-{uuid4().hex}:"
    yield chosen
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match=f"{chosen}*"):
            client.delete(key)


async def paused(fake: FakeOpenRouter, url: str, prefix: str) -> Any:
    """A run that waits for a person, on an event loop of its own."""
    async with (
        client_of(fake) as model,
        AsyncAgentClient(
            model, human_in_loop=True, session_handler=RedisSessionStore(url, prefix=prefix)
        ) as agent,
    ):
        return await agent.agent("Report", Report, agent_id="shared")


def test_a_blocking_agent_goes_on_with_what_an_awaited_one_paused(
    fake: FakeOpenRouter, redis_url: str, prefix: str
) -> None:
    fake.reset()
    fake.script(
        Auto(),
        Auto(),
        planned("ask"),
        Reply(tool_calls=[ASK]),
        Auto(times=None),
    )
    waiting = asyncio.run(paused(fake, redis_url, prefix))
    request = waiting.human_interaction_request
    assert request.prompt == "Which colour?"

    model = OpenRouterClient(token=fake.api_key, base_url=fake.base_url, max_retries=0)
    store = RedisSessionStore(redis_url, prefix=prefix)
    with model, AgentClient(model, human_in_loop=True, session_handler=store) as agent:
        answer = HumanInLoopResponse(
            interaction_id=request.id, response_type=request.interaction_type, answer="Teal"
        )
        done = agent.agent("", Report, agent_id="shared", human_response=[answer])
        assert agent.list_sessions() == ["shared"]
        assert agent.get_session_info("shared")["state"] == "completed"
        assert agent.delete_session("shared") is True

    assert done.is_complete()
    assert isinstance(done.final_response, Report)
    assert any("Teal" in str(sent.body) for sent in fake.requests())


async def test_of_two_agents_that_resume_one_pause_one_runs_it(
    fake: FakeOpenRouter, redis_url: str, prefix: str
) -> None:
    fake.reset()
    fake.script(
        Auto(),
        Auto(),
        planned("ask"),
        Reply(tool_calls=[ASK]),
        Auto(times=None),
    )
    waiting = await paused(fake, redis_url, prefix)
    request = waiting.human_interaction_request
    answer = HumanInLoopResponse(
        interaction_id=request.id, response_type=request.interaction_type, answer="Teal"
    )

    async with client_of(fake) as model:
        agents = [
            AsyncAgentClient(
                model,
                human_in_loop=True,
                session_handler=RedisSessionStore(redis_url, prefix=prefix),
            )
            for _ in range(2)
        ]
        outcomes = await asyncio.gather(
            *(
                agent.agent("", Report, agent_id="shared", human_response=[answer])
                for agent in agents
            ),
            return_exceptions=True,
        )
        for agent in agents:
            await agent.aclose()

    refused = [outcome for outcome in outcomes if isinstance(outcome, SessionBusyError)]
    (done,) = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(refused) == 1
    assert done.is_complete()

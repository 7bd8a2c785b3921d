"""Test your own code against a fake OpenRouter: a real server on this machine, no key, no mocks.

    python -m pytest examples/testing_with_fake.py

`summarise` and `draft` stand for your code. Without a script the fake answers from each request's
own JSON Schema and tools; with one, every request needs its step, and the fixture checks at the end
that all steps were used.
"""

import asyncio

import pytest
from pydantic import BaseModel

from mbxai import (
    AgentClient,
    AsyncOpenRouterClient,
    OpenRouterClient,
    OpenRouterConnectionError,
    ToolClient,
)
from mbxai.testing import Drop, Failure, FakeOpenRouter, Match, Reply

pytest_plugins = ["mbxai.testing.pytest_plugin"]  # gives the fixture fake_openrouter


class Summary(BaseModel):
    """A summary of a text."""

    headline: str
    words: int


def summarise(text: str) -> Summary | None:
    with OpenRouterClient(retry_initial_delay=0.01) as client:
        answer = client.parse([{"role": "user", "content": f"Summarise: {text}"}], Summary)
    return answer.choices[0].message.parsed


async def draft(topic: str) -> str:
    async with AsyncOpenRouterClient(max_retries=0) as client:
        answer = await client.create([{"role": "user", "content": f"Write about {topic}"}])
    return answer.choices[0].message.content or ""


def test_summary_survives_an_outage(fake_openrouter: FakeOpenRouter) -> None:
    fake_openrouter.script(Failure(503), Reply(json={"headline": "Rain", "words": 3}))
    assert summarise("It rains.") == Summary(headline="Rain", words=3)
    assert len(fake_openrouter.requests()) == 2


def test_draft_is_about_the_topic(fake_openrouter: FakeOpenRouter) -> None:
    fake_openrouter.script(Reply("The sea is blue.", when=Match(contains="the sea")))
    assert asyncio.run(draft("the sea")) == "The sea is blue."


def test_lost_connection_is_an_error(fake_openrouter: FakeOpenRouter) -> None:
    fake_openrouter.script(Drop())
    with pytest.raises(OpenRouterConnectionError):
        asyncio.run(draft("the sea"))


def test_agent_calls_the_tool(fake_openrouter: FakeOpenRouter) -> None:
    counted: list[str] = []

    def count_words(text: str) -> int:
        """Count the words of a text."""
        counted.append(text)
        return len(text.split())

    with OpenRouterClient() as openrouter:  # no script: the fake plans, calls tools and answers
        agent = AgentClient(ToolClient(openrouter))
        agent.register_tool("count_words", "Count words", count_words)
        response = agent.agent("Summarise our report", Summary)
    assert isinstance(response.final_response, Summary)
    assert counted
    assert "report" in str(fake_openrouter.requests()[0].json)

"""The blocking agent: typed, watched, bounded, and with warnings at the caller's own line."""

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mbxai import (
    AgentClient,
    AgentResponse,
    Answer,
    AnswerList,
    Budget,
    BudgetExceededError,
    OpenRouterClient,
)
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply


class Story(BaseModel):
    title: str


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
def client(fake: FakeOpenRouter) -> Iterator[OpenRouterClient]:
    key = fake.env()["OPENROUTER_API_KEY"]
    with OpenRouterClient(key, base_url=fake.base_url, max_retries=0) as made:
        yield made


def test_a_callback_sees_what_a_stream_sees(client: OpenRouterClient):
    told: list[Any] = []
    threads: set[int] = set()

    def note(event: Any) -> None:
        told.append(event)
        threads.add(threading.get_ident())

    with AgentClient(client, on_event=note).stream("Tell it", Story) as run:
        seen = list(run)

    assert seen == told
    assert isinstance(run.response.final_response, Story)
    assert any(event.type == "response_delta" for event in seen)
    # Neither the caller's thread, which waits, nor the loop's, which must not.
    assert threading.get_ident() not in threads


def test_the_response_is_typed(client: OpenRouterClient):
    response: AgentResponse[Story] = AgentClient(client).agent("Tell it", Story)
    assert response.final_response
    assert response.final_response.title


def test_bounds_raise_and_larger_ones_go_on(client: OpenRouterClient):
    agent = AgentClient(client, run_budget=Budget(max_requests=2))
    with pytest.raises(BudgetExceededError) as reached:
        agent.agent("Tell it", Story, agent_id="s")
    assert reached.value.limit == "max_requests"
    done = agent.agent(
        agent_id="s", final_response_structure=Story, run_budget=Budget(max_requests=20)
    )
    assert done.is_complete()


def test_a_deprecated_argument_is_told_of_once_at_the_callers_own_line(
    fake: FakeOpenRouter, client: OpenRouterClient
):
    fake.script(
        Reply(
            tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which one?"}}],
            when=Match(tool="ask_question"),
        ),
        Auto(times=None),
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        agent = AgentClient(client, max_iterations=5)
        waiting = agent.agent("Tell it", Story, ask_questions=True)
        answers = AnswerList(answers=[Answer(key=waiting.questions[0].key, answer="this")])
        done = agent.agent("", Story, agent_id=waiting.agent_id, answers=answers)
        with agent.stream("Tell it", Story, ask_questions=False) as run:
            assert list(run)

    assert done.is_complete()
    assert [warning.category for warning in told] == [DeprecationWarning] * 4
    assert {Path(warning.filename) for warning in told} == {Path(__file__)}
    assert len({warning.lineno for warning in told}) == 4
    texts = [str(warning.message) for warning in told]
    assert texts[0] == "AgentClient(max_iterations=...) is now max_task_iterations"
    assert texts[2] == "agent(answers=...) is now human_response"


def test_a_tool_that_calls_an_agent_of_its_own_is_told_again(client: OpenRouterClient):
    inner = AgentClient(client)

    def nested() -> None:
        inner.agent("Tell it", Story, ask_questions=False)

    with pytest.warns(DeprecationWarning, match="ask_questions") as told:
        inner.agent(
            "Tell it", Story, ask_questions=False, on_event=lambda e: e.seq == 1 and nested()
        )
    assert len(told) == 2
    assert {Path(warning.filename) for warning in told} == {Path(__file__)}

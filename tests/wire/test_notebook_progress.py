"""`show_progress` outside of a notebook: lines of text, the response, the error."""

import anyio.to_thread
import pytest
from pydantic import BaseModel

from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, OpenRouterClient
from mbxai.agent.models import HumanInLoopResponse
from mbxai.errors import AgentFailedError, ConfigurationError
from mbxai.notebook import show_progress
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

QUESTION = {"name": "ask_question", "arguments": {"prompt": "Which colour?"}}


class Lamp(BaseModel):
    """A lamp."""

    name: str


async def test_awaited_and_blocking_runs_print_the_same_lines_and_return_the_response(
    capsys: pytest.CaptureFixture[str],
):
    with FakeOpenRouter() as fake:
        options = {"base_url": fake.base_url, "model": "openai/gpt-4.1"}
        async with AsyncOpenRouterClient(fake.api_key, **options) as client:
            awaited = await show_progress(AsyncAgentClient(client).stream("Order a lamp", Lamp))
        first = capsys.readouterr().out
        blocking = await anyio.to_thread.run_sync(_ordered, fake)
    assert awaited.final_response == blocking.final_response == Lamp(name="Example name")
    assert capsys.readouterr().out == first
    lines = first.splitlines()
    assert lines[0] == "phase   analyzing requirement"
    assert any(line.startswith("task    completed: ") for line in lines)
    assert lines[-1].startswith("Agent run: completed, 1 task, ")


def _ordered(fake: FakeOpenRouter):
    options = {"base_url": fake.base_url, "model": "openai/gpt-4.1"}
    with OpenRouterClient(fake.api_key, **options) as client:
        return show_progress(AgentClient(client).stream("Order a lamp", Lamp))


def test_a_run_that_waits_is_returned_and_goes_on_with_its_plan(
    capsys: pytest.CaptureFixture[str],
):
    with FakeOpenRouter() as fake:
        fake.script(Reply(tool_calls=[QUESTION], when=Match(tool="ask_question")), Auto(times=None))
        options = {"base_url": fake.base_url, "model": "openai/gpt-4.1"}
        with OpenRouterClient(fake.api_key, **options) as client:
            agent = AgentClient(client, True)
            waiting = show_progress(agent.stream("Order a lamp", Lamp))
            assert waiting.is_waiting_for_human()
            request = waiting.human_interaction_request
            assert "asks    Which colour?" in capsys.readouterr().out
            answer = HumanInLoopResponse(
                interaction_id=request.id, response_type=request.interaction_type, answer="Red"
            )
            run = agent.stream(agent_id=waiting.agent_id, human_response=answer)
            assert show_progress(run, before=waiting).is_complete()
    assert "Agent run: completed, 1 task, " in capsys.readouterr().out


def test_a_run_that_is_refused_raises_and_what_is_no_run_is_named(
    capsys: pytest.CaptureFixture[str],
):
    with FakeOpenRouter([Failure(403)]) as fake:
        options = {"base_url": fake.base_url, "model": "openai/gpt-4.1"}
        with OpenRouterClient(fake.api_key, **options) as client:
            agent = AgentClient(client)
            with pytest.raises(AgentFailedError):
                show_progress(agent.stream("Order a lamp", Lamp))
            assert capsys.readouterr().out.splitlines()[-1] == "Agent run: failed"
            with pytest.raises(ConfigurationError, match="not AgentClient"):
                show_progress(agent)

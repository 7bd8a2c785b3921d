"""What is known to have been paid is counted, although no usable answer came of it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from support.agent_scripts import EVALUATION, REQUIREMENT, TOOLS, Story, client_of, plan_of

from mbxai import AgentFailedError, AsyncAgentClient
from mbxai.agent.models import TokenUsage
from mbxai.testing import FakeOpenRouter, Raw, Reply

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cost": 0.25}
CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    told = {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **fields,
    }
    return b"data: " + json.dumps(told).encode() + b"\n\n"


BEGIN = chunk({"role": "assistant", "content": "{"})
BROKEN = {
    "error": BEGIN + chunk({}, "error", error={"code": 502, "message": "boom"}, usage=USAGE),
    "garbage": BEGIN + chunk({}, usage=USAGE) + b"data: {garbage\n\n",
    "cut": BEGIN + chunk({}, usage=USAGE),
    "no value": chunk({"role": "assistant", "tool_calls": [CALL]})
    + chunk({}, "tool_calls", usage=USAGE)
    + b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("how", BROKEN)
async def test_what_a_stream_that_broke_had_cost_is_counted(fake: FakeOpenRouter, how: str) -> None:
    answers = (REQUIREMENT, TOOLS, plan_of("One"))
    fake.script(
        *(Reply(json=answer, usage={"cost": 0}) for answer in answers),
        Reply("done", usage={"cost": 0}),
        Reply(json=EVALUATION, usage={"cost": 0}),
        Raw(BROKEN[how], headers={"content-type": "text/event-stream"}),
    )
    async with client_of(fake) as client, AsyncAgentClient(client).stream("Tell it", Story) as run:
        with pytest.raises(AgentFailedError):
            [event async for event in run]

    assert run.response.token_summary.total().cost_usd == 0.25
    assert run.response.token_summary.final_response.total_tokens == 12
    assert [entry.is_usable for entry in run.response.ledger] == [True] * 5 + [False]


async def test_what_a_users_own_client_gave_in_vain_is_counted() -> None:
    class Vain:
        async def parse(self, messages: Any, response_format: Any) -> Any:
            usage = SimpleNamespace(prompt_tokens=7, completion_tokens=5, total_tokens=12)
            return SimpleNamespace(
                choices=[SimpleNamespace(message=SimpleNamespace(parsed=None))], usage=usage
            )

    with pytest.raises(AgentFailedError) as caught:
        await AsyncAgentClient(Vain()).agent("Tell it", Story)

    assert caught.value.response.token_summary.total().total_tokens == 12


async def test_no_server_makes_room_in_a_budget(fake: FakeOpenRouter) -> None:
    below = {"prompt_tokens": -7, "completion_tokens": -5, "total_tokens": -12, "cost": -0.25}
    fake.script(
        *(Reply(json=answer, usage=below) for answer in (REQUIREMENT, TOOLS, plan_of("One"))),
        Reply("done", usage=below),
        Reply(json=EVALUATION, usage=below),
        Reply(json={"title": "The end", "status": "told"}, usage=below),
    )
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client).agent("Tell it", Story)

    assert response.is_complete()
    assert response.token_summary.total() == TokenUsage()

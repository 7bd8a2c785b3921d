"""What servers ask of a client in the middle of a call: people, our model, directories."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from mbxai.mcp import AsyncMCPClient
from mbxai.mcp._sampling import SamplingPolicy
from mbxai.tools import ToolQuestion
from mbxai.wire import Budget, ChatCompletion

SERVER = Path(__file__).parents[1] / "support" / "mcp_modern_fault_server.py"
Era = Literal["modern", "legacy"]

pytestmark = pytest.mark.parametrize("era", ["modern", "legacy"])


class Model:
    """A model that says hello, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def create(self, **request: Any) -> ChatCompletion:
        self.asked.append(request)
        message = {"role": "assistant", "content": "Hello"}
        return ChatCompletion.model_validate(
            {"model": "m/x", "choices": [{"message": message, "finish_reason": "length"}]}
        )

    parse = create


@asynccontextmanager
async def client_of(
    era: Era, model: Model | None = None, **options: Any
) -> AsyncIterator[AsyncMCPClient]:
    command = [sys.executable, str(SERVER), *(["legacy"] if era == "legacy" else [])]
    async with AsyncMCPClient(model or Model(), **options) as client:
        await client.register_mcp_server("peer", command=command)
        yield client


async def said(client: AsyncMCPClient, name: str) -> dict[str, Any]:
    """What the server got as the answer to its request."""
    result = await client.call_tool(name, {})
    assert not result.is_error, result.content
    return json.loads(result.content)


async def test_a_form_and_an_address_are_answered_by_the_applications_handler(era: Era) -> None:
    asked: list[ToolQuestion] = []

    def ask(question: ToolQuestion) -> Any:
        asked.append(question)
        return {"name": "Bo"} if question.kind == "form" else True

    async with client_of(era, elicit=ask) as client:
        form = await said(client, "ask")
        address = await said(client, "visit")

    assert form["result"] == {"action": "accept", "content": {"name": "Bo"}}
    assert address["result"] == {"action": "accept"}
    assert [(question.source, question.message) for question in asked] == [
        ("peer", "Who?"),
        ("peer", "Sign in."),
    ]
    assert asked[1].url == "https://example.com/sign-in"


async def test_our_model_answers_on_the_policys_terms_and_then_no_more(era: Era) -> None:
    model = Model()
    policy = SamplingPolicy(models=["m/x"], budget=Budget(max_requests=1), max_tokens=5)
    async with client_of(era, model, sampling=policy) as client:
        answered = await said(client, "sample")
        refused = await client.call_tool("sample", {})

    assert answered["result"] == {
        "role": "assistant",
        "content": {"type": "text", "text": "Hello"},
        "model": "m/x",
        "stopReason": "maxTokens",
    }
    assert [request["max_tokens"] for request in model.asked] == [5]
    if era == "legacy":  # there the server is told, and says so in its result
        assert json.loads(refused.content)["error"] == {
            "code": -1,
            "message": "User rejected sampling request",
        }
    else:
        assert refused.is_error
        assert "User rejected sampling request" in refused.content


async def test_without_a_policy_the_model_is_not_for_servers(era: Era) -> None:
    model = Model()
    async with client_of(era, model) as client:
        result = await client.call_tool("sample", {})

    assert model.asked == []
    assert result.is_error or "error" in json.loads(result.content)


async def test_roots_are_told(era: Era, tmp_path: Path) -> None:
    async with client_of(era, roots=[tmp_path]) as client:
        told = await said(client, "roots")

    assert told["result"]["roots"] == [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]

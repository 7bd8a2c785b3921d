"""The reference server of the protocol, on Node: what it asks of us, and every kind of content.

How it is used over each transport is in `test_mcp_real_servers`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.mcp_model import NoModel
from support.mcp_processes import children
from support.node_servers import everything_command
from support.real_servers import served

from mbxai.mcp import AsyncMCPClient, SamplingPolicy
from mbxai.tools import ToolQuestion

# The first run installs the server.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(330)]

SECONDS = 5.0
ASKING = {
    "get-roots-list",
    "trigger-elicitation-request",
    "trigger-sampling-request",
    "trigger-url-elicitation",
}
"""Tools that the server offers once it knows what we can be asked."""


class Model(NoModel):
    """A model that answers one thing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def create(self, **request: Any) -> object:
        self.asked.append(request)
        message = {"role": "assistant", "content": "Of course."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        kind = {"id": "1", "object": "chat.completion", "created": 1, "model": "test/answers"}
        return {**kind, "choices": [choice]}


@dataclass
class Person:
    """Whoever is asked: what it was asked, and what it answers."""

    questions: list[ToolQuestion] = field(default_factory=list[ToolQuestion])
    answer: Mapping[str, Any] | bool | None = None

    async def __call__(self, question: ToolQuestion) -> Mapping[str, Any] | bool | None:
        self.questions.append(question)
        return self.answer


@dataclass(frozen=True)
class Everything:
    """The running server, and who answers it."""

    client: AsyncMCPClient
    person: Person
    model: Model
    root: Path

    async def has_announced(self) -> None:
        """Wait until the tools are there that it offers once it knows what we can be asked."""
        async with asyncio.timeout(SECONDS):
            while not set(self.client.registry.names()) >= ASKING:
                await asyncio.sleep(0.01)

    async def call(self, name: str, /, **arguments: Any) -> str:
        result = await self.client.call_tool(name, json.dumps(arguments))
        assert not result.is_error, result.content
        return result.content


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["stdio", "streamableHttp"])
async def everything(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Everything]:
    person, model, root = Person(), Model(), tmp_path_factory.mktemp("root")
    command = [*everything_command(), request.param]
    before = children()
    with ExitStack() as stack:
        over_http = stack.enter_context(served(command)) if request.param != "stdio" else None
        policy = SamplingPolicy(models=["test/answers"])
        async with AsyncMCPClient(model, elicit=person, sampling=policy, roots=[root]) as client:
            await client.register_mcp_server(
                "everything",
                over_http and over_http.url(),
                command=None if over_http else command,
            )
            yield Everything(client, person, model, root)
    assert children() <= before, "a child process was left behind"


async def test_tools_that_it_announces_later_are_offered(everything: Everything) -> None:
    await everything.has_announced()
    infos = {info.name: info for info in everything.client.tool_infos()}
    assert {infos[name].source for name in ASKING} == {"everything"}


async def test_a_person_fills_in_its_form(everything: Everything) -> None:
    await everything.has_announced()
    everything.person.answer = {"name": "Ada", "integer": 7}
    text = await everything.call("trigger-elicitation-request")
    question = everything.person.questions[-1]
    assert (question.kind, question.source) == ("form", "everything")
    assert question.schema["required"] == ["name"]
    assert "- Name: Ada" in text
    assert "- Favorite Integer: 7" in text
    assert "- Favorite Number: 3.14" in text, "what is left out has the form's default"


@pytest.mark.parametrize(
    ("answer", "outcome"), [(False, "User declined"), (None, "User cancelled")]
)
async def test_a_person_may_say_no_or_nothing(
    everything: Everything, answer: bool | None, outcome: str
) -> None:
    await everything.has_announced()
    everything.person.answer = answer
    assert outcome in await everything.call("trigger-elicitation-request")


async def test_a_person_is_sent_to_an_address(everything: Everything) -> None:
    await everything.has_announced()
    everything.person.answer = True
    url = "https://example.com/sign-in?state=1"
    text = await everything.call("trigger-url-elicitation", url=url, message="Sign in.")
    question = everything.person.questions[-1]
    assert (question.kind, question.url, question.message) == ("url", url, "Sign in.")
    assert "User completed the URL elicitation flow" in text


async def test_our_model_answers_it_on_our_terms(everything: Everything) -> None:
    await everything.has_announced()
    text = await everything.call("trigger-sampling-request", prompt="Is it?", maxTokens=20)
    assert '"text": "Of course."' in text
    request = everything.model.asked[-1]
    assert (request["model"], request["max_tokens"]) == ("test/answers", 20)
    assert "Is it?" in json.dumps(request["messages"], default=str)


async def test_it_is_told_our_directories(everything: Everything) -> None:
    await everything.has_announced()
    text = await everything.call("get-roots-list")
    assert "Current MCP Roots (1 total)" in text
    assert everything.root.as_uri() in text


async def test_every_kind_of_content_is_kept(everything: Everything) -> None:
    image = await everything.client.call_tool("get-tiny-image", "{}")
    (picture,) = [part for part in image.parts if part["type"] == "image_url"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    links = await everything.call("get-resource-links", count=2)
    assert "demo://resource/dynamic/text/2" in links
    reference = await everything.call("get-resource-reference", resourceType="Text", resourceId=1)
    assert "This is a plaintext resource" in reference
    result = await everything.client.call_tool("get-structured-content", '{"location": "New York"}')
    assert isinstance(result.value, dict)
    assert set(result.value) == {"temperature", "conditions", "humidity"}


async def test_its_environment_holds_no_key_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-not-for-you")
    before = children()
    async with AsyncMCPClient(NoModel()) as client:
        await client.register_mcp_server("everything", command=[*everything_command(), "stdio"])
        result = await client.call_tool("get-env", "{}")
        assert '"PATH"' in result.content
        assert "OPENROUTER" not in result.content
    assert children() <= before

"""An agent as an MCP server: goals over both transports and eras, people asked by elicitation."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    TextContent,
)
from pydantic import SecretStr
from support.agent_serving import Story
from support.mcp_processes import free_port, wait_for_port

from mbxai import (
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    ConfigurationError,
    DialogOption,
    HumanInLoopResponse,
    HumanInteractionType,
    Secret,
)
from mbxai.agent_server import agent_server
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

PROGRAM = Path(__file__).parents[1] / "support" / "agent_serving.py"
ERAS = ["auto", "legacy"]
OWN_WORDS = "The model asks this, in its own words."
LOGIN = DialogOption(id="jira", title="Jira", description="Log in")

Params = ElicitRequestFormParams | ElicitRequestURLParams


@pytest.fixture(scope="module")
def model() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(model: FakeOpenRouter) -> FakeOpenRouter:
    model.reset()
    return model


@pytest.fixture(scope="module")
def http_port(model: FakeOpenRouter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    database = tmp_path_factory.mktemp("served") / "s.db"
    command = [sys.executable, str(PROGRAM), model.base_url, str(database), str(port)]
    with subprocess.Popen(command, env=environment()) as process:
        wait_for_port(port, process)
        yield port
        process.terminate()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def plan(*titles: str) -> Reply:
    tasks = [
        {
            "key": title,
            "title": title,
            "description": title,
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": 1,
        }
        for title in titles
    ]
    return Reply(
        when=Match(schema="TodoList"), json={"tasks": tasks, "estimated_total_time": "1 min"}
    )


def asking(name: str, **arguments: Any) -> Reply:
    calls = [{"name": name, "arguments": arguments}]
    return Reply(when=Match(tool="ask_question"), tool_calls=calls)


def script(fake: FakeOpenRouter, *steps: Reply) -> None:
    fake.script(plan("find out"), *steps, Auto(times=None))


class Person:
    """A client's user, who gives these answers, one after the other."""

    def __init__(self, *answers: ElicitResult | Callable[[Params], Any]) -> None:
        self.answers = list(answers)
        self.asked: list[Params] = []
        self.progress: list[tuple[float, str | None]] = []

    async def __call__(self, _context: Any, params: Params) -> ElicitResult:
        self.asked.append(params)
        answer = self.answers.pop(0)
        return await answer(params) if callable(answer) else answer

    async def report(self, progress: float, _total: float | None, message: str | None) -> None:
        self.progress.append((progress, message))


def accept(**content: Any) -> ElicitResult:
    return ElicitResult(action="accept", content=content)


def text_of(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def times_planned(fake: FakeOpenRouter) -> int:
    return sum(request.schema_name == "TodoList" for request in fake.requests())


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_goal_is_reached_with_a_question_to_the_clients_user(
    fake: FakeOpenRouter, http_port: int, tmp_path: Path, transport: str, mode: Any
) -> None:
    script(
        fake,
        asking("ask_question", prompt="Which project?"),
        asking("request_decision", prompt="Publish it?", options=["yes", "later"]),
    )
    target: Any = f"http://127.0.0.1:{http_port}/mcp"
    if transport == "stdio":
        arguments = [str(PROGRAM), fake.base_url, str(tmp_path / "s.db")]
        target = StdioServerParameters(command=sys.executable, args=arguments, env=environment())
    person = Person(accept(answer="Apollo"), accept(decision="later"))
    async with Client(target, mode=mode, elicitation_callback=person) as client:
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool(
            "run_goal", {"goal": "Tell me of it"}, progress_callback=person.report
        )

    assert tool.input_schema["required"] == ["goal"]
    assert set(tool.input_schema["properties"]) == {"goal", "agent_id"}
    assert tool.output_schema is not None
    assert set(tool.output_schema["properties"]) == {"title", "status"}
    assert not result.is_error, text_of(result)
    assert Story.model_validate(result.structured_content)
    assert [params.message for params in person.asked] == [
        f"Which project?\n\n{OWN_WORDS}",
        f"Publish it?\n\n{OWN_WORDS}",
    ]
    sent = str([request.body for request in fake.requests()])
    assert "Apollo" in sent
    assert "later" in sent
    # The calls that brought the answers went on with the run and began no other.
    assert times_planned(fake) == 1
    fractions = [progress for progress, _message in person.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert person.progress[-1][1] == "Done"


# --- in this process ------------------------------------------------------------------------------


def agent_of(fake: FakeOpenRouter, *, dialogs: bool = False) -> AsyncAgentClient:
    client = AsyncOpenRouterClient("test-key-123456", "m/x", fake.base_url, max_retries=0)
    tools = AsyncToolClient(client)

    async def tickets(auth_token: Secret) -> str:
        return f"3 tickets for {len(auth_token)} characters"

    tools.register_tool("tickets", "Read the tickets", tickets)
    return AsyncAgentClient(tools, True, [LOGIN] if dialogs else None)


async def goal(
    agent: AsyncAgentClient, person: Person | None = None, *, mode: Any = "auto", **options: Any
) -> CallToolResult:
    arguments = {"goal": "Tell me of it", **options.pop("arguments", {})}
    server = agent_server(agent, name="teller", result_type=Story, **options)
    async with Client(server.mcp_server, mode=mode, elicitation_callback=person) as client:
        return await client.call_tool("run_goal", arguments)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_declined_question_is_told_to_the_model(fake: FakeOpenRouter, mode: Any) -> None:
    script(fake, asking("ask_question", prompt="Which project?"))
    result = await goal(agent_of(fake), Person(ElicitResult(action="decline")), mode=mode)

    assert not result.is_error
    assert "did not want to answer" in str([request.body for request in fake.requests()])


@pytest.mark.parametrize("mode", ERAS)
async def test_a_run_that_nobody_answered_is_kept_and_goes_on_under_its_name(
    fake: FakeOpenRouter, mode: Any
) -> None:
    script(fake, asking("request_decision", prompt="Publish?", options=["yes", "later"]))
    agent = agent_of(fake)
    name = {"agent_id": "mine"}
    left = await goal(agent, Person(ElicitResult(action="cancel")), mode=mode, arguments=name)
    person = Person(accept(decision="yes"))
    done = await goal(agent, person, mode=mode, arguments=name)

    assert left.is_error
    assert "agent_id='mine'" in text_of(left)
    assert not done.is_error, text_of(done)
    assert [params.message for params in person.asked] == [f"Publish?\n\n{OWN_WORDS}"]
    assert times_planned(fake) == 1
    assert "mine" not in await agent.list_sessions()  # the ids of clients have a room of their own


async def test_a_client_that_cannot_ask_gets_a_run_without_people(fake: FakeOpenRouter) -> None:
    fake.script(Auto(times=None))
    result = await goal(agent_of(fake))

    assert not result.is_error, text_of(result)
    assert "ask_question" not in str([request.body for request in fake.requests()])


@pytest.mark.parametrize("mode", ERAS)
async def test_a_credential_is_never_asked_for_by_a_form(fake: FakeOpenRouter, mode: Any) -> None:
    script(fake, asking("open_dialog", dialog_option_id="jira", reason="tickets"))
    person = Person()
    result = await goal(agent_of(fake, dialogs=True), person, mode=mode)

    assert result.is_error
    assert person.asked == []
    assert "Jira: Log in" in text_of(result)
    assert "no page" in text_of(result)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_credential_is_entered_on_a_page_of_the_application(
    fake: FakeOpenRouter, mode: Any
) -> None:
    script(
        fake,
        asking("open_dialog", dialog_option_id="jira", reason="tickets"),
        Reply(when=Match(tool="tickets"), tool_calls=[{"name": "tickets", "arguments": {}}]),
    )
    agent = agent_of(fake, dialogs=True)
    pages: dict[str, str] = {}

    def page_of(option: DialogOption, agent_id: str) -> str:
        pages[option.id] = agent_id
        return "https://app.example/jira"

    async def visit(params: Params) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        waiting = await agent.get_response(pages["jira"])
        request = waiting.human_interaction_request
        assert request is not None
        entered = HumanInLoopResponse(
            interaction_id=request.id,
            response_type=HumanInteractionType.DIALOG_OPTION,
            dialog_option_id="jira",
            credentials={"auth_token": SecretStr("oauth_token_abc123")},
        )
        await agent.agent("", Story, agent_id=pages["jira"], human_response=entered)
        return ElicitResult(action="accept")

    person = Person(visit)
    result = await goal(agent, person, mode=mode, credential_url=page_of, credential_seconds=5.0)

    assert not result.is_error, text_of(result)
    assert [getattr(params, "url", "") for params in person.asked] == ["https://app.example/jira"]
    sent = str([request.body for request in fake.requests()])
    assert "3 tickets for 18 characters" in sent
    assert "oauth_token_abc123" not in sent


async def test_a_page_that_nobody_fills_in_ends_the_call_and_keeps_the_run(
    fake: FakeOpenRouter,
) -> None:
    script(fake, asking("open_dialog", dialog_option_id="jira", reason="tickets"))
    result = await goal(
        agent_of(fake, dialogs=True),
        Person(ElicitResult(action="accept")),
        credential_url=lambda _option, _agent_id: "https://app.example/jira",
        credential_seconds=0.3,
    )

    assert result.is_error
    assert "not completed in time" in text_of(result)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"goal": " "}, "goal must say"), ({"agent_id": "../x"}, "agent_id must be")],
)
async def test_wrong_arguments_are_told(
    fake: FakeOpenRouter, arguments: dict[str, str], says: str
) -> None:
    fake.script(Auto(times=None))
    result = await goal(agent_of(fake), arguments=arguments)

    assert result.is_error
    assert says in text_of(result)
    assert fake.requests() == []


async def test_what_a_provider_said_is_not_told_to_the_client(fake: FakeOpenRouter) -> None:
    fake.script(Failure(status=401, message="key sk-or-secret of Bo is revoked"), Auto(times=None))
    result = await goal(agent_of(fake), arguments={"agent_id": "mine"})

    assert result.is_error
    assert "in the step requirement_analysis" in text_of(result)
    assert "agent_id='mine'" in text_of(result)
    assert "Bo" not in text_of(result)


def test_what_is_no_agent_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="agent client"):
        agent_server(object(), name="x", result_type=Story)  # pyright: ignore[reportArgumentType]

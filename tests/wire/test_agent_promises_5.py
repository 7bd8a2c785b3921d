"""Promises, rows 25 to 32: credentials, dialogues, streams, retries, errors, names, models."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support.agent_promises import Story, answer, bodies, said
from support.agent_story_stage import calls, final, plan, says, task

import mbxai
from mbxai import (
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    AuthenticationError,
    DialogOption,
    InsufficientCreditsError,
    OpenRouterAPIError,
    OpenRouterClient,
    OpenRouterError,
    OpenRouterModel,
    ProviderUnavailableError,
    RateLimitError,
)
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

PROMPT = [{"role": "user", "content": "Hello"}]
PASSWORD = "correct-horse:battery,staple"


def client_of(fake: FakeOpenRouter, **options: Any) -> AsyncOpenRouterClient:
    given = {"model": "fake/model", "max_retries": 0, **options}
    return AsyncOpenRouterClient(fake.api_key, base_url=fake.base_url, **given)


# --- row 25 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["credentials", "additional_context"])
async def test_row_25_what_a_person_enters_reaches_the_tool_and_nothing_else(
    fake: FakeOpenRouter,
    client: AsyncToolClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    form: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    received: list[str] = []

    def fetch(password: str) -> dict[str, str]:
        """Fetch the story."""
        received.append(password)
        return {"title": "Login", "echo": f"Basic {password}"}

    client.register_tool("fetch", "Fetch the story", fetch)
    jira = DialogOption(
        id="jira", title="Jira", description="Log in", parameters={"fields": ["password"]}
    )
    fake.script(
        plan(task("a", tools=["fetch"])),
        calls("a", "open_dialog", dialog_option_id="jira", reason="to read"),
        calls("a", "fetch", password="secret://jira/password"),
        says("a", "It is about logging in."),
        Auto(times=None),
    )
    store = SQLiteSessionStore(tmp_path / "sessions.sqlite")
    async with AsyncAgentClient(client, True, [jira], session_handler=store) as agent:
        waiting = await agent.agent("Read the story", Story)
        fields: dict[str, Any] = {"additional_context": f"password:{PASSWORD}"}
        if form == "credentials":
            fields = {"credentials": {"password": PASSWORD}}
        reply = answer(waiting.human_interaction_request, dialog_option_id="jira", **fields)
        async with agent.stream("", Story, agent_id=waiting.agent_id, human_response=reply) as run:
            events = [event.model_dump_json() async for event in run]
        info = await agent.get_session_info(waiting.agent_id)

    assert received == [PASSWORD]
    assert run.response.is_complete()
    asked = said([request.body for request in fake.requests()])
    assert "secret://jira/password" in asked
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin1")
    seen = [asked, caplog.text, str(events), json.dumps(info), stored]
    seen += [run.response.model_dump_json(), repr(run.response), repr(reply)]
    for place in seen:
        assert PASSWORD not in place
        assert "correct-horse" not in place


# --- row 26 ---------------------------------------------------------------------------------------


async def test_row_26_a_dialogue_with_a_function_is_stored_and_sent_without_it(
    fake: FakeOpenRouter, client: AsyncToolClient, tmp_path: Path
) -> None:
    def open_window() -> None:
        """Open a window."""

    option = DialogOption(id="jira", title="Jira", description="Log in", function=open_window)
    fake.script(
        plan(task("a")),
        calls("a", "open_dialog", dialog_option_id="jira", reason="to read"),
        Auto(times=None),
    )
    store = SQLiteSessionStore(tmp_path / "sessions.sqlite")
    async with AsyncAgentClient(client, True, [option], session_handler=store) as agent:
        waiting = await agent.agent("Read the story", Story)

    [shown] = waiting.human_interaction_request.dialog_options
    assert json.loads(shown.model_dump_json()) == {
        "id": "jira",
        "title": "Jira",
        "description": "Log in",
        "parameters": {},
        "allowed_tools": None,
    }
    assert "function" not in json.loads(waiting.model_dump_json())["human_interaction_request"]
    assert shown.function is open_window, "the application's own process has its function"


# --- row 27 ---------------------------------------------------------------------------------------


def judged(*, is_good: bool, feedback: str = "") -> Reply:
    verdict = {"is_good": is_good, "feedback": feedback}
    return Reply(json=verdict, when=Match(schema="QualityCheck"))


async def test_row_27_a_response_is_judged_and_improved(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        final("Story", title="Door", status="found"),
        judged(is_good=False, feedback="Name the colour."),
        final("Story", title="Blue door", status="found"),
        judged(is_good=True),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, quality_iterations=3)
    async with agent.stream("Which door?", Story) as run:
        verdicts = [e.is_good async for e in run if e.type == "response_judged"]
    first, second = bodies(fake, "Story")

    assert run.response.final_response == Story(title="Blue door", status="found")
    assert verdicts == [False, True]
    assert "Name the colour." not in said(first)
    assert "Name the colour." in said(second)
    assert '\\"Door\\"' in said(bodies(fake, "QualityCheck")[0])
    assert run.response.token_summary.final_response.total_tokens > 0


@pytest.mark.parametrize("iterations", [0, 1, 2])
async def test_row_27_a_response_is_judged_as_often_as_was_asked_for(
    fake: FakeOpenRouter, client: AsyncToolClient, iterations: int
) -> None:
    fake.script(*[judged(is_good=False, feedback="Again.")] * iterations, Auto(times=None))
    agent = AsyncAgentClient(client, quality_iterations=iterations)
    response = await agent.agent("Which door?", Story)

    assert response.is_complete()
    assert len(bodies(fake, "QualityCheck")) == iterations
    assert len(bodies(fake, "Story")) == iterations + 1


# --- row 28 ---------------------------------------------------------------------------------------


async def test_row_28_create_streams_typed_chunks(fake: FakeOpenRouter) -> None:
    fake.script(Reply("one two three four"))
    async with client_of(fake) as client:
        stream = await client.create(PROMPT, stream=True)
        chunks = [chunk async for chunk in stream]

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three four"
    assert len(chunks) > 2
    assert chunks[-1].usage.total_tokens > 0


def test_row_28_a_blocking_client_streams_too(fake: FakeOpenRouter) -> None:
    fake.script(Reply("one two three four"))
    with OpenRouterClient(fake.api_key, "fake/model", fake.base_url, max_retries=0) as client:
        texts = [c.choices[0].delta.content or "" for c in client.create(PROMPT, stream=True)]

    assert "".join(texts) == "one two three four"
    assert len(texts) > 2


async def test_row_28_a_client_with_tools_runs_them_and_streams_the_answer(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    ran: list[str] = []

    def look(place: str) -> str:
        """Look at a place."""
        ran.append(place)
        return "a blue door"

    client.register_tool("look", "Look", look)
    call = {"name": "look", "arguments": {"place": "hall"}}
    fake.script(Reply(tool_calls=[call]), Reply("There is a blue door."))
    stream = await client.chat(PROMPT, stream=True)
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert ran == ["hall"]
    assert "".join(texts) == "There is a blue door."
    assert "a blue door" in said(fake.requests()[1].body)


# --- row 29 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_retries", [0, 1, 3])
async def test_row_29_a_busy_service_is_asked_as_often_as_was_configured(
    fake: FakeOpenRouter, max_retries: int
) -> None:
    fake.script(*[Failure(503)] * 10)
    options = {"retry_initial_delay": 0.01, "retry_max_delay": 0.02, "max_retries": max_retries}
    async with client_of(fake, **options) as client:
        with pytest.raises(ProviderUnavailableError):
            await client.create(PROMPT)

    assert len(fake.requests()) == max_retries + 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_row_29_what_cannot_pass_is_asked_once(fake: FakeOpenRouter, status: int) -> None:
    fake.script(*[Failure(status)] * 5)
    async with client_of(fake, max_retries=3, retry_initial_delay=0.01) as client:
        with pytest.raises(OpenRouterAPIError):
            await client.create(PROMPT)

    assert len(fake.requests()) == 1


@pytest.mark.slow
async def test_row_29_the_wait_is_the_one_that_the_server_names(fake: FakeOpenRouter) -> None:
    fake.script(Failure(429, headers={"Retry-After": "1"}), Auto())
    async with client_of(fake, max_retries=1, retry_initial_delay=0.01) as client:
        completion = await client.create(PROMPT)

    assert [attempt.status for attempt in completion.history] == [429, 200]
    assert completion.history[0].wait >= 1.0


async def test_row_29_an_agent_adds_no_retries_of_its_own(fake: FakeOpenRouter) -> None:
    fake.script(*[Failure(503)] * 10)
    async with client_of(fake, max_retries=1, retry_initial_delay=0.01) as client:
        response = await AsyncAgentClient(client).agent("Hello", Story, raise_on_failure=False)

    assert response.error.type == "ProviderUnavailableError"
    assert len(fake.requests()) == 2


# --- row 30 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (429, RateLimitError),
        (502, ProviderUnavailableError),
    ],
)
async def test_row_30_an_error_has_its_type_and_what_the_provider_said(
    fake: FakeOpenRouter, status: int, kind: type[OpenRouterAPIError]
) -> None:
    fake.script(Failure(status, message="The provider is upset", metadata={"provider_name": "P"}))
    async with client_of(fake) as client:
        with pytest.raises(kind, match="The provider is upset") as caught:
            await client.create(PROMPT)

    assert type(caught.value) is kind
    assert isinstance(caught.value, OpenRouterError)
    assert caught.value.status == status
    assert caught.value.provider == "P"


async def test_row_30_a_success_with_an_error_in_it_is_that_error_and_is_retried(
    fake: FakeOpenRouter,
) -> None:
    inside = Failure(200, code=502, message="The provider is upset")
    fake.script(inside, inside, Auto())
    async with client_of(fake) as client:
        with pytest.raises(ProviderUnavailableError, match="The provider is upset"):
            await client.create(PROMPT)
    async with client_of(fake, max_retries=1, retry_initial_delay=0.01) as client:
        completion = await client.create(PROMPT)

    assert completion.choices[0].message.content
    assert completion.attempts == 2


# --- rows 31 and 32 -------------------------------------------------------------------------------


def test_row_31_the_names_of_the_readme_are_there_at_the_top() -> None:
    classes = """
        AgentClient AgentState DialogOption HumanInLoopResponseBatch InMemorySessionHandler
        MCPClient OpenRouterAPIError OpenRouterClient OpenRouterConnectionError OpenRouterModel
        SessionHandler TokenSummary TokenUsage ToolClient
    """
    names = classes.split()

    assert [name for name in names if not hasattr(mbxai, name)] == []
    assert set(names) <= set(mbxai.__all__)
    assert mbxai.OpenRouterModel.GPT4 == "openai/gpt-4"
    assert issubclass(mbxai.OpenRouterAPIError, mbxai.OpenRouterError)


async def test_row_32_a_model_may_be_set_by_name_by_member_or_by_id(fake: FakeOpenRouter) -> None:
    fake.script(Auto(times=None))
    async with client_of(fake, model=OpenRouterModel.GPT41) as client:
        await client.create(PROMPT)
        client.model = OpenRouterModel.GPT4
        await client.create(PROMPT)
        client.model = "mistralai/mistral-small"
        await client.create(PROMPT)
        client.set_model(OpenRouterModel.CLAUDE_3_OPUS)
        await client.create(PROMPT)
        for garbage in ("", None, 4, "no such model", object()):
            with pytest.raises((ValueError, TypeError)):
                client.model = garbage
        await client.create(PROMPT)

    assert [request.json["model"] for request in fake.requests()] == [
        "openai/gpt-4.1",
        "openai/gpt-4",
        "mistralai/mistral-small",
        "anthropic/claude-3-opus",
        "anthropic/claude-3-opus",
    ]


def test_row_32_the_blocking_client_checks_its_model_too(fake: FakeOpenRouter) -> None:
    fake.script(Auto(times=None))
    with OpenRouterClient(fake.api_key, "fake/model", fake.base_url, max_retries=0) as client:
        client.model = OpenRouterModel.GPT4
        client.create(PROMPT)
        with pytest.raises((ValueError, TypeError)):
            client.model = "no such model"

    assert [request.json["model"] for request in fake.requests()] == ["openai/gpt-4"]

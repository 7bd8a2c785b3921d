"""The agent against a fake OpenRouter over real sockets: runs, people, failures, bad input."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import anyio
import pytest
from pydantic import BaseModel

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    DialogOption,
    HumanInLoopResponse,
    InteractionMismatchError,
    InteractionNotFoundError,
    Secret,
    SessionBusyError,
    SessionNotFoundError,
    SessionStoreError,
    ToolContext,
    ToolDefinitionError,
)
from mbxai.sessions import InMemorySessionStore, SQLiteSessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Raw, Reply

TOKEN = "oauth_token_abc123"
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")


class Story(BaseModel):
    title: str
    status: str


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


def client_of(fake: FakeOpenRouter, **options: object) -> AsyncOpenRouterClient:
    key = fake.env()["OPENROUTER_API_KEY"]
    return AsyncOpenRouterClient(key, "openai/gpt-4", fake.base_url, max_retries=0, **options)


def plan(*tasks: dict, key: str = "t") -> Reply:
    drafts = [
        {
            "key": f"{key}{number}",
            "title": f"Task {number}",
            "description": f"Do part {number}",
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": 1,
            **given,
        }
        for number, given in enumerate(tasks, 1)
    ]
    return Reply(
        when=Match(schema="TodoList"), json={"tasks": drafts, "estimated_total_time": "1 min"}
    )


def login(response: object, **fields: object) -> HumanInLoopResponse:
    return HumanInLoopResponse(
        interaction_id=response.human_interaction_request.id,
        response_type="dialog_option",
        dialog_option_id="jira_auth",
        **fields,
    )


async def test_a_run_ends_with_the_callers_model_and_every_field_filled(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client).agent("Summarise the story", Story)

    assert response.is_complete()
    assert isinstance(response.final_response, Story)
    assert response.requirement_analysis
    assert response.tool_analysis
    assert response.todo_list
    assert response.goal_evaluation
    assert response.goal_evaluation.goal_achieved
    schemas = [
        request.body["response_format"]["json_schema"]["name"]
        for request in fake.requests()
        if "response_format" in request.body
    ]
    assert schemas == ["RequirementAnalysis", "ToolAnalysis", "TodoList", "GoalEvaluation", "Story"]
    spent = sum(step.total_tokens for step in response.token_summary.task_execution)
    assert 0 < spent < response.token_summary.total_tokens
    assert response.token_summary.total_cost_usd > 0


async def test_no_request_bears_tools_and_a_response_format_together(fake: FakeOpenRouter) -> None:
    def look(place: str) -> str:
        """Look at a place."""
        return f"nothing at {place}"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look at a place", look)
        await AsyncAgentClient(tools).agent("Look around", Story)

    bodies = [request.body for request in fake.requests()]
    assert any("tools" in body for body in bodies)
    assert not any("tools" in body and "response_format" in body for body in bodies)


async def test_independent_tasks_run_at_the_same_time(fake: FakeOpenRouter) -> None:
    fake.script(plan({}, {}), Auto(times=None))
    inside: list[str] = []
    together = anyio.Event()

    async def meet(place: str) -> str:
        """Wait until both tasks are here."""
        inside.append(place)
        if len(inside) == 2:
            together.set()
        with anyio.fail_after(5):
            await together.wait()
        return "met"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("meet", "Meet the other task", meet)
        response = await AsyncAgentClient(tools).agent("Meet", Story)

    assert response.is_complete()
    assert len(inside) == 2


async def test_a_watched_run_tells_its_states_tasks_and_tools_in_order(
    fake: FakeOpenRouter,
) -> None:
    def look(place: str) -> str:
        """Look at a place."""
        return f"nothing at {place}"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look at a place", look)
        async with AsyncAgentClient(tools).stream("Look around", Story) as run:
            types = [
                event.type
                async for event in run
                if event.type not in ("usage_added", "response_delta")
            ]

    assert run.response.is_complete()
    assert types == [
        "state_changed",
        "state_changed",
        "state_changed",
        "plan_changed",
        "state_changed",
        "task_changed",
        "tool_called",
        "tool_ended",
        "task_changed",
        "state_changed",
        "goal_evaluated",
        "state_changed",
    ]


# --- people and their credentials -----------------------------------------------------------------


async def test_a_credential_reaches_the_tool_and_no_prompt_log_event_or_store(
    fake: FakeOpenRouter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    received: list[str] = []

    def fetch_story(story_id: str, auth_token: str) -> dict:
        """Fetch a story."""
        received.append(auth_token)
        return {"title": "Login", "status": "open", "echo": f"Bearer {auth_token}"}

    path = tmp_path / "sessions.sqlite"
    async with (
        client_of(fake) as client,
        AsyncAgentClient(
            tools := AsyncToolClient(client), True, [JIRA], session_handler=SQLiteSessionStore(path)
        ) as agent,
    ):
        tools.register_tool("fetch_story", "Fetch a story", fetch_story)
        waiting = await agent.agent("Summarise PROJ-123", Story)
        assert waiting.is_waiting_for_human()
        assert waiting.human_interaction_request.dialog_options[0].id == "jira_auth"

        events = []
        answer = login(waiting, additional_context=f"auth_token:{TOKEN}")
        async with agent.stream(
            "Continue", Story, agent_id=waiting.agent_id, human_response=answer
        ) as run:
            events = [event.model_dump_json() async for event in run]
        info = await agent.get_session_info(waiting.agent_id)

    assert received == [TOKEN]
    assert run.response.final_response == Story(title="Login", status="open")
    seen_by_model = str([request.body for request in fake.requests()])
    assert "secret://jira_auth/auth_token" in seen_by_model
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for place in (
        seen_by_model,
        caplog.text,
        str(events),
        json.dumps(info),
        stored.decode("latin1"),
    ):
        assert TOKEN not in place


async def test_a_secret_parameter_is_given_without_the_models_help(fake: FakeOpenRouter) -> None:
    received: list[Secret] = []

    def fetch_story(story_id: str, token: Annotated[Secret, "jira_auth.auth_token"]) -> dict:
        """Fetch a story."""
        received.append(token)
        return {"title": "Login", "status": "open"}

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("fetch_story", "Fetch a story", fetch_story)
        agent = AsyncAgentClient(tools, True, [JIRA])
        waiting = await agent.agent("Summarise PROJ-123", Story)
        answer = login(waiting, credentials={"auth_token": TOKEN})
        done = await agent.agent(
            "Continue",
            agent_id=waiting.agent_id,
            human_response=answer,
            final_response_structure=Story,
        )

    assert done.is_complete()
    assert [secret.reveal() for secret in received] == [TOKEN]
    offered = next(r.body["tools"] for r in fake.requests() if "tools" in r.body)
    assert "token" not in offered[0]["function"]["parameters"]["properties"]


async def test_tools_learn_their_session_and_an_idempotency_key(fake: FakeOpenRouter) -> None:
    seen: list[ToolContext] = []

    def note(text: str, context: ToolContext) -> str:
        """Note a text."""
        seen.append(context)
        return "noted"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("note", "Note a text", note)
        response = await AsyncAgentClient(tools).agent("Note it", Story)

    assert seen[0].session_id == response.agent_id
    assert seen[0].idempotency_key.startswith(f"{response.agent_id}:")


async def test_a_prompt_sent_with_an_answer_is_no_new_requirement(fake: FakeOpenRouter) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Summarise PROJ-123", Story)
        answer = login(waiting, additional_context=f"auth_token:{TOKEN}")
        await agent.agent(
            "Continue with user input", Story, agent_id=waiting.agent_id, human_response=answer
        )

    assert "Continue with user input" not in str([request.body for request in fake.requests()])


async def test_asking_again_without_an_answer_keeps_the_request_and_calls_no_model(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Summarise PROJ-123", Story)
        calls = len(fake.requests())
        again = await agent.agent("Are you done?", Story, agent_id=waiting.agent_id)

    assert again.human_interaction_request == waiting.human_interaction_request
    assert len(fake.requests()) == calls


async def test_a_partial_batch_leaves_the_other_request_open(fake: FakeOpenRouter) -> None:
    ask = {"name": "ask_question", "arguments": {"prompt": "Which region?"}}
    choose = {"name": "request_decision", "arguments": {"prompt": "Cloud?", "options": ["A", "B"]}}
    asks = Match(tool="ask_question")
    fake.script(plan({}), Reply(tool_calls=[ask, choose], when=asks), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Deploy", Story)
        question, decision = waiting.human_interaction_requests
        assert waiting.questions[0].question == "Which region?"
        one = HumanInLoopResponse(
            interaction_id=decision.id, response_type="decision", decision="b"
        )
        partly = await agent.agent(agent_id=waiting.agent_id, human_response=[one])
        assert partly.human_interaction_requests == [question]

        two = HumanInLoopResponse(
            interaction_id=question.id, response_type="question", answer="eu-west"
        )
        done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=[two, one])

    assert done.is_complete()


async def test_wrong_answers_are_refused_and_change_nothing(fake: FakeOpenRouter) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Summarise PROJ-123", Story)
        before = await agent.get_session_info(waiting.agent_id)
        good = login(waiting, additional_context=f"auth_token:{TOKEN}")
        unknown = good.model_copy(update={"interaction_id": "no-such-request"})
        other = good.model_copy(update={"dialog_option_id": "github_auth"})
        with pytest.raises(InteractionNotFoundError, match="no-such-request"):
            await agent.agent(agent_id=waiting.agent_id, human_response=[good, unknown])
        with pytest.raises(InteractionMismatchError, match="jira_auth"):
            await agent.agent(agent_id=waiting.agent_id, human_response=other)
        assert await agent.get_session_info(waiting.agent_id) == before
        with pytest.raises(InteractionNotFoundError):
            await agent.agent(agent_id="nobody", human_response=good)

    assert "nobody" not in await agent.list_sessions()


# --- failures, budgets, other workers --------------------------------------------------------------


async def test_a_failed_step_keeps_the_session_which_goes_on_later(fake: FakeOpenRouter) -> None:
    fake.script(
        Failure(402, message="Insufficient credits", when=Match(schema="TodoList")),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.raises(AgentFailedError, match="credits") as caught:
            await agent.agent("Summarise", Story)
        failed = caught.value.response
        assert failed.state is AgentState.FAILED
        assert failed.error.retryable
        assert failed.requirement_analysis is not None

        done = await agent.agent("", Story, agent_id=failed.agent_id)

    assert done.is_complete()
    names = [
        request.body.get("response_format", {}).get("json_schema", {}).get("name")
        for request in fake.requests()
    ]
    assert names.count("RequirementAnalysis") == 1


async def test_a_final_response_that_never_fits_is_a_typed_failure(fake: FakeOpenRouter) -> None:
    wrong = Reply(json={"title": 1}, when=Match(schema="Story"))
    fake.script(wrong, wrong, wrong, Auto(times=None))
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client).agent("Summarise", Story, raise_on_failure=False)

    assert response.state is AgentState.FAILED
    assert response.error.type == "OutputValidationError"
    assert "status" in response.error.message
    assert response.final_response is None
    retry = [r.body for r in fake.requests() if "could not be used" in str(r.body)]
    assert len(retry) == 2


async def test_an_answer_that_is_no_json_is_a_typed_failure(fake: FakeOpenRouter) -> None:
    fake.script(Raw(b"<html>busy</html>", headers={"content-type": "text/html"}))
    async with client_of(fake) as client:
        with pytest.raises(AgentFailedError) as caught:
            await AsyncAgentClient(client).agent("Summarise", Story)

    assert caught.value.response.error.type == "InvalidResponseError"


async def test_a_used_up_budget_rests_the_session_and_a_larger_one_goes_on(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, budget=Budget(max_requests=2))
        with pytest.raises(BudgetExceededError, match="max_requests") as caught:
            await agent.agent("Summarise", Story)
        assert caught.value.limit == "max_requests"
        assert len(fake.requests()) == 2

        done = await agent.agent(
            "", Story, agent_id=caught.value.response.agent_id, budget=Budget(max_requests=50)
        )

    assert done.is_complete()


async def test_a_session_that_runs_is_refused_to_a_second_caller(fake: FakeOpenRouter) -> None:
    started, let_go = anyio.Event(), anyio.Event()

    async def wait(reason: str) -> str:
        """Wait."""
        started.set()
        await let_go.wait()
        return "waited"

    async with client_of(fake) as client, anyio.create_task_group() as group:
        tools = AsyncToolClient(client)
        tools.register_tool("wait", "Wait", wait)
        agent = AsyncAgentClient(tools)

        async def first() -> None:
            assert (await agent.agent("Wait", Story, agent_id="shared")).is_complete()

        group.start_soon(first)
        with anyio.fail_after(5):
            await started.wait()
        with pytest.raises(SessionBusyError):
            await agent.agent("Wait", Story, agent_id="shared")
        let_go.set()


async def test_a_cancelled_run_goes_on_where_it_stopped_without_repeating_the_tool(
    fake: FakeOpenRouter,
) -> None:
    runs: list[str] = []
    started = anyio.Event()

    async def pay(amount: str) -> str:
        """Pay."""
        runs.append(amount)
        started.set()
        await anyio.sleep_forever()
        return "paid"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("pay", "Pay", pay)
        store = InMemorySessionStore()
        agent = AsyncAgentClient(tools, session_handler=store)
        async with anyio.create_task_group() as group:
            group.start_soon(agent.agent, "Pay", Story, None, None, None, "s1")
            with anyio.fail_after(5):
                await started.wait()
            group.cancel_scope.cancel()
        stopped = await agent.get_response("s1")
        assert stopped.state is AgentState.EXECUTING_TASKS

        done = await AsyncAgentClient(tools, session_handler=store).agent("", Story, agent_id="s1")

    assert done.is_complete()
    assert len(runs) == 1
    assert "outcome unknown" in str([request.body for request in fake.requests()])


async def test_a_session_started_by_one_agent_is_finished_by_another_on_the_same_file(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.sqlite"
    async with client_of(fake) as client:
        async with AsyncAgentClient(
            client, True, [JIRA], session_handler=SQLiteSessionStore(path)
        ) as agent:
            waiting = await agent.agent("Summarise PROJ-123", Story)
        async with AsyncAgentClient(
            client, True, [JIRA], session_handler=SQLiteSessionStore(path)
        ) as other:
            answer = login(waiting, additional_context=f"auth_token:{TOKEN}")
            done = await other.agent(
                "Continue", Story, agent_id=waiting.agent_id, human_response=answer
            )
            assert await other.delete_session(done.agent_id)
            with pytest.raises(SessionNotFoundError):
                await other.get_session_info(done.agent_id)

    assert done.is_complete()


# --- bad input --------------------------------------------------------------------------------------


async def test_impossible_arguments_are_refused_before_anything_is_sent(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.raises(ConfigurationError, match="pydantic model"):
            await agent.agent("Summarise", dict)
        with pytest.raises(ConfigurationError, match=r"'no_such_tool'.* none"):
            await agent.agent("Summarise", Story, tools=["no_such_tool"])
        with pytest.raises(ConfigurationError, match="prompt"):
            await agent.agent("", Story)
        with pytest.raises(ConfigurationError, match="at least 1"):
            AsyncAgentClient(client, max_task_iterations=0)
        with pytest.raises(ConfigurationError, match="no parse"):
            AsyncAgentClient(object())
        with pytest.raises(ConfigurationError, match="max_cost_usd"):
            Budget(max_cost_usd=0)
        with pytest.raises(AttributeError, match="register_mcp_server"):
            await agent.register_mcp_server("files", "http://localhost:8000")
        assert await agent.list_sessions() == []

    assert fake.requests() == []


async def test_a_tool_that_bears_the_name_of_one_that_asks_people_is_refused(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("ask_question", "Ask", lambda: "x")
        with pytest.raises(ConfigurationError, match="ask_question"):
            await AsyncAgentClient(tools, human_in_loop=True).agent("Summarise", Story)


async def test_a_tool_without_a_possible_schema_is_refused_when_it_is_registered(
    fake: FakeOpenRouter,
) -> None:
    class Opaque:
        pass

    def bad(thing: Opaque) -> str:
        """Take something that JSON cannot say."""
        return ""

    async with client_of(fake) as client:
        agent = AsyncAgentClient(AsyncToolClient(client))
        with pytest.raises(ToolDefinitionError, match="thing"):
            agent.register_tool("bad", "Bad", bad)


async def test_an_unreadable_session_file_is_a_typed_error_and_stays_as_it_is(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.sqlite"
    path.write_bytes(b"this is no database" * 100)
    async with (
        client_of(fake) as client,
        AsyncAgentClient(client, session_handler=SQLiteSessionStore(path)) as agent,
    ):
        with pytest.raises(SessionStoreError, match=r"sessions\.sqlite"):
            await agent.agent("Summarise", Story)

    assert path.read_bytes() == b"this is no database" * 100
    assert fake.requests() == []


async def test_a_corrupt_session_leaves_the_others_readable(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.sqlite"
    async with client_of(fake) as client:
        async with AsyncAgentClient(client, session_handler=SQLiteSessionStore(path)) as agent:
            await agent.agent("Summarise", Story, agent_id="good")
            await agent.agent("Summarise", Story, agent_id="bad")
        with sqlite3.connect(path) as database:
            database.execute("update sessions set seq = 0 where agent_id = 'bad'")
            database.execute(
                """update contents set content = cast('{"schema_version": 1}' as blob)
                where id = (select id from sessions where agent_id = 'bad')"""
            )
        database.close()
        async with AsyncAgentClient(client, session_handler=SQLiteSessionStore(path)) as agent:
            assert (await agent.get_response("good", Story)).is_complete()
            with pytest.raises(Exception, match="cannot be read") as caught:
                await agent.get_response("bad", Story)

    assert type(caught.value).__name__ == "SessionDataError"


class BlockingClient:
    """A user's own client: blocking, with `parse` alone."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def parse(self, messages: list, response_format: type[BaseModel]) -> object:
        return self.inner.parse(messages=messages, response_format=response_format)


async def test_a_blocking_client_with_parse_alone_carries_a_run(fake: FakeOpenRouter) -> None:
    from mbxai import OpenRouterClient

    def blocking() -> OpenRouterClient:
        return OpenRouterClient(fake.env()["OPENROUTER_API_KEY"], base_url=fake.base_url)

    inner = await anyio.to_thread.run_sync(blocking)
    response = await AsyncAgentClient(BlockingClient(inner)).agent("Summarise", Story)

    assert response.is_complete()
    assert response.token_summary.total_tokens > 0


class StrangeClient:
    """A user's own client that answers something else than completions."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def parse(self, messages: list, response_format: type[BaseModel]) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "type_name", "said"),
    [
        (None, "InvalidResponseError", "no completion"),
        ({"choices": []}, "InvalidResponseError", "no completion"),
        (KeyError("key sk-or-v1-abcdefghijkl"), "OpenRouterError", "KeyError"),
    ],
)
async def test_a_client_that_gives_no_completions_is_a_typed_failure(
    answer: object, type_name: str, said: str
) -> None:
    with pytest.raises(AgentFailedError, match=said) as caught:
        await AsyncAgentClient(StrangeClient(answer)).agent("Summarise", Story)

    assert caught.value.response.error.type == type_name
    assert "abcdefghijkl" not in str(caught.value)

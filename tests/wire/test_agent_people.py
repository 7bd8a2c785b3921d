"""People and their credentials, over real sockets."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    ConfigurationError,
    DialogOption,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
)
from mbxai.agent.models import Answer, AnswerList
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

TOKEN = "ghp_k3Y9k3Y9k3Y9k3Y9k3Y9k3Y9"
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


def client_of(fake: FakeOpenRouter) -> AsyncOpenRouterClient:
    return AsyncOpenRouterClient("test-key-123456", "openai/gpt-4", fake.base_url, max_retries=0)


def plan(*complexities: int) -> Reply:
    tasks = [
        {
            "key": f"t{number}",
            "title": f"Task {number}",
            "description": f"Do part {number}",
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": complexity,
        }
        for number, complexity in enumerate(complexities, 1)
    ]
    value = {"tasks": tasks, "estimated_total_time": "1 min"}
    return Reply(when=Match(schema="TodoList"), json=value)


def calls(*given: tuple[str, dict[str, Any]], **when: Any) -> Reply:
    """The model's answer in a task of its own: it calls these tools."""
    wanted = Match(tool="ask_question", **when)
    return Reply(tool_calls=[{"name": n, "arguments": a} for n, a in given], when=wanted)


ASK = ("ask_question", {"prompt": "Which region?"})
CHOOSE = ("request_decision", {"prompt": "Cloud?", "options": ["AWS", "GCP"]})
LOG_IN = ("open_dialog", {"dialog_option_id": "jira_auth", "reason": "to read it"})


def said(request: Any, **fields: Any) -> HumanInLoopResponse:
    kind = request.interaction_type
    return HumanInLoopResponse(interaction_id=request.id, response_type=kind, **fields)


def sent(fake: FakeOpenRouter) -> str:
    return str([request.body for request in fake.requests()])


# --- several requests ------------------------------------------------------------------------------


async def test_three_open_requests_are_answered_in_reverse_order_one_call_each(
    fake: FakeOpenRouter,
) -> None:
    fake.script(plan(1), calls(ASK, CHOOSE, LOG_IN), Auto(times=None))
    answers = [
        {"answer": "eu-west"},
        {"decision": "gcp"},
        {"dialog_option_id": "jira_auth", "additional_context": "auth_token:tok-123456"},
    ]
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        response = await agent.agent("Deploy", Story)
        requests = response.human_interaction_requests
        for number in (2, 1, 0):
            assert response.human_interaction_request == requests[0]
            assert response.human_interaction_requests == requests[: number + 1]
            before = len(fake.requests())
            response = await agent.agent(
                "Continue",
                Story,
                agent_id=response.agent_id,
                human_response=said(requests[number], **answers[number]),
            )
            assert (len(fake.requests()) > before) is (number == 0)

    assert response.is_complete()
    assert "eu-west" in sent(fake)
    assert "tok-123456" not in sent(fake)


async def test_an_empty_batch_leaves_a_waiting_session_as_it_is(fake: FakeOpenRouter) -> None:
    fake.script(plan(1), calls(ASK), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Deploy", Story)
        empty = HumanInLoopResponseBatch(responses=[])
        again = await agent.agent("Go on", agent_id=waiting.agent_id, human_response=empty)

    assert again.human_interaction_requests == waiting.human_interaction_requests
    assert again.state is AgentState.WAITING_FOR_HUMAN


async def test_an_abort_while_other_requests_are_open_fails_the_run_and_closes_them(
    fake: FakeOpenRouter,
) -> None:
    fake.script(plan(5, 1), calls(ASK), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Deploy", Story)
        question = next(r for r in waiting.human_interaction_requests if not r.options)
        decision = next(r for r in waiting.human_interaction_requests if r.options)
        with pytest.raises(AgentFailedError, match="aborted") as caught:
            await agent.agent(
                agent_id=waiting.agent_id, human_response=said(decision, decision="abort")
            )
        failed = caught.value.response
        late = await agent.agent(
            agent_id=waiting.agent_id,
            human_response=said(question, answer="eu-west"),
            raise_on_failure=False,
        )

    assert failed.state is AgentState.FAILED
    assert failed.error.type == "Aborted"
    assert not failed.needs_human_interaction()
    assert {task.status for task in failed.todo_list.tasks} == {"skipped"}
    assert late.state is AgentState.FAILED


async def test_a9_a_model_that_asks_people_where_it_may_not_is_told_so_and_does_not_hang(
    fake: FakeOpenRouter,
) -> None:
    def look(place: str) -> str:
        """Look at a place."""
        return f"nothing at {place}"

    script = [
        plan(1),
        Reply(
            tool_calls=[{"name": n, "arguments": a} for n, a in (ASK, CHOOSE, LOG_IN)],
            when=Match(tool="look"),
        ),
        Auto(times=None),
    ]
    fake.script(*script)
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look at a place", look)
        with anyio.fail_after(8):
            response = await AsyncAgentClient(tools, False, [JIRA]).agent("Deploy", Story)

    assert response.is_complete()
    assert response.human_interaction_requests == []
    results = [m["content"] for m in fake.requests()[4].body["messages"] if m["role"] == "tool"]
    assert len(results) == 3
    for name in ("ask_question", "request_decision", "open_dialog"):
        assert any(f"There is no tool '{name}'" in result for result in results)


# --- credentials -----------------------------------------------------------------------------------


class Fetcher:
    """A tool that needs a token, and one that sends texts away."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.posted: list[str] = []

    def register(self, tools: AsyncToolClient) -> None:
        tools.register_tool("fetch_story", "Fetch a story", self.fetch_story, effect="read")
        tools.register_tool("post", "Post a text", self.post, effect="read")

    def fetch_story(self, token: str) -> dict[str, str]:
        """Fetch a story."""
        self.received.append(token)
        return {"title": "Login", "echo": f"Bearer {token}"}

    def post(self, text: str) -> str:
        """Post a text."""
        self.posted.append(text)
        return "posted"


async def test_a_credential_typed_into_an_answer_reaches_a_tool_and_nothing_else(
    fake: FakeOpenRouter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fetcher = Fetcher()
    path = tmp_path / "sessions.sqlite"
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        fetcher.register(tools)
        fake.script(plan(1), calls(ASK), Auto(times=None))
        async with AsyncAgentClient(
            tools, human_in_loop=True, session_handler=SQLiteSessionStore(path)
        ) as agent:
            waiting = await agent.agent("Read it", Story)
            request = waiting.human_interaction_request
            handle = f"secret://answer%3A{request.id}/value_1"
            fake.script(calls(("post", {"text": handle}), ("fetch_story", {"token": handle})))
            answer = said(request, answer=f"Use {TOKEN} in eu-west")
            async with agent.stream(
                "", Story, agent_id=waiting.agent_id, human_response=answer
            ) as run:
                events = [event async for event in run]
            info = await agent.get_session_info(waiting.agent_id)

    assert run.response.is_complete()
    assert fetcher.received == [TOKEN]
    assert TOKEN not in str(fetcher.posted)
    (concealed,) = [event for event in events if event.type == "credential_concealed"]
    assert concealed.handles == (handle,)
    assert "looks like a credential" in caplog.text
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir()).decode("latin1")
    for place in (sent(fake), caplog.text, str(events), str(info), stored):
        assert TOKEN not in place
        assert "k3Y9k3Y9" not in place


async def test_only_the_tools_that_a_dialogue_names_get_its_credentials(
    fake: FakeOpenRouter,
) -> None:
    fetcher = Fetcher()
    option = JIRA.model_copy(update={"allowed_tools": ["post"]})
    handle = "secret://jira_auth/token"
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        fetcher.register(tools)
        agent = AsyncAgentClient(tools, True, [option])
        fake.script(
            plan(1),
            calls(LOG_IN),
            calls(("fetch_story", {"token": handle}), ("post", {"text": handle})),
            Auto(times=None),
        )
        waiting = await agent.agent("Read it", Story)
        answer = said(
            waiting.human_interaction_request,
            dialog_option_id="jira_auth",
            credentials={"token": "tok-123456"},
        )
        done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)

    assert done.is_complete()
    assert "tok-123456" in fetcher.posted
    assert "tok-123456" not in fetcher.received
    assert "fetch_story may not have" in sent(fake)
    assert "tok-123456" not in sent(fake)


async def test_credentials_lost_with_their_process_are_asked_for_again(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    fetcher = Fetcher()
    handle = "secret://jira_auth/token"
    fetch = calls(("fetch_story", {"token": handle}))
    path = tmp_path / "sessions.sqlite"
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        fetcher.register(tools)

        def another() -> AsyncAgentClient:
            return AsyncAgentClient(tools, True, [JIRA], session_handler=SQLiteSessionStore(path))

        def login(response: Any) -> HumanInLoopResponse:
            request = next(r for r in response.human_interaction_requests if r.dialog_options)
            return said(request, dialog_option_id="jira_auth", credentials={"token": "tok-123456"})

        fake.script(plan(1), calls(LOG_IN, ASK), Auto(times=None))
        async with another() as agent:
            waiting = await agent.agent("Read it", Story)
            waiting = await agent.agent(
                "", Story, agent_id=waiting.agent_id, human_response=login(waiting)
            )
        fake.script(fetch, calls(LOG_IN), fetch)
        async with another() as agent:  # the process was started anew: its vault is empty
            answer = said(waiting.human_interaction_request, answer="eu-west")
            again = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)
            assert again.is_waiting_for_human()
            assert fetcher.received == []
            assert f"{handle} is not available any more" in sent(fake)
            done = await agent.agent(
                "", Story, agent_id=waiting.agent_id, human_response=login(again)
            )

    assert done.is_complete()
    assert "tok-123456" in fetcher.received


async def test_a_model_that_asks_for_a_credential_nobody_gives_comes_to_an_end(
    fake: FakeOpenRouter,
) -> None:
    fetcher = Fetcher()
    missing = calls(("fetch_story", {"token": "secret://jira_auth/password"}))
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        fetcher.register(tools)
        agent = AsyncAgentClient(tools, True, [JIRA], max_tool_rounds=20)
        fake.script(plan(1), *[calls(LOG_IN), missing] * 8, Auto(times=None))
        response = await agent.agent("Read it", Story)
        asked = 0
        while response.is_waiting_for_human():
            asked += 1
            answer = said(
                response.human_interaction_request,
                dialog_option_id="jira_auth",
                credentials={"token": f"tok-{asked}23456"},
            )
            response = await agent.agent(
                "", Story, agent_id=response.agent_id, human_response=answer
            )

    assert asked == 3
    assert response.is_complete()
    assert not [token for token in fetcher.received if "password" in token]


# --- arguments of mbxai 2.3 ------------------------------------------------------------------------


async def test_the_arguments_of_2_3_still_ask_and_answer(fake: FakeOpenRouter) -> None:
    fake.script(plan(1), calls(ASK), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.warns(DeprecationWarning, match="ask_questions"):
            waiting = await agent.agent("Deploy", Story, ask_questions=True)
        assert waiting.has_questions()
        answers = AnswerList(answers=[Answer(key=waiting.questions[0].key, answer="eu-west")])
        with pytest.warns(DeprecationWarning, match="answers"):
            done = await agent.agent(
                "Go on with that", Story, agent_id=waiting.agent_id, answers=answers
            )

    assert done.is_complete()
    assert "eu-west" in sent(fake)
    assert "Go on with that" not in sent(fake)


async def test_answers_that_are_no_answer_list_are_refused_by_name(fake: FakeOpenRouter) -> None:
    fake.script(plan(1), calls(ASK), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Deploy", Story)
        with (
            pytest.warns(DeprecationWarning, match="answers"),
            pytest.raises(ConfigurationError, match="AnswerList"),
        ):
            await agent.agent(agent_id=waiting.agent_id, answers={"q": "x"})


async def test_a_change_of_a_task_is_given_in_additional_context(fake: FakeOpenRouter) -> None:
    fake.script(plan(4), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Deploy", Story)
        answer = said(
            waiting.human_interaction_request,
            decision="modify",
            additional_context="only to staging",
        )
        done = await agent.agent(
            "Continue", Story, agent_id=waiting.agent_id, human_response=answer
        )

    assert done.is_complete()
    assert "Changed by a person: only to staging" in sent(fake)

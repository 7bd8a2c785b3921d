"""What must hold when things go wrong around an agent run: other workers, deletion, odd answers."""

import asyncio
from collections.abc import Iterator

import anyio
import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr

from mbxai import (
    AgentFailedError,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    DialogOption,
    HumanInLoopResponse,
    InteractionMismatchError,
    SessionConflictError,
    SessionDataError,
    SessionStoreError,
)
from mbxai.sessions import InMemorySessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

TOKEN = "oauth_token_abc123"
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in", function=print)


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


def task(key: str, **fields: object) -> dict:
    return {
        "key": key,
        "title": key,
        "description": key,
        "depends_on": [],
        "tools_needed": [],
        "estimated_complexity": 1,
        **fields,
    }


def plan(*tasks: dict) -> Reply:
    return Reply(
        when=Match(schema="TodoList"), json={"tasks": [*tasks], "estimated_total_time": "1 min"}
    )


class HeldTool:
    """A tool that waits until it is let go."""

    def __init__(self, result: str = "done") -> None:
        self.started = anyio.Event()
        self.let_go = anyio.Event()
        self.result = result

    async def hold(self, auth_token: str) -> str:
        """Hold on."""
        self.started.set()
        await self.let_go.wait()
        return f"{self.result} {auth_token}"


async def test_a_worker_that_lost_its_lease_discards_what_it_did(fake: FakeOpenRouter) -> None:
    clock = [1000.0]
    store = InMemorySessionStore(now=lambda: clock[0])
    tool = HeldTool()
    errors: list[BaseException] = []
    async with client_of(fake) as client, anyio.create_task_group() as group:
        tools = AsyncToolClient(client)
        tools.register_tool("hold", "Hold on", tool.hold)
        slow = AsyncAgentClient(tools, session_handler=store, lease_seconds=0.6)

        async def run() -> None:
            with pytest.raises(SessionConflictError) as caught:
                await slow.agent("Hold", Story, agent_id="s")
            errors.append(caught.value)

        group.start_soon(run)
        with anyio.fail_after(5):
            await tool.started.wait()
        clock[0] += 100  # the first worker sleeps past its lease; another one takes over
        other = AsyncAgentClient(client, session_handler=store)
        assert (await other.agent("", Story, agent_id="s")).is_complete()
        second = await other.agent("Second turn", Story, agent_id="s")

    assert errors
    kept = await other.get_session_info("s")
    assert kept["prompt"] == "Second turn"
    assert second.is_complete()


async def test_a_session_deleted_during_its_run_does_not_come_back(fake: FakeOpenRouter) -> None:
    tool = HeldTool(result="echo")
    async with client_of(fake) as client, anyio.create_task_group() as group:
        tools = AsyncToolClient(client)
        tools.register_tool("hold", "Hold on", tool.hold)
        agent = AsyncAgentClient(tools, True, [JIRA], lease_seconds=0.6)
        waiting = await agent.agent("Hold", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="dialog_option",
            dialog_option_id="jira_auth",
            credentials={"auth_token": TOKEN},
        )

        async def run() -> None:
            with pytest.raises(SessionConflictError):
                await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)

        group.start_soon(run)
        with anyio.fail_after(5):
            await tool.started.wait()
        assert await agent.delete_session(waiting.agent_id)
        tool.let_go.set()

    assert await agent.list_sessions() == []
    assert TOKEN not in str([request.body for request in fake.requests()])


class SlowHandler:
    """A handler whose writes take a while."""

    def __init__(self) -> None:
        self.data: dict[str, dict] = {}

    async def get_session(self, agent_id: str) -> dict | None:
        return self.data.get(agent_id)

    async def set_session(self, agent_id: str, session_data: dict) -> None:
        await anyio.sleep(0.05)
        self.data[agent_id] = session_data

    async def delete_session(self, agent_id: str) -> bool:
        return self.data.pop(agent_id, None) is not None

    async def list_sessions(self) -> list[str]:
        return list(self.data)

    async def session_exists(self, agent_id: str) -> bool:
        return agent_id in self.data


async def test_a_caller_cancelled_while_it_claims_leaves_the_session_free(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=SlowHandler())
        for delay in (0.01, 0.03, 0.06):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(agent.agent("Go", Story, agent_id="s"), delay)
        assert (await agent.agent("Go", Story, agent_id="s")).is_complete()


async def test_an_error_of_the_store_keeps_its_cause(fake: FakeOpenRouter) -> None:
    class Broken(SlowHandler):
        async def set_session(self, agent_id: str, session_data: dict) -> None:
            if session_data.get("state") == "executing_tasks":
                raise OSError("disk full")
            await super().set_session(agent_id, session_data)

    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=Broken())
        with pytest.raises(SessionStoreError) as caught:
            await agent.agent("Go", Story)

    assert isinstance(caught.value.__cause__, OSError)


async def test_an_approval_of_a_deleted_session_does_not_fit_a_new_one_of_its_name(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        first = await agent.agent("Go", Story, agent_id="order-42")
        await agent.delete_session("order-42")
        second = await agent.agent("Go", Story, agent_id="order-42")

    assert first.human_interaction_request.id != second.human_interaction_request.id


async def test_a_tool_that_comes_to_need_approval_does_not_run_on_an_older_word(
    fake: FakeOpenRouter,
) -> None:
    ran: list[str] = []

    def deploy(place: str) -> str:
        """Deploy."""
        ran.append(place)
        return "deployed"

    async with client_of(fake) as client:

        class Late(AsyncToolClient):
            async def create(self, *args: object, **kwargs: object) -> object:
                completion = await super().create(*args, **kwargs)
                self.register_tool("deploy", "Deploy", deploy, requires_approval=True)
                return completion

        tools = Late(client)
        tools.register_tool("deploy", "Deploy", deploy)
        response = await AsyncAgentClient(tools).agent("Deploy", Story)

    assert response.is_complete()
    assert ran == []


# --- the final response ---------------------------------------------------------------------------


class Aliased(BaseModel):
    title: str = Field(alias="Title")


class WithSecret(BaseModel):
    title: str
    key: SecretStr


class Excluding(BaseModel):
    title: str
    note: str = Field(exclude=True)


@pytest.mark.parametrize("model", [Aliased, WithSecret, Excluding])
async def test_the_final_response_is_the_instance_that_the_model_gave(
    fake: FakeOpenRouter, model: type[BaseModel]
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        response = await agent.agent("Go", model)
        assert isinstance(response.final_response, model)
        if model is Excluding:  # what is not stored cannot be read back, and that is said
            with pytest.raises(SessionDataError, match="Excluding"):
                await agent.get_response(response.agent_id, model)
        else:
            again = await agent.get_response(response.agent_id, model)
            assert isinstance(again.final_response, model)


@pytest.mark.parametrize("model", [RootModel[list[str]], dict, "Story", 7])
async def test_a_final_structure_that_is_no_model_with_fields_is_refused(
    fake: FakeOpenRouter, model: object
) -> None:
    async with client_of(fake) as client:
        with pytest.raises(ConfigurationError, match="model class"):
            await AsyncAgentClient(client).agent("Go", model)


# --- people ---------------------------------------------------------------------------------------


async def test_an_answer_in_words_reaches_the_model_as_it_was_given(fake: FakeOpenRouter) -> None:
    ask = Reply(
        tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Where to?"}}],
        when=Match(tool="ask_question"),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        # Somebody else's session holds a credential that is an ordinary word.
        agent._setup.means.vault.put("other", "jira_auth", {"username": "Lisbon"})
        fake.script(plan(task("a")), ask, Auto(times=None))
        waiting = await agent.agent("Book", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="question",
            answer="The basic subscription, to Lisbon",
        )
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)

    assert "The basic subscription, to Lisbon" in str([r.body for r in fake.requests()])


async def test_whatever_a_dialogue_brings_is_secret(fake: FakeOpenRouter) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Go", Story)
        assert waiting.human_interaction_request.dialog_options[0].function is print
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="dialog_option",
            dialog_option_id="jira_auth",
            decision="hunter22secret",
            answer="hunter33secret",
            additional_context="AKIASECRET99:part2",
        )
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)
        stored = str(await agent.get_session_info(waiting.agent_id))

    for place in (stored, str([request.body for request in fake.requests()])):
        assert "hunter22" not in place
        assert "hunter33" not in place
        assert "AKIASECRET99" not in place


async def test_other_credentials_for_an_answered_dialogue_are_refused(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Go", Story)

        def login(token: str) -> HumanInLoopResponse:
            return HumanInLoopResponse(
                interaction_id=waiting.human_interaction_request.id,
                response_type="dialog_option",
                dialog_option_id="jira_auth",
                credentials={"token": token},
            )

        with pytest.raises(InteractionMismatchError, match="two different"):
            await agent.agent(
                "",
                Story,
                agent_id=waiting.agent_id,
                human_response=[login("one-123456"), login("two-123456")],
            )
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=login("one-123456"))
        with pytest.raises(InteractionMismatchError, match="two different"):
            await agent.agent(
                "", Story, agent_id=waiting.agent_id, human_response=login("two-123456")
            )


async def test_revoked_credentials_are_not_given_to_tools(fake: FakeOpenRouter) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA])
        waiting = await agent.agent("Go", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="dialog_option",
            dialog_option_id="jira_auth",
            credentials={"auth_token": TOKEN},
        )
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=answer)
        await agent.revoke_credentials(waiting.agent_id, "jira_auth")

        assert agent._setup.means.vault.handles(waiting.agent_id) == []


async def test_parameters_of_a_dialogue_must_be_json(fake: FakeOpenRouter) -> None:
    option = DialogOption(id="a", title="A", description="", parameters={"x": object()})
    async with client_of(fake) as client:
        with pytest.raises(ConfigurationError, match="'a'"):
            await AsyncAgentClient(client, True, [option]).agent("Go", Story)


# --- failures and budgets ---------------------------------------------------------------------------


async def test_a_request_that_was_refused_for_good_lets_a_new_prompt_begin_anew(
    fake: FakeOpenRouter,
) -> None:
    too_long = Failure(400, message="context length exceeded", when=Match(contains="too long"))
    fake.script(too_long, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.raises(AgentFailedError) as caught:
            await agent.agent("Something too long", Story, agent_id="s")
        assert not caught.value.response.error.retryable
        response = await agent.agent("Something short", Story, agent_id="s")

    assert response.is_complete()


async def test_parallel_tasks_do_not_pass_the_bound_on_requests(fake: FakeOpenRouter) -> None:
    fake.script(plan(*(task(key) for key in "abcd")), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, budget=Budget(max_requests=5))
        with pytest.raises(BudgetExceededError) as caught:
            await agent.agent("Go", Story)
        assert len(fake.requests()) == 5
        done = await agent.agent(
            "", Story, agent_id=caught.value.response.agent_id, budget=Budget(max_requests=99)
        )

    assert done.is_complete()


async def test_a_watched_run_that_fails_still_tells_where_it_rests(fake: FakeOpenRouter) -> None:
    fake.script(Failure(402, message="no credits"), Auto(times=None))
    async with client_of(fake) as client, AsyncAgentClient(client).stream("Go", Story) as run:
        with pytest.raises(AgentFailedError):
            _ = [event async for event in run]
        await run.aclose()

    assert run.response.error.type == "InsufficientCreditsError"


class FailingTools:
    """A user's own client whose tools raise."""

    def __init__(self, inner: AsyncToolClient) -> None:
        self.inner = inner
        self.parse, self.create = inner.parse, inner.create
        self.tool_infos, self.tool_definitions = inner.tool_infos, inner.tool_definitions

    async def call_tool(self, name: str, arguments: str, **options: object) -> object:
        raise RuntimeError(f"{name} is broken")


async def test_a_users_client_whose_tools_raise_does_not_end_the_run(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", lambda: "x")
        response = await AsyncAgentClient(FailingTools(tools)).agent("Look", Story)

    assert response.is_complete()
    assert "look is broken" in str([request.body for request in fake.requests()])


async def test_a_bound_on_tool_calls_is_exact(fake: FakeOpenRouter) -> None:
    ran: list[str] = []

    def look(place: str) -> str:
        """Look."""
        ran.append(place)
        return "nothing"

    calls = [{"name": "look", "arguments": {"place": f"p{n}"}} for n in range(5)]
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", look)
        fake.script(Reply(tool_calls=calls, when=Match(tool="look")), Auto(times=None))
        agent = AsyncAgentClient(tools)
        with pytest.raises(BudgetExceededError) as caught:
            await agent.agent("Look", Story, budget=Budget(max_tool_calls=3))
        assert caught.value.limit == "max_tool_calls"
        assert len(ran) == 3
        agent_id = caught.value.response.agent_id
        done = await agent.agent("", Story, agent_id=agent_id, budget=Budget(max_tool_calls=5))

    assert done.is_complete()
    assert sorted(ran) == ["p0", "p1", "p2", "p3", "p4"]


class Other(BaseModel):
    other: str


async def test_a_finished_session_is_not_read_as_something_else(fake: FakeOpenRouter) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        done = await agent.agent("Go", Story)
        with pytest.raises(ConfigurationError, match="Story"):
            await agent.agent("", Other, agent_id=done.agent_id)
        again = await agent.agent("Once more", Other, agent_id=done.agent_id)

    assert isinstance(again.final_response, Other)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": 5}, "prompt"),
        ({"tools": "add"}, "list of names"),
        ({"dialog_options": 5}, "dialog_options"),
        ({"dialog_options": JIRA}, "dialog_options"),
        ({"dialog_options": [JIRA, JIRA]}, "two options"),
        ({"human_response": 5}, "human_response"),
        ({"human_response": [5]}, "human_response"),
        ({"budget": 5}, "Budget"),
        ({"human_in_loop": "no way"}, "human_in_loop"),
    ],
)
async def test_arguments_of_another_type_are_refused_by_name(
    fake: FakeOpenRouter, arguments: dict, said: str
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.raises(ConfigurationError, match=said):
            await agent.agent(**{"prompt": "Go", "final_response_structure": Story, **arguments})
        assert await agent.list_sessions() == []
        assert fake.requests() == []


@pytest.mark.parametrize(
    "options",
    [
        {"max_task_iterations": "x"},
        {"max_parallel_tasks": None},
        {"approve_complexity": "x"},
        {"dialog_options": [5]},
        {"budget": {"max_tokens": 5}},
        {"lease_seconds": 0},
    ],
)
async def test_impossible_settings_are_refused_by_name(fake: FakeOpenRouter, options: dict) -> None:
    async with client_of(fake) as client:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            AsyncAgentClient(client, **options)
    with pytest.raises(ConfigurationError, match="max_tokens"):
        Budget(max_tokens="5")

"""Every Python block of the README of mbxai 2.3.0, unchanged, against a fake OpenRouter."""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from support import seed

from mbxai.testing import FakeOpenRouter

BASIC = seed.block("class CityInfo(BaseModel):")
TOOLS = seed.block("# Define a function - schema is auto-generated!")
MCP = seed.block("# Initialize MCP client")
AGENT = seed.block("# Basic usage without human-in-the-loop")
PEOPLE = seed.block("# Initialize agent with human-in-the-loop")
FLIGHTS = seed.block("# Setup tool-enabled agent")

CLIENT = """
import os
from mbxai import AgentClient, OpenRouterClient, ToolClient
from pydantic import BaseModel, Field
openrouter_client = ai_client = any_supported_client = OpenRouterClient(
    token=os.getenv("OPENROUTER_API_KEY")
)
class ProjectPlan(BaseModel):
    project_name: str
    technologies: list[str]
"""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        yield server


@pytest.fixture
def run(fake: FakeOpenRouter, tmp_path: Path) -> functools.partial:
    fake.reset()
    return functools.partial(seed.run, tmp_path, fake.env())


def test_basic_openrouter_client(run: functools.partial) -> None:
    done = run(BASIC, epilogue="assert isinstance(city, CityInfo)")
    assert "What is the capital of France?" in done.stdout


def test_tool_client_with_automatic_schema_generation(
    run: functools.partial, fake: FakeOpenRouter
) -> None:
    done = run(TOOLS)

    assert "Sunny" in done.stdout
    function = fake.requests()[0].body["tools"][0]["function"]
    assert function["parameters"]["properties"]["location"]["description"] == (
        "The city or location name"
    )
    assert function["parameters"]["required"] == ["location"]


def test_agent_client_runs_to_the_end(run: functools.partial) -> None:
    done = run(AGENT, epilogue="assert isinstance(plan, ProjectPlan)")

    assert "Agent State: completed" in done.stdout
    assert "Status: completed" in done.stdout
    assert "Project: " in done.stdout


def test_human_in_the_loop_agent(run: functools.partial, fake: FakeOpenRouter) -> None:
    done = run(PEOPLE, prelude=AGENT)

    assert "Human input needed: Jira Authentication" in done.stdout
    assert "Project completed" in done.stdout
    assert "Goal Achievement: 100%" in done.stdout
    assert "oauth_token_abc123" not in str([request.body for request in fake.requests()])


def test_agent_with_tool_integration(run: functools.partial) -> None:
    # `ask_questions` is deprecated, and says so.
    done = run(FLIGHTS, prelude=AGENT, warnings=("error", "default::DeprecationWarning"))

    assert "Found 1 flights" in done.stdout
    assert "Recommendation: " in done.stdout


def test_new_models_and_types(run: functools.partial) -> None:
    done = run(
        seed.block("# Import new agent models"),
        epilogue="""
        import mbxai.agent.models
        assert Task is mbxai.agent.models.Task and AgentState is mbxai.agent.models.AgentState
        print(TokenUsage().total_tokens, TaskStatus.PENDING.value)
        """,
    )
    assert done.stdout == "0 pending\n"


def test_openrouter_configuration(run: functools.partial) -> None:
    done = run(
        seed.block('model="openai/gpt-4-turbo",  # or use OpenRouterModel enum'),
        prelude=CLIENT,
        epilogue="print(client.model, client.config.max_retries, client.config.retry_max_delay)",
    )
    assert done.stdout == "openai/gpt-4-turbo 3 10.0\n"


def test_tool_client_usage(run: functools.partial) -> None:
    prelude = """
    def function(city: str) -> str:
        return city
    custom_schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    """
    done = run(
        seed.block("# Register with custom schema"),
        prelude=CLIENT + seed.textwrap.dedent(prelude),
        epilogue="""
        [tool] = tool_client.registry.tools()
        assert tool.schema == custom_schema
        print(tool.name, tool.description)
        """,
    )
    assert done.stdout == "function_name description\n"


def test_agent_configuration_options(run: functools.partial) -> None:
    done = run(
        seed.block("ai_client=any_supported_client"),
        prelude=CLIENT,
        epilogue="print(agent.agent('Plan a garden', ProjectPlan).state)",
    )
    assert done.stdout == "completed\n"


def test_new_response_properties(run: functools.partial) -> None:
    done = run(
        seed.block('response = agent.agent("Create a web app", ProjectPlan)'),
        prelude=CLIENT + "agent = AgentClient(ai_client)",
        epilogue="""
        assert response.is_complete() and not response.needs_human_interaction()
        assert not response.is_waiting_for_human()
        assert response.requirement_analysis.goal and response.todo_list.tasks
        assert response.tool_analysis is not None and response.goal_evaluation.goal_achieved
        """,
    )
    assert done.returncode == 0  # the block, and the assertions after it


def test_session_management(run: functools.partial) -> None:
    prelude = """
agent = AgentClient(ai_client)
agent_id = agent.agent("Create a web app", ProjectPlan).agent_id
"""
    done = run(
        seed.block("# List active sessions"),
        prelude=CLIENT + prelude,
        epilogue="""
        assert sessions == [agent_id] and agent.list_sessions() == []
        assert info["original_prompt"] == "Create a web app" and info["conversation_length"] == 2
        """,
    )
    assert done.returncode == 0  # the block, and the assertions after it


def test_custom_model_registration(run: functools.partial) -> None:
    done = run(
        seed.block('OpenRouterClient.register_model("CUSTOM_MODEL", "provider/model-name")'),
        epilogue="assert client.model == 'provider/model-name'",
    )
    assert done.returncode == 0  # the block, and the assertions after it


def test_session_continuation_remembers_the_first_turn(
    run: functools.partial, fake: FakeOpenRouter
) -> None:
    done = run(
        seed.block("# Continue with additional requirements"),
        prelude=CLIENT + "agent = AgentClient(ai_client)",
    )

    assert "Goal achievement: 100%" in done.stdout
    second = [r.body for r in fake.requests() if "Add authentication" in str(r.body["messages"])]
    assert "Create a microservices architecture" in str(second[0]["messages"])


JIRA = seed.block("class JiraSummary(BaseModel):")


def test_jira_example_gives_the_token_to_the_tool_and_to_nobody_else(
    run: functools.partial, fake: FakeOpenRouter
) -> None:
    # The block's own function is wrapped after the fact to see what it was given.
    prelude = """
import json, logging, os, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
given = []
sys.setprofile(lambda frame, event, arg: given.append(frame.f_locals.get("auth_token"))
    if event == "call" and frame.f_code.co_name == "fetch_jira_story" else None)
import threading
threading.setprofile(sys.getprofile())
"""
    epilogue = """
    sys.setprofile(None)
    assert given == ["oauth_token_from_ui"], given
    assert "oauth_token_from_ui" not in json.dumps(agent.get_session_info(response.agent_id))
    """
    done = run(JIRA, prelude=prelude, epilogue=epilogue)

    assert "Story: " in done.stdout
    assert "oauth_token_from_ui" not in done.stderr
    assert "oauth_token_from_ui" not in str([request.body for request in fake.requests()])


def test_multiple_human_interactions_take_a_list_and_a_batch(run: functools.partial) -> None:
    # The block answers requests by fixed ids, so the waiting session is given these ids.
    prelude = """
import json
from mbxai import DialogOption, InMemorySessionHandler
from mbxai.testing import FakeOpenRouter, Reply, Auto, Match
fake = FakeOpenRouter().__enter__()
fake.script(
    Reply(when=Match(schema="TodoList"), json={"estimated_total_time": "1 h", "tasks": [
        {"key": "a", "title": "Ask", "description": "Ask", "depends_on": [], "tools_needed": [],
         "estimated_complexity": 1}]}),
    Reply(when=Match(tool="open_dialog"), tool_calls=[
        {"name": "open_dialog", "arguments": {"dialog_option_id": "github_auth", "reason": "r"}},
        {"name": "request_decision", "arguments": {"prompt": "?", "options": ["approve", "no"]}}]),
    Reply(when=Match(tool="open_dialog"), content="all done"),
    Auto(times=None),
)
ai_client = OpenRouterClient(token="sk-or-v1-test-key", base_url=fake.base_url)
handler = InMemorySessionHandler()
agent = AgentClient(ai_client, True, [DialogOption(id="github_auth", title="G", description="G")],
                    session_handler=handler)
first = agent.agent("Deploy it", ProjectPlan)
agent_id = first.agent_id
text = json.dumps(handler.get_session(agent_id))
login, approval = first.human_interaction_requests
text = text.replace(login.id, "auth_req_1").replace(approval.id, "approval_req_1")
handler.set_session(agent_id, json.loads(text))
"""
    done = run(
        seed.block("# Multiple individual responses"),
        prelude=CLIENT + prelude,
        epilogue="""
        assert response.is_complete() and response.final_response.project_name
        fake.__exit__(None, None, None)
        """,
    )
    assert done.returncode == 0  # the block, and the assertions after it


def test_default_session_handler(run: functools.partial) -> None:
    done = run(
        seed.block("# Default in-memory storage (single instance)"),
        prelude=CLIENT,
        epilogue="print(agent.list_sessions())",
    )
    assert done.stdout == "[]\n"


def test_sentinel_handler_can_be_passed_before_its_methods_are_written(
    run: functools.partial,
) -> None:
    done = run(
        seed.block("# Redis Sentinel for high availability"),
        prelude=CLIENT,
        epilogue="""
        from mbxai import SessionStoreError
        try:
            agent.list_sessions()
        except SessionStoreError as error:
            print(error)
        """,
    )
    assert "ProductionRedisHandler" in done.stdout
    assert "list_sessions" in done.stdout


def test_error_handling_and_logging_show_no_key(
    run: functools.partial, fake: FakeOpenRouter
) -> None:
    key = fake.env()["OPENROUTER_API_KEY"]
    prelude = """
from mbxai import OpenRouterAPIError, OpenRouterConnectionError
client = OpenRouterClient(token=os.environ["OPENROUTER_API_KEY"], model="openai/gpt-4", max_retries=0)
messages = []
"""
    done = run(seed.block("# Configure logging"), prelude=CLIENT + prelude)
    assert "Unexpected Error: " in done.stdout  # an empty list is refused before it is sent
    assert key not in done.stdout + done.stderr


def test_streaming_responses(run: functools.partial) -> None:
    prelude = """
client = openrouter_client
tool_client = ToolClient(openrouter_client)
messages = [{"role": "user", "content": "Say something"}]
"""
    done = run(seed.block("# Streaming with OpenRouterClient"), prelude=CLIENT + prelude)
    assert done.stdout.count("Fake answer to: Say something") == 2


PAUSE = """
response = agent.agent("Read the story PROJ-123", ProjectPlan)
request = response.human_interaction_request
print(json.dumps([response.agent_id, request.id, str(response.state)]))
"""

ANSWER = """
from mbxai import HumanInLoopResponse
response = agent.agent(
    "Continue with user input",
    ProjectPlan,
    agent_id=os.environ["AGENT_ID"],
    human_response=HumanInLoopResponse(
        interaction_id=os.environ["INTERACTION_ID"],
        response_type="dialog_option",
        dialog_option_id="jira_auth",
        additional_context="auth_token:oauth_token_abc123",
    ),
)
print(response.final_response.project_name)
"""


def test_redis_handler_lets_another_process_answer_what_this_one_paused_for(
    run: functools.partial, fake: FakeOpenRouter, tmp_path: Path, redis_url: str
) -> None:
    address = urlsplit(redis_url)
    names = {"localhost:6379": (address.hostname, address.port)}
    # The block uses json without importing it, and its agent asks no people by itself.
    prelude = CLIENT + "import json\nfrom mbxai import DialogOption\n"
    people = """
agent = AgentClient(ai_client, True, [DialogOption(id="jira_auth", title="J", description="D")],
                    session_handler=redis_handler)
"""
    handler = seed.block("class RedisSessionHandler:")
    warnings = ("error", "default::DeprecationWarning")  # the block calls setex
    paused = run(handler, prelude=prelude, epilogue=people + PAUSE, names=names, warnings=warnings)
    agent_id, interaction_id, state = json.loads(paused.stdout)
    assert state == "waiting_for_human"

    env = {**fake.env(), "AGENT_ID": agent_id, "INTERACTION_ID": interaction_id}
    done = seed.run(
        tmp_path,
        env,
        handler,
        prelude=prelude,
        epilogue=people + ANSWER,
        names=names,
        warnings=warnings,
    )
    assert done.stdout.strip()
    with contextlib.closing(redis.Redis.from_url(redis_url)) as store:
        stored = store.get(f"agent:{agent_id}")
        store.delete(f"agent:{agent_id}")
    assert json.loads(stored)["state"] == "completed"
    assert b"oauth_token_abc123" not in stored

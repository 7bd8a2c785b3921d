"""`mbxai run` as other programs see it: lines, JSON, exit codes."""

import json
import re
import shlex
import sys

import pytest
from support.programs import mbxai

from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

SHOP = '''
from pydantic import BaseModel
from mbxai.agent import DialogOption


class Order(BaseModel):
    item: str
    pieces: int


def stock(item: str) -> int:
    """Return how many pieces are in stock."""
    return 73


login = DialogOption(
    id="login", title="Shop login", description="Log in", parameters={"fields": ["password"]}
)
'''

SERVER = '''
from mbxai.mcp import MCPServer

server = MCPServer("shelf")


@server.tool(effect="read")
def shelf_of(item: str) -> str:
    """Return where an item stands."""
    return f"shelf 14 for {item}"


server.run_stdio_sync()
'''


@pytest.fixture
def shop(tmp_path):
    """A folder with a user's own code."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "server.py").write_text(SERVER)
    return tmp_path


@pytest.fixture
def fake():
    with FakeOpenRouter() as server:
        yield server


def final_json(lines):
    """The JSON at the end of plain output."""
    start = max(i for i, line in enumerate(lines) if line == "{")
    return json.loads("\n".join(lines[start:]))


def with_plan(**task) -> dict[str, object]:
    planned = {"key": "a", "title": "Order it", "description": "Order the lamp", "depends_on": []}
    planned |= {"tools_needed": [], "estimated_complexity": 1}
    return {"TodoList": {"tasks": [planned | task], "estimated_total_time": "1 minute"}}


def test_plain_output_is_one_line_an_event_and_ends_with_the_json_of_the_schema(shop, fake):
    words = ["run", "Order a lamp", "--schema", "shop:Order", "--tool", "shop:stock"]
    ended = mbxai(*words, env=fake.env(), cwd=shop)
    assert (ended.code, ended.err) == (0, "")
    assert set(final_json(ended.lines)) == {"item", "pieces"}
    phases = [line.split(maxsplit=1)[1] for line in ended.lines if line.startswith("phase")]
    assert phases == [
        "analyzing requirement",
        "analyzing tools",
        "generating todo",
        "executing tasks",
        "evaluating goal",
        "completed",
    ]
    assert "tool    stock done" in ended.lines
    assert "\x1b" not in ended.out
    assert any("73" in str(request.body) for request in fake.requests())


def test_without_a_schema_the_answer_is_a_result_in_words(shop, fake):
    ended = mbxai("run", "Say hello", env=fake.env(), cwd=shop)
    assert ended.code == 0
    assert set(final_json(ended.lines)) == {"result"}


def test_the_model_is_the_one_that_is_asked_for(shop, fake):
    assert mbxai("run", "Hi", "--model", "GPT41", env=fake.env(), cwd=shop).code == 0
    assert {request.json["model"] for request in fake.requests()} == {"openai/gpt-4.1"}


def test_json_output_is_one_object_a_line(shop, fake):
    ended = mbxai("run", "Hi", "--schema", "shop:Order", "--json", env=fake.env(), cwd=shop)
    objects = [json.loads(line) for line in ended.lines]
    assert (ended.code, ended.err) == (0, "")
    assert objects[0] == {"seq": 1, "type": "state_changed", "state": "analyzing_requirement"}
    assert objects[-1]["type"] == "outcome"
    assert objects[-1]["state"] == "completed"
    assert set(objects[-1]["final_response"]) == {"item", "pieces"}
    used = sum(o["usage"]["total_tokens"] for o in objects if o["type"] == "usage_added")
    assert objects[-1]["usage"]["total_tokens"] == used > 0


def test_the_tools_of_a_server_over_stdio_are_used(shop, fake):
    server = f"shelf={shlex.join([sys.executable, str(shop / 'server.py')])}"
    ended = mbxai("run", "Where is the lamp?", "--mcp", server, env=fake.env(), cwd=shop)
    assert (ended.code, ended.err) == (0, "")
    assert "start   Connecting to shelf" in ended.lines
    assert "tool    shelf_of done" in ended.lines
    assert any("shelf 14 for" in str(request.body) for request in fake.requests())


def test_a_decision_is_read_from_standard_input(shop):
    with FakeOpenRouter(auto_overrides=with_plan(estimated_complexity=5)) as fake:
        ended = mbxai("run", "Order", "--human", env=fake.env(), cwd=shop, typed="9\n1\n")
    assert (ended.code, ended.err) == (0, "")
    assert "  1  proceed" in ended.lines
    assert "asks    answered" in ended.lines
    assert "task    completed: Order it" in ended.lines


def test_abort_ends_the_run_with_its_plan_and_the_reason(shop):
    with FakeOpenRouter(auto_overrides=with_plan(estimated_complexity=5)) as fake:
        ended = mbxai("run", "Order", "--human", env=fake.env(), cwd=shop, typed="abort\n")
    assert ended.code == 1
    assert ended.err == "The run failed: A person aborted the run.\n"
    assert ended.lines[-1] == "task    skipped: Order it (A person aborted the run.)"


def test_a_question_of_the_model_is_answered_by_a_line(shop):
    asks = Reply(
        tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which colour?"}}],
        when=Match(tool="ask_question"),
    )
    with FakeOpenRouter([asks, Auto(times=None)]) as fake:
        ended = mbxai("run", "Order", "--human", env=fake.env(), cwd=shop, typed="dark blue\n")
        bodies = [str(request.body) for request in fake.requests()]
    assert (ended.code, ended.err) == (0, "")
    assert "? Which colour?" in ended.lines
    assert any("dark blue" in body for body in bodies)


def test_what_is_typed_into_a_dialogue_reaches_no_model_and_no_output(shop, fake):
    words = ["run", "Order", "--human", "--dialog", "shop:login", "--json"]
    ended = mbxai(*words, env=fake.env(), cwd=shop, typed="hunter2222\n")
    assert ended.code == 0
    assert "? Shop login: Log in" in ended.err
    assert json.loads(ended.lines[-1])["state"] == "completed"
    bodies = str([request.body for request in fake.requests()])
    assert "secret://login/password" in bodies
    assert "hunter2222" not in bodies + ended.out + ended.err


def test_without_anybody_to_answer_the_run_waits_and_a_second_process_goes_on(shop):
    with FakeOpenRouter(auto_overrides=with_plan(estimated_complexity=5)) as fake:
        words = ["run", "Order", "--human", "--schema", "shop:Order", "--session", "s.sqlite"]
        first = mbxai(*words, env=fake.env(), cwd=shop)
        before = len(fake.requests())
        [command] = re.findall(r"^  mbxai (.*)$", first.err, flags=re.MULTILINE)
        second = mbxai(*shlex.split(command), env=fake.env(), cwd=shop, typed="proceed\n")
        after = len(fake.requests())
    assert first.code == 3
    assert first.err.startswith("The run waits for a person.\nSession ")
    assert (second.code, second.err) == (0, "")
    assert set(final_json(second.lines)) == {"item", "pieces"}
    assert not any("analyzing requirement" in line for line in second.lines)
    assert after > before > 0


def test_a_finished_session_takes_another_goal(shop, fake):
    session = ["--session", "s.sqlite", "--agent-id", "mine"]
    assert mbxai("run", "Order a lamp", *session, env=fake.env(), cwd=shop).code == 0
    without_goal = mbxai("run", *session, env=fake.env(), cwd=shop)
    assert without_goal.code == 1
    assert without_goal.err.startswith("The session 'mine' has ended. Give a goal")
    assert mbxai("run", "Now a chair", *session, env=fake.env(), cwd=shop).code == 0
    assert any("Order a lamp" in str(r.body) for r in fake.requests() if "chair" in str(r.body))


def test_a_used_up_budget_says_how_to_go_on(shop, fake):
    words = ["run", "Order", "--session", "s.sqlite"]
    ended = mbxai(*words, "--max-cost", "0.0000001", env=fake.env(), cwd=shop)
    assert ended.code == 1
    assert ended.err.startswith("The budget is used up: max_cost_usd")
    [command] = re.findall(r"^  mbxai (.*)$", ended.err, flags=re.MULTILINE)
    more = mbxai(*shlex.split(command), "--max-cost", "1", env=fake.env(), cwd=shop)
    assert (more.code, more.err) == (0, "")


def test_a_failed_run_is_told_in_one_line_and_can_be_tried_again(shop):
    refusal = Failure(402, message="Insufficient credits")
    with FakeOpenRouter([refusal, Auto(times=None)]) as fake:
        failed = mbxai("run", "Order", "--session", "s.sqlite", env=fake.env(), cwd=shop)
        [command] = re.findall(r"^  mbxai (.*)$", failed.err, flags=re.MULTILINE)
        again = mbxai(*shlex.split(command), env=fake.env(), cwd=shop)
    assert failed.code == 1
    [first, *_] = failed.err.splitlines()
    assert first.startswith("The run failed: ")
    assert "Insufficient credits" in first
    assert again.code == 0


def test_without_a_key_one_line_says_what_to_do(shop):
    for command in (["run", "Order"], ["chat"]):
        ended = mbxai(*command, env={}, cwd=shop)
        assert (ended.code, ended.out) == (2, "")
        hint = "Set OPENROUTER_API_KEY, or use --local for a small model on this machine.\n"
        assert ended.err == hint


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--schema", "shop:login"], "shop:login is no pydantic model but DialogOption."),
        (["--schema", "shop:Nothing"], "The module 'shop' has no 'Nothing'."),
        (["--schema", "nowhere:Order"], "There is no module 'nowhere'."),
        (["--tool", "shop"], "'shop' names no object."),
        (["--mcp", "shelf"], "--mcp 'shelf' names no server."),
        (["--mcp", "shelf=no-such-program"], "MCP server 'shelf' could not be reached."),
        (["--model", "NOPE"], "Unknown model alias 'NOPE'."),
        (["--session", "no/such/folder.sqlite"], "The session database "),
        (["--max-cost", "0"], "Budget: max_cost_usd must be positive"),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line(shop, fake, words, problem):
    ended = mbxai("run", "Order", *words, env=fake.env(), cwd=shop)
    assert ended.code == 1
    assert ended.err.startswith(problem)
    assert ended.err.count("\n") == 1
    assert fake.requests() == []


def test_an_unknown_option_and_a_missing_goal_are_usage_errors(shop, fake):
    assert mbxai("run", "Order", "--bogus", env=fake.env(), cwd=shop).code == 2
    ended = mbxai("run", env=fake.env(), cwd=shop)
    assert (ended.code, ended.err) == (2, 'Say what is to be achieved: mbxai run "your goal"\n')


def test_an_unknown_session_without_a_goal_is_not_found(shop, fake):
    words = ["run", "--session", "s.sqlite", "--agent-id", "nobody"]
    ended = mbxai(*words, env=fake.env(), cwd=shop)
    assert (ended.code, ended.err) == (1, "Agent session nobody not found\n")

"""`mbxai sessions` as other programs see it: lines, JSON, exit codes."""

import json
import re
import subprocess
import sys
import time

import pytest
from support import services
from support.programs import environment, mbxai

from mbxai.testing import FakeOpenRouter

SHOP = """
import os
from contextlib import asynccontextmanager

from pydantic import BaseModel

from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, OpenRouterClient
from mbxai.sessions import SQLiteSessionStore


class Receipt(BaseModel):
    summary: str


store = SQLiteSessionStore("s.sqlite")


def blocking():
    return AgentClient(OpenRouterClient(), session_handler=store)


async def awaited():
    return AsyncAgentClient(AsyncOpenRouterClient(), session_handler=store)


@asynccontextmanager
async def closed():
    async with AsyncOpenRouterClient() as client:
        yield AsyncAgentClient(client, session_handler=store)
    print("closed")


def broken():
    raise OSError("no such\\x1b[2J shelf")


number = 5
if "MODULE_AGENT" in os.environ:
    agent = blocking()
"""

SUBMIT = """
import sys
import shop
with shop.blocking() as agent:
    for _ in range(int(sys.argv[1])):
        print(agent.submit("Say hello", shop.Receipt))
"""


def plan() -> dict[str, object]:
    task = {"key": "a", "title": "Order it", "description": "Order", "depends_on": []}
    task |= {"tools_needed": [], "estimated_complexity": 5}
    return {"TodoList": {"tasks": [task], "estimated_total_time": "1 minute"}}


@pytest.fixture(scope="module")
def server():
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.fixture
def fake(server):
    server.reset()
    return server


@pytest.fixture
def shop(tmp_path):
    """A folder with a user's own code."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def run_once(shop, fake, *, agent_id="mine", human=True, store="s.sqlite"):
    words = ["run", "Order a lamp", "--session", store, "--agent-id", agent_id]
    return mbxai(*words, *(["--human"] if human else []), env=fake.env(), cwd=shop)


def sessions(shop, *words, typed="", store="s.sqlite"):
    return mbxai("sessions", *words, "--store", store, env={}, cwd=shop, typed=typed)


def submitted(shop, fake, count=1):
    done = subprocess.run(
        [sys.executable, "-c", SUBMIT, str(count)],
        cwd=shop,
        env=environment(fake.env()),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_session_is_listed_shown_answered_and_goes_on(shop, fake):
    assert run_once(shop, fake).code == 3  # it waits

    listed = sessions(shop, "list", "--status", "waiting_for_human")
    assert (listed.code, listed.err) == (0, "")
    assert re.fullmatch(r"mine  waiting_for_human +\d+ s  version \d+\n", listed.out)

    shown = sessions(shop, "show", "mine")
    assert (shown.code, shown.err) == (0, "")
    assert "state    waiting for human" in shown.lines
    assert "         options: proceed, skip, modify, abort" in shown.lines

    answered = sessions(shop, "answer", "mine", typed="1\n")
    assert (answered.code, answered.err) == (0, "")
    assert answered.lines[-1] == "1 answer left for session mine."

    ended = mbxai("run", "--session", "s.sqlite", "--agent-id", "mine", env=fake.env(), cwd=shop)
    assert ended.code == 0
    assert "state    completed" in sessions(shop, "show", "mine").lines


def test_everything_is_there_as_json(shop, fake):
    run_once(shop, fake)
    [listed] = map(json.loads, sessions(shop, "list", "--json").lines)
    assert (listed["type"], listed["agent_id"]) == ("session", "mine")
    [shown] = map(json.loads, sessions(shop, "show", "mine", "--json").lines)
    [request] = shown["human_interaction_requests"]
    assert shown["usage"]["total_tokens"] > 0
    [exported] = map(json.loads, sessions(shop, "export", "mine", "--json").lines)
    assert exported["events"][0]["seq"] == 1
    assert exported == json.loads(sessions(shop, "export", "mine").out)

    words = ["answer", "mine", "--request", request["id"], "--decision", "skip", "--json"]
    assert json.loads(sessions(shop, *words).out) == {
        "agent_id": "mine",
        "answered": [request["id"]],
    }
    fork = json.loads(sessions(shop, "fork", "mine", "--new-id", "two", "--json").out)
    assert fork == {"agent_id": "two", "fork_of": "mine"}
    assert json.loads(sessions(shop, "delete", "two", "--json").out) == {
        "agent_id": "two",
        "deleted": True,
    }
    swept = sessions(shop, "sweep", "--older-than", "1d", "--json")
    assert json.loads(swept.out) == {"removed": 0}


def test_a_fork_begins_where_an_event_left_the_session(shop, fake):
    run_once(shop, fake, human=False)
    events = json.loads(sessions(shop, "export", "mine").out)["events"]
    planned = next(event["seq"] for event in events if event["type"] == "plan_changed")
    forked = sessions(shop, "fork", "mine", "--at", str(planned))
    assert (forked.code, forked.err) == (0, "")
    fork_id = forked.out.strip()
    assert "state    completed" not in sessions(shop, "show", fork_id).lines
    refused = sessions(shop, "fork", "mine", "--at", "100000")
    assert (refused.code, refused.out) == (1, "")


def test_a_long_list_comes_in_parts(shop, fake):
    ids = submitted(shop, fake, count=5)
    first = sessions(shop, "list", "--limit", "2")
    cursor = re.fullmatch(r"There are more: --cursor (\S+)\n", first.err)
    assert cursor is not None
    rest = sessions(shop, "list", "--json", "--cursor", cursor[1])
    names = [line.split()[0] for line in first.lines]
    names += [json.loads(line)["agent_id"] for line in rest.lines]
    assert sorted(names) == sorted(ids)
    more = json.loads(sessions(shop, "list", "--json", "--limit", "1").lines[-1])
    assert (more["type"], bool(more["cursor"])) == ("more", True)


def test_deleting_tells_what_was_not_there(shop, fake):
    run_once(shop, fake)
    ended = sessions(shop, "delete", "nobody", "mine")
    assert (ended.code, ended.out) == (1, "Session mine is deleted.\n")
    assert ended.err == "There is no session nobody.\n"
    assert sessions(shop, "list").out == ""


def test_cancelling_ends_what_waits_and_tells_what_was_over(shop, fake):
    run_once(shop, fake)
    ended = sessions(shop, "cancel", "mine", "nobody")
    assert (ended.code, ended.out) == (1, "Session mine will end.\n")
    assert "nobody is not there" in ended.err
    again = sessions(shop, "cancel", "mine", "--json")
    assert (again.code, json.loads(again.out)["cancelled"]) == (1, False)
    assert json.loads(sessions(shop, "show", "mine", "--json").out)["state"] == "failed"


def test_old_sessions_are_swept(shop, fake):
    run_once(shop, fake)
    assert sessions(shop, "sweep", "--older-than", "1h").out == "0 sessions removed.\n"
    time.sleep(1.1)
    assert sessions(shop, "sweep", "--older-than", "1s").out == "1 session removed.\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["show", "nobody"], "Agent session nobody not found"),
        (["show", "a\x1b[2Jb"], "There is no session of this agent_id."),
        (["export", "nobody"], "Agent session nobody not found"),
        (["answer", "nobody"], "Agent session nobody not found"),
        (["answer", "mine", "--decision", "perhaps"], "The answer to request"),
        (["answer", "mine", "--request", "r1"], "The session mine waits for no answer to r1."),
        (["answer", "mine", "--content", "[1]"], "--content is no JSON object."),
        (["fork", "nobody"], "Agent session nobody not found"),
        (["list", "--cursor", "?"], ""),
        (["sweep", "--older-than", "soon"], "'soon' is no span of time."),
        (["list", "--store", "no.sqlite"], "There is no session store 'no.sqlite'."),
        (["list", "--store", "redis://:hush@127.0.0.1:x/0"], ""),
        (["list", "--store", "mysql://u:hush@127.0.0.1"], "There is no session store of the kind"),
    ],
)
def test_a_mistake_is_one_line(shop, fake, words, problem):
    run_once(shop, fake)
    store = [] if "--store" in words else ["--store", "s.sqlite"]
    ended = mbxai("sessions", *words, *store, env={}, cwd=shop)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(problem)
    assert ended.err.count("\n") == 1
    assert "\x1b" not in ended.err
    assert "hush" not in ended.err


def test_nobody_who_answers_leaves_the_session_as_it_was(shop, fake):
    run_once(shop, fake)
    ended = sessions(shop, "answer", "mine")
    assert (ended.code, ended.err) == (3, "Nobody answered.\n")
    assert "state    waiting for human" in sessions(shop, "show", "mine").lines


def test_the_environment_may_name_the_store(shop, fake):
    run_once(shop, fake)
    named = mbxai("sessions", "list", env={"MBXAI_SESSION_STORE": "sqlite:s.sqlite"}, cwd=shop)
    assert (named.code, len(named.lines)) == (0, 1)
    nowhere = mbxai("sessions", "list", env={}, cwd=shop)
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "MBXAI_SESSION_STORE" in nowhere.err


def test_a_run_keeps_its_session_in_redis(shop, fake, tmp_path):
    port, folder = services.free_port(), tmp_path / "redis"
    folder.mkdir()
    with services.own_redis(port, str(folder), "--requirepass", "hush"):
        url = f"redis://:hush@127.0.0.1:{port}/0"
        waiting = run_once(shop, fake, store=url)
        assert waiting.code == 3
        assert "hush" not in waiting.out + waiting.err
        assert f"redis://:***@127.0.0.1:{port}/0" in waiting.err.replace("'", "")
        assert sessions(shop, "list", store=url).out.startswith("mine  waiting_for_human")
        assert sessions(shop, "answer", "mine", "--decision", "proceed", store=url).code == 0
        words = ["run", "--session", url, "--agent-id", "mine"]
        assert mbxai(*words, env=fake.env(), cwd=shop).code == 0


@pytest.mark.parametrize("target", ["blocking", "awaited", "closed", "agent"])
def test_work_takes_an_agent_or_what_makes_one(shop, fake, target):
    ids = submitted(shop, fake, count=2)
    env = {**fake.env(), **({"MODULE_AGENT": "1"} if target == "agent" else {})}
    words = ["sessions", "work", f"shop:{target}", "--until-idle", "--poll", "0.05"]
    ended = mbxai(*words, env=env, cwd=shop)
    assert ended.code == 0, ended.err
    assert ended.out == ("closed\n" if target == "closed" else "")
    for agent_id in ids:
        assert f"agent {agent_id}: evaluating_goal -> completed" in ended.err
    assert len(sessions(shop, "list", "--status", "completed").lines) == 2


def test_the_log_of_a_worker_is_there_as_json(shop, fake):
    [agent_id] = submitted(shop, fake)
    words = ["sessions", "work", "shop:closed", "--until-idle", "--json"]
    ended = mbxai(*words, env=fake.env(), cwd=shop)
    said = [json.loads(line) for line in ended.err.splitlines()]
    assert ended.code == 0
    assert {entry["level"] for entry in said} == {"info"}
    assert f"agent {agent_id}: evaluating_goal -> completed" in [e["message"] for e in said]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("shop", "'shop' names no object."),
        ("nowhere:agent", "There is no module 'nowhere'."),
        ("shop:agent", "The module 'shop' has no 'agent'."),
        ("shop:number", "shop:number is no agent but int."),
        ("shop:Receipt", "shop:Receipt made no agent: ValidationError"),
        ("shop:broken", "shop:broken made no agent: OSError: no such[2J shelf"),
    ],
)
def test_what_is_no_agent_is_told_in_one_line(shop, fake, target, problem):
    ended = mbxai("sessions", "work", target, env=fake.env(), cwd=shop)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(problem)
    assert ended.err.count("\n") == 1


def test_help_tells_of_every_command_and_option_in_eighty_columns(shop):
    commands = ["list", "show", "export", "answer", "cancel", "fork", "delete", "sweep", "work"]
    texts = [mbxai("sessions", "--help", env={}, cwd=shop).out]
    assert all(f"\n  {command} " in texts[0] for command in commands)
    for command in commands:
        told = mbxai("sessions", command, "--help", env={}, cwd=shop)
        assert told.code == 0
        assert "--json" in told.out
        assert "--store" in told.out or command == "work"
        texts.append(told.out)
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


def test_with_a_key_sessions_are_sealed_and_another_key_does_not_open_them(shop, fake):
    keys = [
        "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=",
        "MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=",
    ]
    right, wrong = ({"MBXAI_SESSION_KEY": key} for key in keys)
    words = ["run", "Order a xylophone", "--human", "--session", "s.sqlite", "--agent-id", "mine"]
    assert mbxai(*words, env={**fake.env(), **right}, cwd=shop).code == 3
    stored = b"".join(path.read_bytes() for path in shop.glob("s.sqlite*"))
    assert b"xylophone" not in stored

    words = ["sessions", "export", "mine", "--store", "s.sqlite"]
    assert "xylophone" in mbxai(*words, env=right, cwd=shop).out
    for env in (wrong, {}):
        refused = mbxai(*words, env=env, cwd=shop)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.count("\n") == 1
        assert not any(key in refused.err for key in keys)

"""How the command line names stores and spans of time, and shows sessions."""

import json
import time
from pathlib import Path

import pytest

from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    HumanInLoopRequest,
    HumanInteractionType,
    Task,
    TaskStatus,
    TodoList,
)
from mbxai.cli._sessions_store import opened_sessions, seconds_of, store_of, without_password
from mbxai.cli._sessions_view import (
    age,
    export_json,
    session_json,
    session_text,
    summary_json,
    summary_line,
    tools_of,
)
from mbxai.cli._text import escaped
from mbxai.errors import ConfigurationError, MBXAIError
from mbxai.sessions import (
    PostgresSessionStore,
    RedisSessionStore,
    SessionRecord,
    SessionSummary,
    SQLiteSessionStore,
)

STEERING = "a\x1b[2Jb\x9bc\u202ed\r"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("s.sqlite", "s.sqlite"),
        ("sqlite:s.sqlite", "s.sqlite"),
        ("sqlite:/var/s.sqlite", "/var/s.sqlite"),
        ("sqlite:///var/s.sqlite", "/var/s.sqlite"),
        ("C:s.sqlite", "C:s.sqlite"),
    ],
)
def test_a_path_is_an_sqlite_file(name, path):
    store = store_of(name)
    assert isinstance(store, SQLiteSessionStore)
    assert store.path == Path(path).absolute()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://user:secret@127.0.0.1:1/0"])
def test_a_redis_url_is_a_redis_store(url):
    assert isinstance(store_of(url), RedisSessionStore)


@pytest.mark.parametrize("kind", ["postgresql", "postgres"])
def test_a_postgres_url_is_a_postgres_store(kind):
    assert isinstance(store_of(f"{kind}://user:secret@127.0.0.1:1/x"), PostgresSessionStore)


@pytest.mark.parametrize("name", ["", "sqlite:", "mysql://root:secret@127.0.0.1/x", "http://x/"])
def test_anything_else_is_refused_without_its_password(name):
    with pytest.raises(ConfigurationError) as caught:
        store_of(name)
    assert "secret" not in str(caught.value)
    assert "redis://" in str(caught.value)


def test_a_file_that_is_to_be_looked_at_must_be_there(tmp_path):
    missing = tmp_path / "missing.sqlite"
    with pytest.raises(ConfigurationError, match=r"missing\.sqlite"):
        store_of(str(missing), must_exist=True)
    assert not missing.exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my file.sqlite", "my file.sqlite"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:se:cret@host:1/0", "redis://:***@host:1/0"),
        ("postgresql://me:se%40cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?password=secret&x=1", "postgresql://host/db?password=***&x=1"),
        ("redis://[bad:secret@", "redis://..."),
    ],
)
def test_a_store_is_named_without_its_password(name, shown):
    assert without_password(name) == shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), (" 12 H ", 43200), ("30d", 2_592_000)]
)
def test_spans_of_time_have_a_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1.5h", "1w", "9" * 30 + "d", "d"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(ConfigurationError, match="span of time"):
        seconds_of(text)


def test_looking_at_sessions_calls_no_model_and_runs_no_tool(tmp_path):
    store_path = tmp_path / "s.sqlite"
    store_path.touch()
    with opened_sessions(str(store_path), tools=["ship"]) as agent:
        with pytest.raises(MBXAIError):
            agent.agent("Hello")
        assert [session for session in agent.sessions.list().sessions if session.version > 1] == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds, words):
    assert age(seconds) == words


def summary(**fields):
    known = {"agent_id": "one", "scope": "", "version": 3, "status": "completed"}
    known |= {"is_claimed": False, "created_at": 1.0, "updated_at": 2.0}
    return SessionSummary(**{**known, **fields})


def test_a_listed_session_is_one_line():
    line = summary_line(summary(is_claimed=True), now=62, width=5)
    assert line.split() == ["one", "completed", "1", "min", "version", "3", "claimed"]
    assert summary_line(summary(status=STEERING), now=62, width=5).isprintable()
    assert json.loads(summary_json(summary()))["updated_at"] == 2.0


def response() -> AgentResponse:
    task = Task(title=f"Ship{STEERING}", description="", status=TaskStatus.FAILED)
    return AgentResponse(
        agent_id="one",
        state=AgentState.WAITING_FOR_HUMAN,
        todo_list=TodoList(tasks=[task], estimated_total_time=""),
        human_interaction_requests=[
            HumanInLoopRequest(
                id="ask-1",
                interaction_type=HumanInteractionType.DECISION,
                prompt=f"Really{STEERING}?",
                options=["yes", f"no{STEERING}"],
            )
        ],
        final_response={"said": STEERING, "half": "\ud83d"},
        error=AgentFailure(type="X", message=f"broke{STEERING}"),
    )


def record() -> SessionRecord:
    now = time.time()
    return SessionRecord(
        agent_id="one", version=4, fence=1, created_at=now, updated_at=now, data={}
    )


def test_a_shown_session_has_plan_requests_and_answer_and_steers_no_terminal():
    text = session_text(response(), record())
    assert all(line.isprintable() for line in text.split("\n"))
    for wanted in ("version  4", "failed: Ship", "ask-1 decision: Really", "options: yes, no"):
        assert wanted in text
    answer = json.loads(text[text.index("{") :])
    assert answer == {"said": STEERING, "half": "\ud83d"}


def test_a_shown_session_as_json_is_one_line_that_loses_nothing():
    line = session_json(response(), record())
    assert line.isprintable()
    assert line.encode()
    shown = json.loads(line)
    assert shown["final_response"]["said"] == STEERING
    assert shown["human_interaction_requests"][0]["id"] == "ask-1"
    assert (shown["state"], shown["version"]) == ("waiting_for_human", 4)


def test_an_export_keeps_its_content_and_steers_no_terminal():
    content = {"a": STEERING, "b": ["ü", "\ud83d", {"c\x07": 1}]}
    for as_line in (True, False):
        text = export_json(content, as_line=as_line)
        assert json.loads(text) == content
        assert "ü" in text
        assert all(line.isprintable() for line in text.split("\n"))
        assert (text.count("\n") == 0) is as_line


def test_escaping_changes_nothing_else():
    assert escaped('{"a": "ü 漢 🙂\\n"}') == '{"a": "ü 漢 🙂\\n"}'


def test_tools_of_a_session_are_those_it_called_or_is_about_to_call():
    info = {
        "runs": {"t": {"calls": [{"name": "ship"}, {"name": "pay"}]}},
        "interactions": [{"paused": {"name": "book"}}, {"paused": None}],
    }
    assert tools_of(info) == ["book", "pay", "ship"]

"""Every file of `examples` runs as its docstring says, against a fake OpenRouter.

A new file needs an entry here: what it prints, or the test that has it.
"""

import json
import os
import re
import runpy
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support import seed, services

from mbxai.errors import LocalModelError
from mbxai.local._weights import model_path, require_engine
from mbxai.testing import Auto, Drop, Failure, FakeOpenRouter, Match, Reply

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
FILES = sorted(
    str(path.relative_to(EXAMPLES))
    for path in EXAMPLES.rglob("*")
    if path.suffix in {".py", ".ipynb"}
)

TOLD = "Implement user authentication"

# What is printed once for the blocking half and once for the awaited one.
PRINTED_TWICE = {
    "agent.py": r"\[completed\] .+\nExample Air, .+ to .+, \$450\nRecommendation: .+\n[\d.]+ USD",
    "agent_watch.py": r"analyzing_requirement\n(.*\n)+?  \[completed\] .+\n(.*\n)*?Plan: .+",
    "chat.py": r"(of France\?\n.+\n\d+ tokens, [\d.e-]+ USD|of Norway\?\n.+of Peru\?)",
    "mcp_client.py": r"read_project_file answered: # mbxai",
    "session_continuation.py": r"Goal achievement: 100%",
    "structured_output.py": r"\w+, .+: [\d,]+ people",
    "tools.py": r"get_weather answered: .+: sunny, 22 degrees celsius",
}

OWN_TEST = {
    "custom_model.py",
    "errors.py",
    "local_model.py",
    "people_in_the_loop.py",
    "sessions_redis.py",
    "sessions_sqlite.py",
    "streaming.py",
    "testing_with_fake.py",
}

ELSEWHERE = {
    "demo.py": "noxfile.py",
    "fastapi_shop/agent_service.py": "tests/integration/test_fastapi_shop.py",
    "fastapi_shop/shop_agent.py": "tests/integration/test_fastapi_shop.py",
    "fastapi_shop/shop_service.py": "tests/integration/test_fastapi_shop.py",
    "fastapi_shop/ui_forms.py": "tests/integration/test_fastapi_shop.py",
    "fastapi_shop/ui_service.py": "tests/integration/test_fastapi_shop.py",
    "mcp_server.py": "tests/integration/test_mcp_example.py",
    "quickstart.ipynb": "tests/integration/test_notebook_quickstart.py",
    "starlette_service.py": "tests/integration/test_starlette_example.py",
    "worker.py": "tests/integration/test_agent_workers_example.py",
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as running:
        yield running


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


def run(name: str, *args: str, fake: FakeOpenRouter, folder: Path = ROOT, **env: str) -> str:
    """Run an example without a terminal; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *args],
        env=seed.environment({**fake.env(), **env}, {}),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not done.stderr
    return done.stdout


def bodies(fake: FakeOpenRouter) -> str:
    return json.dumps([request.json for request in fake.requests()])


@pytest.mark.parametrize("name", FILES)
def test_every_example_has_a_test_and_says_how_to_run_it(name: str) -> None:
    entries = [table for table in (PRINTED_TWICE, OWN_TEST, ELSEWHERE) if name in table]
    assert len(entries) == 1, "a new example needs an entry here"
    stem = Path(name).stem
    if name in OWN_TEST:  # in the table, and in a test
        assert Path(__file__).read_text(encoding="utf-8").count(stem) > 1
    if name in ELSEWHERE:
        assert stem in (ROOT / ELSEWHERE[name]).read_text(encoding="utf-8")
    if name.endswith(".ipynb"):
        return
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    if name != "demo.py":
        assert re.match(rf'""".+?\n\n.*{stem}.*?"""\n', text, re.DOTALL)
    assert len(text.splitlines()) <= 100


@pytest.mark.parametrize("name", PRINTED_TWICE)
def test_example_prints_the_same_kind_of_answer_blocking_and_awaited(
    name: str, fake: FakeOpenRouter
) -> None:
    printed = run(name, fake=fake)
    assert len(re.findall(PRINTED_TWICE[name], printed)) == 2, printed


def test_streaming_prints_one_answer_and_leaves_the_other_early(fake: FakeOpenRouter) -> None:
    printed = run("streaming.py", fake=fake).splitlines()
    assert printed[0] == "Fake answer to: Write a haiku about rivers."
    assert printed[1] == "[stop]"
    assert printed[0].startswith(printed[2])
    assert printed[3] == "[stopped early]"


def test_custom_model_sends_each_slug(fake: FakeOpenRouter) -> None:
    assert "HOUSE_MODEL" in run("custom_model.py", fake=fake)
    assert [request.json["model"] for request in fake.requests()] == [
        "openai/gpt-4.1-mini",
        "openai/gpt-4.1",
        "mistralai/mistral-small:free",
        "openai/gpt-4.1-mini",
    ]


def test_errors_are_explained(fake: FakeOpenRouter) -> None:
    fake.script(Failure(404, message="No endpoints found"), Drop(after_bytes=1500))
    printed = run("errors.py", fake=fake)
    assert "refused with 404 by OpenRouter" in printed
    assert "OpenRouterConfigurationError: Unknown model alias 'no-such-alias'" in printed
    assert "cut in the middle, after 'Fake" in printed
    assert "no answer after 2 attempts" in printed
    fake.verify()


@pytest.mark.parametrize("how", [(), ("--async",)], ids=["blocking", "awaited"])
def test_people_are_asked_three_ways_and_the_token_stays_hidden(
    how: tuple[str, ...], fake: FakeOpenRouter
) -> None:
    question = {"name": "ask_question", "arguments": {"prompt": "How long?"}}
    decision = {
        "name": "request_decision",
        "arguments": {"prompt": "Which language?", "options": ["English", "German"]},
    }
    fake.script(
        Reply(tool_calls=[question, decision], when=Match(tool="ask_question")),
        Auto(times=None),
    )
    printed = run("people_in_the_loop.py", *how, fake=fake)
    asked = ["How long?", "Which language?", "Jira: Log in to Atlassian Jira"]
    assert [line for line in printed.splitlines() if line in asked] == asked
    assert TOLD in printed
    fake.verify()
    sent = bodies(fake)
    assert "In two sentences, please." in sent
    assert "secret://jira_auth/auth_token" in sent
    assert "oauth_token_abc123" not in sent


def test_person_at_a_terminal_types_the_token_unseen(fake: FakeOpenRouter) -> None:
    ours, theirs = os.openpty()
    example = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLES / "people_in_the_loop.py")],
        env=seed.environment(fake.env(), {}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = _read_until(ours, b"Token: ")
        os.write(ours, b"oauth_typed_at_the_terminal\n")
        shown += _read_until(ours, b"Example summary")
        assert example.wait(10) == 0
    finally:
        example.kill()
        example.wait()
        os.close(ours)
    assert TOLD in shown.decode()
    assert b"oauth_typed" not in shown
    assert "oauth_typed" not in bodies(fake)


def test_session_paused_in_one_process_is_answered_in_another(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    paused = run("sessions_sqlite.py", "pause", fake=fake, folder=tmp_path)
    agent_id, state = paused.splitlines()[0].split()
    assert state == "waiting_for_human"
    assert "(approve or decline)" in paused

    arguments = ("answer", agent_id, "approve")
    answered = run("sessions_sqlite.py", *arguments, fake=fake, folder=tmp_path)
    assert answered.startswith(f"{agent_id} completed")
    assert "status='sent" in answered


def test_session_in_redis_is_found_by_both_clients(fake: FakeOpenRouter, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        before = set(client.scan_iter("agent:*"))
        lines = run("sessions_redis.py", fake=fake, REDIS_URL=redis_url).splitlines()
        after = set(client.scan_iter("agent:*"))
    (first, *_), (second, *_) = map(str.split, lines)
    assert first == second
    assert all(" completed steps=" in line for line in lines)
    assert f"agent:{first}" not in after - before  # deleted at its end


def test_redis_handler_does_what_a_handler_must(redis_url: str) -> None:
    example = runpy.run_path(str(EXAMPLES / "sessions_redis.py"))
    agent_id = f"test-{uuid.uuid4()}"
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        handler = example["RedisSessionHandler"](client, ttl_seconds=60)
        try:
            assert handler.get_session(agent_id) is None
            assert not handler.session_exists(agent_id)
            assert handler.compare_and_set(agent_id, 0, {"version": 1})
            assert not handler.compare_and_set(agent_id, 0, {"version": 1, "late": True})
            assert handler.compare_and_set(agent_id, 1, {"version": 2})
            assert handler.get_session(agent_id) == {"version": 2}
            handler.set_session(agent_id, {"version": 7})
            assert handler.get_session(agent_id) == {"version": 7}
            assert agent_id in handler.list_sessions()
            assert 0 < client.ttl(f"agent:{agent_id}") <= 60
            assert handler.delete_session(agent_id)
            assert not handler.delete_session(agent_id)
        finally:
            client.delete(f"agent:{agent_id}")


def test_tests_of_the_reader_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider"),
            *("--rootdir", str(tmp_path), str(EXAMPLES / "testing_with_fake.py")),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "4 passed" in done.stdout, f"{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_local_model_answers_in_words_and_typed(fake: FakeOpenRouter) -> None:
    try:
        require_engine()
        model_path(None)
    except LocalModelError as error:
        services.missing(str(error))
    printed = run("local_model.py", fake=fake)
    assert "says: " in printed
    assert "A pet: name=" in printed
    assert not fake.requests()


def _read_until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        assert select.select([terminal], [], [], 10)[0], shown
        shown += os.read(terminal, 4096)
    return shown

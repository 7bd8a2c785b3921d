"""Credentials in a sealed store: they outlive the process, and nobody else sees them."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from support.agent_scripts import Story, client_of, planned

from mbxai import AsyncAgentClient, AsyncToolClient, DialogOption, HumanInLoopResponse
from mbxai.sessions import KeyRing, SealedSessionStore, SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

TOKEN = "tok-5f4e3d2c1b0a-hunter2"
JIRA = DialogOption(id="jira", title="Jira", description="Log in to Jira")
LOG_IN_AND_ASK = Reply(
    tool_calls=[
        {"name": "open_dialog", "arguments": {"dialog_option_id": "jira", "reason": "to read"}},
        {"name": "ask_question", "arguments": {"prompt": "Which story?"}},
    ],
    when=Match(tool="open_dialog"),
)
FETCH = Reply(
    tool_calls=[
        {"name": "fetch", "arguments": {"auth_token": "secret://jira/auth_token", "story": "7"}}
    ],
    when=Match(tool="fetch"),
)


def agent_on(path: Path, keys: str, fake: FakeOpenRouter, seen: list[str]) -> AsyncAgentClient:
    """An agent of its own, as another process would have one."""
    tools = AsyncToolClient(client_of(fake))

    def fetch(story: str, auth_token: str) -> str:
        seen.append(auth_token)
        return f"Story {story}, read with {auth_token}"

    tools.register_tool("fetch", "Fetches a story", fetch, effect="read")
    store = SealedSessionStore(SQLiteSessionStore(path), KeyRing(keys))
    return AsyncAgentClient(tools, True, [JIRA], session_handler=store)


def credential(request: Any) -> HumanInLoopResponse:
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type="dialog_option",
        dialog_option_id="jira",
        credentials={"auth_token": SecretStr(TOKEN)},
    )


def stored_in(path: Path) -> bytes:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path.read_bytes()


async def test_a_credential_outlives_the_process_that_it_was_given_to(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    path, keys, seen = tmp_path / "s.sqlite", KeyRing.generate(), list[str]()
    fake.script(planned("read"), LOG_IN_AND_ASK, FETCH, Auto(times=None))
    first = agent_on(path, keys, fake, seen)
    waiting = await first.agent("Read it", Story, agent_id="s")
    dialog, question = waiting.human_interaction_requests
    waiting = await first.agent(agent_id="s", human_response=credential(dialog))
    assert waiting.is_waiting_for_human()
    await first.aclose()
    assert TOKEN.encode() not in stored_in(path)

    second = agent_on(path, keys, fake, seen)
    answer = HumanInLoopResponse(
        interaction_id=question.id, response_type="question", answer="number 7"
    )
    done = await second.agent(agent_id="s", human_response=answer)
    assert done.is_complete()
    assert seen == [TOKEN]
    info = await second.get_session_info("s")
    exported = await second.sessions.export("s")
    fork = await second.sessions.fork("s")
    assert "vault" not in json.dumps([info, exported])
    assert second._setup.means.vault.handles(fork) == []
    await second.aclose()

    sent = str([request.body for request in fake.requests()])
    assert TOKEN not in sent
    assert TOKEN not in json.dumps([info, exported])
    assert "secret://jira/auth_token" in sent
    third = agent_on(path, keys, fake, seen)
    assert (await third.get_response("s")).is_complete()
    await third.agent("Again", Story, agent_id="s", human_in_loop=False)
    assert third._setup.means.vault.handles("s") == []  # the turn that needed it is over
    await third.aclose()


async def test_a_sealed_inbox_takes_a_credential_for_whoever_runs_the_session(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    path, keys, seen = tmp_path / "s.sqlite", KeyRing.generate(), list[str]()
    log_in = Reply(tool_calls=[LOG_IN_AND_ASK.tool_calls[0]], when=Match(tool="open_dialog"))
    fake.script(planned("read"), log_in, FETCH, Auto(times=None))
    desk, worker = (agent_on(path, keys, fake, seen) for _ in range(2))
    agent_id = await desk.submit("Read it", Story)
    waiting = await worker.resume(agent_id)
    await desk.sessions.answer(agent_id, credential(waiting.human_interaction_request))
    assert desk._setup.means.vault.handles(agent_id) == []
    assert TOKEN.encode() not in stored_in(path)
    done = await worker.resume(agent_id)
    assert done.is_complete()
    assert seen == [TOKEN]
    assert TOKEN not in str([request.body for request in fake.requests()])
    for agent in (desk, worker):
        await agent.aclose()

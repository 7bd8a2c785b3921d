"""Sessions from outside: submitted, taken up, answered, followed, forked, exported, kept apart."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, SecretStr
from support.agent_scripts import Story, client_of, planned
from support.stored_state import ids_of, state_of

from mbxai import (
    AgentClient,
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    ConfigurationError,
    DialogOption,
    HumanInLoopResponse,
)
from mbxai.agent.events import HumanRequested, StateChanged
from mbxai.agent.models import AnswerDeadline
from mbxai.errors import (
    InteractionMismatchError,
    InteractionNotFoundError,
    SessionBusyError,
    SessionConflictError,
    SessionNotFoundError,
)
from mbxai.sessions import InMemorySessionHandler, InMemorySessionStore, SQLiteSessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply, Stall

ASK = Reply(
    tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which region?"}}],
    when=Match(tool="ask_question"),
)
LOG_IN = Reply(
    tool_calls=[
        {"name": "open_dialog", "arguments": {"dialog_option_id": "jira", "reason": "to read"}}
    ],
    when=Match(tool="open_dialog"),
)


class Other(BaseModel):
    """Another final response than the one that a session was made for."""

    text: str


JIRA = DialogOption(id="jira", title="Jira", description="Log in to Jira")


def answer_to(response: Any, text: str = "eu-west") -> HumanInLoopResponse:
    request = response.human_interaction_request
    return HumanInLoopResponse(
        interaction_id=request.id, response_type=request.interaction_type, answer=text
    )


async def due_ids(store: InMemorySessionStore) -> list[str]:
    return [session.agent_id for session in await store.due()]


# --- submitted and taken up ----------------------------------------------------------------------


async def test_a_submitted_session_waits_for_a_worker_which_runs_it_to_its_end(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        caller = AsyncAgentClient(client, session_handler=store)
        agent_id = await caller.submit("Tell it", Story)
        assert fake.requests() == []
        assert await due_ids(store) == [agent_id]
        waiting = await caller.sessions.get(agent_id)
        assert waiting.state is AgentState.ANALYZING_REQUIREMENT

        worker = AsyncAgentClient(client, session_handler=store)
        done = await worker.resume(agent_id)
        assert done.is_complete()
        assert await due_ids(store) == []
        typed = await caller.get_response(agent_id, Story)

    assert isinstance(typed.final_response, Story)
    assert len(agent_id) >= 32


async def test_a_second_turn_may_be_submitted_and_wrong_options_are_refused_at_once(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store)
        await agent.agent("Tell it", Story, agent_id="s")
        assert await agent.submit("Tell it again", Story, agent_id="s") == "s"
        assert (await agent.resume("s")).is_complete()
        assert (await state_of(store, "s"))["turn"] == 2
        with pytest.raises(ConfigurationError, match="needs a prompt"):
            await agent.submit("")
        with pytest.raises(ConfigurationError, match="final response was made as"):
            await agent.submit("", Other, agent_id="s")
        assert await due_ids(store) == []
        with pytest.raises(TypeError, match=r"submit\(\) got an unexpected keyword argument 'nam'"):
            await agent.submit("x", Story, nam=1)  # type: ignore[call-arg]
        with pytest.raises(SessionNotFoundError):
            await agent.resume("unknown")

    assert await ids_of(store) == ["s"]


async def test_a_worker_that_is_stopped_leaves_its_session_due_and_a_caller_does_not(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store)
        for run, due in ((agent.resume, ["s"]), (None, [])):
            fake.script(Stall(30), Auto(times=None))
            await agent.submit("Tell it", Story, agent_id="s")
            running = asyncio.create_task(
                run("s") if run else agent.agent(agent_id="s", final_response_structure=Story)
            )
            while not fake.requests():
                await anyio.sleep(0.005)
            running.cancel()
            await asyncio.wait({running})
            assert await due_ids(store) == due
            await store.delete("s")
            fake.reset()


async def test_after_a_passing_failure_a_worker_is_wanted_later_and_not_for_ever(
    fake: FakeOpenRouter,
) -> None:
    now = time.time()
    store = InMemorySessionStore(now=lambda: now)
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store)
        fake.script(*[Failure(503)] * 9)
        await agent.submit("Tell it", Story, agent_id="s")
        pauses = []
        for _ in range(6):
            failed = await agent.resume("s")
            assert failed.state is AgentState.FAILED
            assert await due_ids(store) == []
            for pause in (25, 35, 65, 125, 245, 485, 9_999):
                now = time.time() + pause
                if await due_ids(store):
                    pauses.append(pause)
                    break
            now = time.time()
        assert pauses == [35, 65, 125, 245, 485]
        fake.reset()
        assert (await agent.resume("s")).is_complete()


async def test_a_waiting_session_is_due_at_its_deadline(fake: FakeOpenRouter) -> None:
    now = time.time()
    store = InMemorySessionStore(now=lambda: now)
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(
            client, True, session_handler=store, answer_deadline=AnswerDeadline(seconds=60)
        )
        assert (await agent.agent("Tell it", Story, agent_id="s")).is_waiting_for_human()
        now += 58
        assert await due_ids(store) == []
        now += 4
        assert await due_ids(store) == ["s"]


# --- the inbox -----------------------------------------------------------------------------------


async def test_an_answer_is_left_for_a_worker_which_takes_the_session_up(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, session_handler=store)
        waiting = await agent.agent("Tell it", Story, agent_id="s")
        assert await due_ids(store) == []
        await agent.sessions.answer("s", answer_to(waiting))
        await agent.sessions.answer("s", answer_to(waiting))  # a second click
        with pytest.raises(InteractionMismatchError):
            await agent.sessions.answer("s", answer_to(waiting, "us-east"))
        assert await due_ids(store) == ["s"]

        assert (await agent.resume("s")).is_complete()
        await agent.sessions.answer("s", answer_to(waiting))  # a late click
        with pytest.raises(InteractionMismatchError):
            await agent.sessions.answer("s", answer_to(waiting, "us-east"))
        posted = await store.read_answers("s")

    assert [(answer.number, answer.content) for answer in posted] == [(1, None)]
    assert await due_ids(store) == []
    assert "eu-west" in str([request.body for request in fake.requests()])


async def test_the_next_call_of_the_agent_takes_it_in_as_well(fake: FakeOpenRouter) -> None:
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True)
        waiting = await agent.agent("Tell it", Story)
        await agent.sessions.answer(waiting.agent_id, answer_to(waiting))
        done = await agent.agent(agent_id=waiting.agent_id, final_response_structure=Story)

    assert isinstance(done.final_response, Story)


async def test_a_run_that_has_other_work_takes_an_answer_in_meanwhile(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    ended = anyio.Event()

    async def work() -> str:
        await ended.wait()
        return "worked"

    plan = planned("ask", "work")
    fake.script(
        plan,
        Reply(
            tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which?"}}],
            when=Match(contains="Do ask", tool="ask_question"),
        ),
        Reply(
            tool_calls=[{"name": "work", "arguments": {}}],
            when=Match(contains="Do work", tool="work"),
        ),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("work", "Works", work)
        agent = AsyncAgentClient(tools, True, session_handler=store)
        async with anyio.create_task_group() as group:
            outcome: list[Any] = []

            async def run() -> None:
                outcome.append(await agent.agent("Tell it", Story, agent_id="s"))

            group.start_soon(run)
            with anyio.fail_after(9):
                while not await waits_for_person(agent):
                    await anyio.sleep(0.02)
                request = (await agent.sessions.get("s")).human_interaction_requests[0]
                await agent.sessions.answer(
                    "s",
                    HumanInLoopResponse(
                        interaction_id=request.id, response_type="question", answer="this one"
                    ),
                )
                while await waits_for_person(agent):
                    await anyio.sleep(0.02)
            assert not outcome  # its other task still works
            ended.set()

    assert outcome[0].is_complete()


async def waits_for_person(agent: AsyncAgentClient) -> bool:
    try:
        return bool((await agent.sessions.get("s")).human_interaction_requests)
    except SessionNotFoundError:
        return False


async def test_an_answer_that_fits_nothing_is_refused_and_a_credential_wants_a_sealed_store(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    store = SQLiteSessionStore(tmp_path / "s.db")
    fake.script(planned("one"), LOG_IN, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA], session_handler=store)
        waiting = await agent.agent("Tell it", Story, agent_id="s")
        request = waiting.human_interaction_request
        assert request is not None
        secret = HumanInLoopResponse(
            interaction_id=request.id,
            response_type="dialog_option",
            dialog_option_id="jira",
            credentials={"token": SecretStr("tok-hunter2-hunter2")},
        )
        with pytest.raises(ConfigurationError, match="clear text"):
            await agent.sessions.answer("s", secret)
        stray = secret.model_copy(update={"interaction_id": "another"})
        with pytest.raises(InteractionNotFoundError):
            await agent.sessions.answer("s", stray)
        with pytest.raises(SessionNotFoundError):
            await agent.sessions.answer("unknown", secret)

    assert await store.read_answers("s") == []
    assert await due_ids(store) == []
    await store.aclose()


# --- events, forks, exports ----------------------------------------------------------------------


async def test_the_log_gives_the_events_that_an_observer_saw_and_any_part_of_them(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        async with agent.stream("Tell it", Story, agent_id="s") as run:
            seen = [event async for event in run if event.type != "response_delta"]
        kept = [event async for event in agent.sessions.events("s")]
        assert kept == seen
        later = [event async for event in agent.sessions.events("s", after=5)]
        assert later == seen[5:]
        with pytest.raises(SessionNotFoundError):
            await anext(agent.sessions.events("unknown"))

    assert [event.seq for event in kept] == list(range(1, len(kept) + 1))


async def test_a_session_can_be_followed_while_it_runs_until_it_is_deleted(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True)
        agent_id = await agent.submit("Tell it", Story)
        seen: list[Any] = []

        async def follow() -> None:
            async for event in agent.sessions.events(agent_id, follow=True):
                seen.append(event)
                if isinstance(event, StateChanged) and event.state is AgentState.COMPLETED:
                    return

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            waiting = await agent.resume(agent_id)
            await agent.sessions.answer(agent_id, answer_to(waiting))
            await agent.resume(agent_id)

    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert any(isinstance(event, HumanRequested) for event in seen)


async def test_a_fork_begins_where_it_is_said_and_leaves_the_other_as_it_is(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True)
        waiting = await agent.agent("Tell it", Story, agent_id="s")
        done = await agent.agent(agent_id="s", human_response=answer_to(waiting))
        events = [event async for event in agent.sessions.events("s")]
        asked = next(event for event in events if isinstance(event, HumanRequested))

        fork = await agent.sessions.fork("s", at=asked.seq)
        again = await agent.get_response(fork)
        assert again.is_waiting_for_human()
        other = await agent.agent(agent_id=fork, human_response=answer_to(again, "us-east"))
        assert other.is_complete()
        assert other.agent_id == fork != "s"
        then = await agent.sessions.get("s", at=asked.seq)
        assert then.is_waiting_for_human()
        assert then.human_interaction_requests == waiting.human_interaction_requests
        as_now = await agent.sessions.fork("s", new_agent_id="copy")
        assert (await agent.get_response(as_now)).is_complete()

        with pytest.raises(ConfigurationError, match="event 999"):
            await agent.sessions.fork("s", at=999)
        with pytest.raises(SessionConflictError):
            await agent.sessions.fork("s", new_agent_id="copy")
        with pytest.raises(SessionNotFoundError):
            await agent.sessions.fork("unknown")
        assert (await agent.get_response("s")).final_response == done.final_response

    assert "us-east" in str([request.body for request in fake.requests()])


async def test_a_bounded_log_keeps_the_newest_rows_and_the_session_goes_on(
    fake: FakeOpenRouter,
) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store, keep_log_rows=10)
        for turn in range(40):
            await agent.agent(f"Tell it, {turn}", Story, agent_id="s")
        rows = await store.read_log("s")
        assert rows[0].seq > 1
        assert len(rows) < rows[-1].seq - 100
        state = await state_of(store, "s")
        assert (state["turn"], len(state["conversation_history"])) == (40, 80)
        assert (await anext(agent.sessions.events("s"))).seq > 1
        with pytest.raises(ConfigurationError, match="cannot be read as it was at event 1"):
            await agent.sessions.get("s", at=1)
        with pytest.raises(ConfigurationError, match="keep_log_rows"):
            AsyncAgentClient(client, keep_log_rows=0)


async def test_an_export_has_everything_but_what_looks_like_a_credential(
    fake: FakeOpenRouter,
) -> None:
    key = "sk-or-v1-" + "a1b2c3d4" * 8
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        await agent.agent(f"Tell it with {key}", Story, agent_id="s")
        exported = await agent.sessions.export("s")

    assert exported["original_prompt"].startswith("Tell it with ")
    assert exported["events"][-1]["type"] == "state_changed"
    assert key not in json.dumps(exported)


# --- scopes --------------------------------------------------------------------------------------


async def test_scopes_have_the_same_ids_and_nothing_else_in_common(fake: FakeOpenRouter) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, [JIRA], session_handler=store)
        acme, rival = agent.for_scope("acme"), agent.for_scope("rival")
        fake.script(planned("one"), LOG_IN, Auto(times=None))
        waiting = await acme.agent("Tell it", Story, agent_id="s")
        for other in (rival, agent):
            with pytest.raises(SessionNotFoundError):
                await other.get_response("s")
            with pytest.raises(SessionNotFoundError):
                await other.sessions.answer("s", answer_to(waiting))
            assert await other.list_sessions() == []
            assert not await other.delete_session("s")
        request = waiting.human_interaction_request
        assert request is not None
        given = HumanInLoopResponse(
            interaction_id=request.id,
            response_type="dialog_option",
            dialog_option_id="jira",
            credentials={"token": "tok-hunter2-hunter2"},
        )
        done = await acme.agent(agent_id="s", human_response=given)
        assert done.is_complete()
        other = await rival.agent("Something else", Story, agent_id="s", human_in_loop=False)
        assert other.is_complete()
        vaults = [a._setup.means.vault.handles("s") for a in (acme, rival, agent)]
        assert [bool(handles) for handles in vaults] == [True, False, False]
        assert agent.for_scope("acme")._setup.means.vault is acme._setup.means.vault
        with pytest.raises(ConfigurationError):
            agent.for_scope("a\nb")

    assert [(page.scope, page.status) for page in (await store.list(scope="acme")).sessions] == [
        ("acme", "completed")
    ]


async def test_a_session_that_another_runs_is_busy_for_a_worker(fake: FakeOpenRouter) -> None:
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store)
        await agent.submit("Tell it", Story, agent_id="s")
        record = await store.claim("s", owner="another", lease_seconds=60)
        with pytest.raises(SessionBusyError):
            await agent.resume("s")
        assert await due_ids(store) == []
        await store.release(record, owner="another", due_at=0.0)
        assert (await agent.resume("s")).is_complete()


async def test_a_handler_of_five_methods_can_do_all_of_this(fake: FakeOpenRouter) -> None:
    handler = InMemorySessionHandler()
    fake.script(planned("one"), ASK, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, True, session_handler=handler)
        agent_id = await agent.submit("Tell it", Story)
        waiting = await agent.resume(agent_id)
        await agent.sessions.answer(agent_id, answer_to(waiting))
        assert [session.agent_id for session in await agent.store.due()] == [agent_id]
        assert (await agent.resume(agent_id)).is_complete()
        events = [event async for event in agent.sessions.events(agent_id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert (await agent.sessions.list(status="completed")).sessions[0].agent_id == agent_id
        fork = await agent.sessions.fork(agent_id)
        assert (await agent.get_response(fork)).is_complete()

    stored = handler.get_session(agent_id)
    assert stored is not None
    assert (stored["state"], stored["original_prompt"]) == ("completed", "Tell it")
    assert json.loads(json.dumps(stored, default=str)) == stored


def test_blocking_callers_have_the_same(fake: FakeOpenRouter) -> None:
    fake.script(planned("one"), ASK, Auto(times=None))
    with AgentClient(client_of(fake), True) as agent:
        acme = agent.for_scope("acme")
        agent_id = acme.submit("Tell it", Story)
        waiting = acme.resume(agent_id)
        acme.sessions.answer(agent_id, answer_to(waiting))
        assert acme.resume(agent_id).is_complete()
        with acme.sessions.events(agent_id) as events:
            numbers = [event.seq for event in events]
        assert numbers == list(range(1, len(numbers) + 1))
        fork = acme.sessions.fork(agent_id)
        assert {s.agent_id for s in acme.sessions.list().sessions} == {agent_id, fork}
        assert acme.sessions.export(fork)["agent_id"] == fork
        assert acme.sessions.info(fork)["turn"] == 1
        assert acme.sessions.get(fork, Story).is_complete()
        assert acme.sessions.delete(fork)
        assert acme.sessions.sweep() == 0
        assert agent.list_sessions() == []
        assert agent.store.async_store is acme.store.async_store

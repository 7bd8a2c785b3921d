"""What observers of a run see: in order, numbered, and nothing secret; over real sockets."""

import json
import logging
import threading
from typing import Any

import anyio
import pytest
from support.agent_scripts import (
    STORY,
    Story,
    client_of,
    planned,
    sequence_of,
)

from mbxai import (
    AgentFailedError,
    AsyncAgentClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    DialogOption,
    HumanInLoopResponse,
    ToolContext,
)
from mbxai.agent import AsyncAgentStream
from mbxai.agent.events import ResponseDelta, ToolProgressed
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Raw, Reply

TOKEN = "oauth_token_abc123"
FINAL = Match(schema="Story", stream=True)


def text_of(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, ResponseDelta))


async def read(run: AsyncAgentStream, events: list[Any]) -> None:
    async for event in run:
        events.append(event)  # noqa: PERF401  # what came before an error counts


# --- numbers and order ----------------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_over_all_turns_and_calls(fake: FakeOpenRouter):
    seen: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with pytest.raises(BudgetExceededError):
            await agent.agent(
                "Tell it",
                Story,
                agent_id="s",
                on_event=seen.append,
                run_budget=Budget(max_requests=2),
            )
        async with agent.stream(final_response_structure=Story, agent_id="s") as run:
            seen += [event async for event in run]
        await agent.agent("Tell it again", Story, agent_id="s", on_event=seen.append)

    numbers = sequence_of(seen)
    assert numbers == list(range(1, len(numbers) + 1))
    deltas = [event for event in seen if event.type == "response_delta"]
    assert deltas
    for delta in deltas:
        before = [e for e in seen[: seen.index(delta)] if e.type != "response_delta"][-1]
        assert delta.seq == before.seq


async def test_stream_and_callback_see_the_same_events(fake: FakeOpenRouter):
    told: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=told.append)
        async with agent.stream("Tell it", Story) as run:
            seen = [event async for event in run]

    assert seen == told
    assert run.response.is_complete()


async def test_the_callback_of_a_call_takes_the_place_of_the_clients(fake: FakeOpenRouter):
    general: list[Any] = []
    special: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=general.append)
        await agent.agent("Tell it", Story, on_event=special.append)
    assert not general
    assert special[-1].state == "completed"


# --- callbacks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blocking", "async", "object"])
async def test_a_callback_of_any_kind_gets_every_event_in_order(fake: FakeOpenRouter, kind):
    seen: list[int] = []
    threads: set[int] = set()

    def blocking(event: Any) -> None:
        threads.add(threading.get_ident())
        seen.append(event.seq)

    async def coroutine(event: Any) -> None:
        threads.add(threading.get_ident())
        await anyio.sleep(0)
        seen.append(event.seq)

    class Object:
        async def __call__(self, event: Any) -> None:
            await coroutine(event)

    callback = {"blocking": blocking, "async": coroutine, "object": Object()}[kind]
    async with client_of(fake) as client:
        await AsyncAgentClient(client, on_event=callback).agent("Tell it", Story)

    assert seen == sorted(seen)
    assert set(seen) == set(range(1, seen[-1] + 1))
    assert (threading.get_ident() in threads) == (kind != "blocking")


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
async def test_a_callback_that_fails_is_logged_by_type_and_harms_nothing(
    fake: FakeOpenRouter, caplog: pytest.LogCaptureFixture, is_async
):
    calls: list[Any] = []

    def fail(event: Any) -> None:
        calls.append(event)
        raise ValueError(TOKEN)

    async def fail_later(event: Any) -> None:
        fail(event)

    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=fail_later if is_async else fail)
        response = await agent.agent("Tell it", Story)

    assert response.is_complete()
    assert calls[-1].type == "state_changed"
    failures = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(failures) == len(calls)
    assert "ValueError" in caplog.text
    assert TOKEN not in caplog.text


async def test_a_callback_is_told_of_a_failure_before_it_is_raised(fake: FakeOpenRouter):
    fake.script(Failure(401, message="No auth"))
    seen: list[Any] = []
    async with client_of(fake) as client:
        with pytest.raises(AgentFailedError):
            await AsyncAgentClient(client, on_event=seen.append).agent("Tell it", Story)
    assert [event.type for event in seen][-2:] == ["state_changed", "run_failed"]


async def test_a_cancelled_run_does_not_wait_for_its_callback(fake: FakeOpenRouter):
    entered = anyio.Event()

    async def hang(event: Any) -> None:
        entered.set()
        await anyio.sleep_forever()

    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=hang)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent.agent("Tell it", Story, agent_id="s"))
            with anyio.fail_after(5):
                await entered.wait()
            group.cancel_scope.cancel()
        done = await AsyncAgentClient(client).agent("Tell it", Story)
    assert done.is_complete()


# --- the final response as it comes ---------------------------------------------------------------


@pytest.mark.parametrize("has_tools", [False, True], ids=["client", "tool client"])
async def test_the_final_response_is_told_as_it_comes(fake: FakeOpenRouter, has_tools):
    async with client_of(fake) as client:
        wrapped = AsyncToolClient(client) if has_tools else client
        async with AsyncAgentClient(wrapped).stream("Tell it", Story) as run:
            events = [event async for event in run]

    deltas = [event for event in events if event.type == "response_delta"]
    assert len(deltas) > 1
    assert Story.model_validate_json(text_of(events)) == run.response.final_response
    assert events[-1].type == "state_changed"


async def test_without_anybody_watching_nothing_is_streamed(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        await AsyncAgentClient(client).agent("Tell it", Story)
    assert not any(request.body.get("stream") for request in fake.requests())


async def test_the_final_response_of_merged_planning_is_told_without_the_evaluation(
    fake: FakeOpenRouter,
):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged")
        async with agent.stream("Tell it", Story) as run:
            events = [event async for event in run]

    assert Story.model_validate_json(text_of(events)) == run.response.final_response


async def test_a_stream_that_breaks_off_is_a_failure_and_the_session_goes_on(
    fake: FakeOpenRouter,
):
    head = {"id": "gen-1", "model": "m", "object": "chat.completion.chunk", "created": 1}
    chunk = {**head, "choices": [{"index": 0, "delta": {"content": json.dumps(STORY)}}]}
    body = f"data: {json.dumps(chunk)}\n\n".encode()
    fake.script(
        Raw(body, headers={"Content-Type": "text/event-stream"}, when=FINAL), Auto(times=None)
    )
    events: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        async with agent.stream("Tell it", Story) as run:
            with pytest.raises(AgentFailedError, match="middle of the answer"):
                await read(run, events)
        # All of the text came, and still it is no success.
        assert json.loads(text_of(events)) == STORY
        assert run.response.final_response is None
        assert run.response.error.retryable
        done = await agent.agent(
            agent_id=run.response.agent_id, final_response_structure=Story, on_event=events.append
        )

    assert done.is_complete()


async def test_an_answer_cut_at_the_token_limit_is_written_anew(fake: FakeOpenRouter):
    fake.script(
        Reply('{"title": "The e', finish_reason="length", when=FINAL),
        Reply(json=STORY, when=FINAL),
        Auto(times=None),
    )
    async with client_of(fake) as client, AsyncAgentClient(client).stream("Tell it", Story) as run:
        events = [event async for event in run]

    types = [event.type for event in events]
    assert types.index("response_delta") < types.index("answer_rejected")
    rest = events[types.index("answer_rejected") :]
    assert json.loads(text_of(rest)) == STORY
    assert run.response.final_response == Story(**STORY)


async def test_a_server_that_cannot_stream_is_asked_without(fake: FakeOpenRouter):
    fake.script(Failure(400, message="stream is not supported", when=FINAL), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        async with agent.stream("Tell it", Story) as run:
            events = [event async for event in run]
        async with agent.stream("Tell it again", Story) as again:
            events += [event async for event in again]

    assert run.response.is_complete()
    assert again.response.is_complete()
    assert text_of(events) == ""
    assert sum(bool(r.body.get("stream")) for r in fake.requests()) == 1


async def test_a_client_with_parse_alone_is_asked_without_streaming(fake: FakeOpenRouter):
    async with client_of(fake) as client:

        class Own:
            async def parse(self, messages: Any, response_format: Any, **options: Any) -> Any:
                return await client.parse(messages, response_format, **options)

        async with AsyncAgentClient(Own()).stream("Tell it", Story) as run:
            events = [event async for event in run]

    assert run.response.is_complete()
    assert text_of(events) == ""


# --- tools ----------------------------------------------------------------------------------------


async def test_progress_of_a_tool_is_told_with_its_task_and_without_its_secrets(
    fake: FakeOpenRouter,
):
    handle = "secret://jira_auth/auth_token"
    fake.script(
        planned("Log in"),
        Reply(
            tool_calls=[
                {
                    "name": "open_dialog",
                    "arguments": {"dialog_option_id": "jira_auth", "reason": "to log in"},
                }
            ],
            when=Match(tool="open_dialog"),
        ),
        Reply(
            tool_calls=[{"name": "fetch", "arguments": {"auth_token": handle}}],
            when=Match(tool="fetch"),
        ),
        Auto(times=None),
    )
    got: list[str] = []

    async def fetch(auth_token: str, context: ToolContext) -> str:
        """Fetch with a token."""
        got.append(auth_token)
        context.report(f"asking with {auth_token}", 0.5)
        await anyio.sleep(0)
        return f"asked with {auth_token}"

    seen: list[Any] = []
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("fetch", "Fetch", fetch, effect="read")
        jira = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")
        agent = AsyncAgentClient(tools, True, [jira], on_event=seen.append)
        waiting = await agent.agent("Fetch it", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="dialog_option",
            dialog_option_id="jira_auth",
            credentials={"auth_token": TOKEN},
        )
        done = await agent.agent(
            agent_id=waiting.agent_id, human_response=answer, final_response_structure=Story
        )

    assert done.is_complete()
    assert got == [TOKEN]
    (progress,) = [event for event in seen if isinstance(event, ToolProgressed)]
    assert progress.task_id == done.todo_list.tasks[0].id
    assert progress.fraction == 0.5
    assert progress.message.startswith("asking with")
    called = next(event for event in seen if event.type == "tool_called")
    assert progress.seq >= called.seq
    assert TOKEN not in "".join(event.model_dump_json() for event in seen)

"""An agent on a client or a store that a user wrote, which does what it should not."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, field_serializer
from support.agent_scripts import EVALUATION, REQUIREMENT, STORY, TOOLS, Story, Till, plan_of
from support.agent_scripts import client_of as openrouter

from mbxai import (
    AgentError,
    AgentFailedError,
    AgentResponse,
    AgentState,
    AsyncAgentClient,
    Budget,
    BudgetExceededError,
    OpenRouterError,
    SessionStoreError,
)
from mbxai.agent import AsyncAgentStream
from mbxai.sessions import InMemorySessionStore, SessionRecord
from mbxai.testing import Failure, FakeOpenRouter, Match, Reply
from mbxai.wire import ToolInfo, ToolResult

ANSWERS: Sequence[Mapping[str, Any]] = (REQUIREMENT, TOOLS, plan_of("One"), EVALUATION, STORY)


class OwnClient:
    """A user's own client that answers each step; subclasses misbehave."""

    cost: float | None = None

    async def parse(self, messages: Any, response_format: type[BaseModel], **_options: Any) -> Any:
        wanted = set(response_format.model_fields)
        answer = next(known for known in ANSWERS if set(known) <= wanted or wanted <= set(known))
        return self._completion(parsed=response_format.model_validate(answer))

    async def create(self, messages: Any, **_options: Any) -> Any:
        return self._completion(role="assistant", content="done", tool_calls=None)

    def tool_infos(self) -> list[Any]:
        return []

    def tool_definitions(self, names: Sequence[str] | None = None) -> list[Any]:
        return []

    async def call_tool(self, *_args: Any, **_options: Any) -> Any: ...

    def _completion(self, **message: Any) -> Any:
        usage = SimpleNamespace(
            prompt_tokens=6, completion_tokens=4, total_tokens=10, cost=self.cost
        )
        choice = SimpleNamespace(message=SimpleNamespace(**message), finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage=usage)


async def read(stream: AsyncAgentStream[Story]) -> AgentResponse[Story]:
    async with stream as run:
        async for _ in run:
            pass
    return run.response


async def something_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


# --- cancelled from inside ------------------------------------------------------------------------


class CancelledInParse(OwnClient):
    async def parse(self, messages: Any, response_format: type[BaseModel], **_options: Any) -> Any:
        await something_cancelled()


class CancelledInThread(OwnClient):
    def parse(self, messages: Any, response_format: type[BaseModel], **_options: Any) -> Any:
        raise asyncio.CancelledError


class CancelledInCreate(OwnClient):
    async def create(self, messages: Any, **_options: Any) -> Any:
        await something_cancelled()


@pytest.mark.parametrize("kind", [CancelledInParse, CancelledInThread, CancelledInCreate])
@pytest.mark.parametrize("is_watched", [False, True])
async def test_what_is_cancelled_within_a_client_is_a_failure_and_not_the_end_of_the_run(
    kind: type[OwnClient], is_watched: bool
) -> None:
    agent = AsyncAgentClient(kind())
    run = read(agent.stream("Tell it", Story)) if is_watched else agent.agent("Tell it", Story)
    with anyio.fail_after(5), pytest.raises(AgentFailedError) as caught:
        await run

    failure = caught.value.response.error
    assert failure is not None
    assert (failure.type, failure.retryable) == ("CancelledError", True)


# --- foreign errors -------------------------------------------------------------------------------


class NoDefinitions(OwnClient):
    def tool_definitions(self, names: Sequence[str] | None = None) -> list[Any]:
        raise KeyError("sk-or-v1-abcdefghijkl")


class NoInstructions(OwnClient):
    def instructions(self) -> str:
        raise KeyError("sk-or-v1-abcdefghijkl")


class NoStream(OwnClient):
    def stream(self, *, messages: Any, response_format: Any) -> Any:
        raise KeyError("sk-or-v1-abcdefghijkl")


class NoChoices(OwnClient):
    async def create(self, messages: Any, **_options: Any) -> Any:
        class Completion:
            @property
            def choices(self) -> Any:
                raise ValueError("sk-or-v1-abcdefghijkl")

        return Completion()


@pytest.mark.parametrize("kind", [NoDefinitions, NoInstructions, NoStream, NoChoices])
async def test_what_a_client_raises_anywhere_is_a_typed_failure_of_a_kept_session(
    kind: type[OwnClient],
) -> None:
    agent = AsyncAgentClient(kind())
    with pytest.raises(AgentFailedError) as caught:
        await read(agent.stream("Tell it", Story, agent_id="s"))

    assert "abcdefghijkl" not in str(caught.value)
    assert (await agent.get_response("s")).state is AgentState.FAILED


async def test_tools_that_cannot_be_listed_are_an_error_of_the_family() -> None:
    class NoInfos(OwnClient):
        def tool_infos(self) -> list[Any]:
            raise KeyError("sk-or-v1-abcdefghijkl")

    with pytest.raises(OpenRouterError, match="tool_infos") as caught:
        await AsyncAgentClient(NoInfos()).agent("Tell it", Story)

    assert "abcdefghijkl" not in str(caught.value)


async def test_a_stream_that_is_a_coroutine_function_is_not_used(
    recwarn: pytest.WarningsRecorder,
) -> None:
    class StreamsOtherwise(OwnClient):
        async def stream(self, *, messages: Any, response_format: Any) -> Any:
            raise AssertionError

    response = await read(AsyncAgentClient(StreamsOtherwise()).stream("Tell it", Story))

    assert response.is_complete()
    assert [str(warning.message) for warning in recwarn] == []


async def test_a_final_response_that_is_no_json_is_a_typed_failure() -> None:
    class Unwritable(Story):
        @field_serializer("status")
        def write(self, value: str) -> str:
            raise ValueError(value)

    with pytest.raises(AgentFailedError, match="cannot be written as JSON") as caught:
        await AsyncAgentClient(OwnClient()).agent("Tell it", Unwritable)

    assert caught.value.response.goal_evaluation is not None


async def test_the_cost_that_a_client_tells_counts_against_the_budget() -> None:
    class Priced(OwnClient):
        cost = 0.25

    with pytest.raises(BudgetExceededError) as reached:
        await AsyncAgentClient(Priced(), budget=Budget(max_cost_usd=0.5)).agent("Tell it", Story)

    assert reached.value.response is not None
    assert reached.value.response.token_summary.total().cost_usd == 0.5


@pytest.mark.alone
async def test_a_cancelled_run_does_not_wait_for_a_client_that_blocks() -> None:
    class Blocking(OwnClient):
        def parse(self, messages: Any, response_format: type[BaseModel], **_options: Any) -> Any:
            time.sleep(1)

    started = time.monotonic()
    with anyio.move_on_after(0.05) as scope:
        await AsyncAgentClient(Blocking()).agent("Tell it", Story)

    assert scope.cancelled_caught
    assert time.monotonic() - started < 0.8


async def test_a_rule_of_approval_that_blocks_does_not_hold_up_the_loop() -> None:
    class Careful(OwnClient):
        def __init__(self) -> None:
            self.threads: set[int] = set()

        async def create(self, messages: Any, **_options: Any) -> Any:
            function = SimpleNamespace(name="pay", arguments="{}")
            call = SimpleNamespace(id="c1", type="function", function=function)
            calls = None if messages[-1]["role"] == "tool" else [call]
            return self._completion(role="assistant", content="done", tool_calls=calls)

        def tool_infos(self) -> list[Any]:
            return [ToolInfo(name="pay", description="Pay", parameters={}, requires_approval=True)]

        def needs_approval(self, name: str, arguments: str) -> bool:
            self.threads.add(threading.get_ident())
            return False

        async def call_tool(self, name: str, arguments: str, **_options: Any) -> ToolResult:
            return ToolResult(call_id="c1", name=name, content="paid")

    client = Careful()
    response = await AsyncAgentClient(client).agent("Tell it", Story)

    assert response.is_complete()
    assert client.threads
    assert threading.get_ident() not in client.threads


# --- stores ---------------------------------------------------------------------------------------


class SlowStore(InMemorySessionStore):
    """Needs longer for a heartbeat than a third of the lease."""

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        await anyio.sleep(0.1)
        await super().heartbeat(record, owner=owner)


@pytest.mark.parametrize("lease_seconds", [0.2, 1e-6])
async def test_a_lease_that_is_short_for_the_store_does_not_keep_the_run_from_its_outcomes(
    lease_seconds: float,
) -> None:
    class Pausing(OwnClient):
        async def create(self, messages: Any, **options: Any) -> Any:
            await anyio.sleep(0.3)
            return await super().create(messages, **options)

    agent = AsyncAgentClient(Pausing(), session_handler=SlowStore(), lease_seconds=lease_seconds)
    with anyio.fail_after(6):
        assert (await agent.agent("Tell it", Story)).is_complete()


class Shaky(InMemorySessionStore):
    """Misses some heartbeats."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.beats = 0
        self.refusals = refusals

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        self.beats += 1
        if self.beats <= self.refusals:
            raise SessionStoreError("The network is gone.")
        await super().heartbeat(record, owner=owner)


class Working(OwnClient):
    async def create(self, messages: Any, **options: Any) -> Any:
        await anyio.sleep(0.6)
        return await super().create(messages, **options)


async def test_a_run_outlives_one_renewal_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    store = Shaky(refusals=1)
    agent = AsyncAgentClient(Working(), session_handler=store, lease_seconds=0.6)

    assert (await agent.agent("Tell it", Story)).is_complete()
    assert store.beats >= 2
    assert "is not renewed" in caplog.text


async def test_a_run_whose_lease_could_not_be_renewed_in_its_time_ends() -> None:
    agent = AsyncAgentClient(Working(), session_handler=Shaky(refusals=99), lease_seconds=0.15)

    with pytest.raises(SessionStoreError, match="network is gone"):
        await agent.agent("Tell it", Story, agent_id="s")


async def test_a_foreign_error_of_a_release_does_not_take_the_outcome_away() -> None:
    class Strange(InMemorySessionStore):
        async def release(self, record: SessionRecord, **_given: Any) -> None:
            raise KeyError("s")

    agent = AsyncAgentClient(OwnClient(), session_handler=Strange())

    assert (await agent.agent("Tell it", Story)).is_complete()


# --- calls that nobody needs any more -------------------------------------------------------------


@pytest.mark.alone
async def test_after_a_failure_for_good_the_other_calls_of_the_model_are_stopped(
    fake: FakeOpenRouter,
) -> None:
    till = Till()
    fake.script(
        till.reply(json=REQUIREMENT),
        till.reply(json=TOOLS),
        till.reply(json=plan_of("One", "Two")),
        Failure(400, when=Match(contains="Do One")),
        Reply("two", when=Match(contains="Do Two")),
    )
    ended: list[str] = []
    async with openrouter(fake) as client:

        class Waiting:
            parse = staticmethod(client.parse)

            async def create(self, messages: Any, **options: Any) -> Any:
                if "Do Two" in json.dumps(messages):
                    try:
                        await anyio.sleep(2)
                    except asyncio.CancelledError:
                        ended.append("stopped")
                        raise
                return await client.create(messages=messages, **options)

        started = time.monotonic()
        with pytest.raises(AgentFailedError) as caught:
            await AsyncAgentClient(Waiting()).agent("Tell it", Story)

    assert time.monotonic() - started < 1.5
    assert ended == ["stopped"]
    response = caught.value.response
    assert response.token_summary.total().cost_usd == till.charged["usd"]
    assert len(response.ledger) == 3


async def test_a_stream_that_was_left_has_ended() -> None:
    agent = AsyncAgentClient(OwnClient())
    seen: list[str] = []
    async with agent.stream("Tell it", Story) as run:
        async for event in run:
            seen.append(event.type)
            if len(seen) == 2:
                await run.aclose()

    assert len(seen) == 2
    assert [event async for event in run] == []


async def test_a_stream_that_was_left_at_once_warns_of_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    before = asyncio.all_tasks()
    async with AsyncAgentClient(OwnClient()).stream("Tell it", Story):
        pass
    gc.collect()

    assert asyncio.all_tasks() == before
    assert [str(warning.message) for warning in recwarn] == []


async def test_a_stream_is_entered_once() -> None:
    async with AsyncAgentClient(OwnClient()).stream("Tell it", Story) as run:
        with pytest.raises(AgentError, match="begun already"):
            await run.__aenter__()


async def test_a_generator_that_reads_a_stream_may_be_closed_by_another_task() -> None:
    agent = AsyncAgentClient(OwnClient())

    async def types() -> AsyncGenerator[str]:
        async with agent.stream("Tell it", Story, agent_id="s") as run:
            async for event in run:
                yield event.type

    before = asyncio.all_tasks()
    reader = types()
    assert await anext(reader) == "state_changed"

    # As a web server does when its client has gone, and a loop with what was not read to its end.
    await asyncio.create_task(reader.aclose())
    await asyncio.sleep(0.01)

    assert asyncio.all_tasks() == before
    assert (await agent.agent(agent_id="s", final_response_structure=Story)).is_complete()


async def test_a_stream_that_is_cancelled_again_and_again_gives_its_session_back() -> None:
    class SlowRelease(InMemorySessionStore):
        async def release(self, record: SessionRecord, **given: Any) -> None:
            await anyio.sleep(0.1)
            await super().release(record, **given)

    class Hanging(OwnClient):
        async def create(self, messages: Any, **_options: Any) -> Any:
            await anyio.sleep(9)

    store = SlowRelease()
    watching = asyncio.create_task(
        read(AsyncAgentClient(Hanging(), session_handler=store).stream("x", Story, agent_id="s"))
    )
    await asyncio.sleep(0.1)
    for _ in range(3):
        watching.cancel()
        await asyncio.sleep(0.01)
    await asyncio.wait({watching}, timeout=5)

    assert watching.cancelled()
    agent = AsyncAgentClient(OwnClient(), session_handler=store)
    assert (await agent.agent(agent_id="s", final_response_structure=Story)).is_complete()


async def test_what_is_cancelled_within_a_store_is_an_error_and_no_cancellation_of_ours() -> None:
    class Strange(InMemorySessionStore):
        async def save(self, *_args: Any, **_options: Any) -> SessionRecord:
            await something_cancelled()
            raise AssertionError

    with anyio.fail_after(5), pytest.raises(SessionStoreError, match="CancelledError"):
        await read(AsyncAgentClient(OwnClient(), session_handler=Strange()).stream("x", Story))


def test_a_loop_that_ends_while_a_stream_claims_its_session_leaves_none_claimed() -> None:
    class SlowClaim(InMemorySessionStore):
        async def claim(self, agent_id: str, **given: Any) -> SessionRecord:
            record = await super().claim(agent_id, **given)
            try:
                await anyio.sleep(0.05)
            except asyncio.CancelledError:
                await anyio.sleep(0.05)  # it cannot stop at once either
                raise
            return record

    store = SlowClaim()
    kept: list[asyncio.Task[Any]] = []

    async def main() -> None:
        agent = AsyncAgentClient(OwnClient(), session_handler=store)
        kept.append(asyncio.create_task(read(agent.stream("Tell it", Story, agent_id="s"))))
        while await store.load("s") is None:
            await asyncio.sleep(0.001)

    asyncio.run(main())

    assert kept[0].cancelled()
    assert asyncio.run(store.load("s")) is None

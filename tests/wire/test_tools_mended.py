"""What a hostile reader and a stranger found in the conversations with tools."""

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from support.tool_talk import MESSAGES, answer_of, bodies, call

from mbxai.errors import (
    ConfigurationError,
    OutputError,
    ProviderUnavailableError,
    ToolDefinitionError,
)
from mbxai.openrouter import OpenRouterClient
from mbxai.testing import Failure, Reply
from mbxai.tools import AsyncToolClient, Secret, ToolClient, ToolContext, ToolResult, tool
from mbxai.wire import Budget

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Trip(BaseModel):
    city: str


def test_the_blocking_decorator_keeps_its_options_when_it_is_called(fake: Any) -> None:
    def pay(amount: int) -> str:
        """Pay."""
        raise AssertionError

    with OpenRouterClient(token=fake.api_key, base_url=fake.base_url) as inner:
        client = ToolClient(inner)
        client.tool(pay, requires_approval=True, name="transfer")  # type: ignore[call-overload]
        fake.script(Reply(tool_calls=[call("transfer", {"amount": 1})]))
        assert [waiting.reason for waiting in client.chat(MESSAGES).pending] == ["approval"]


@both
async def test_deps_and_secrets_can_be_given_with_the_call(
    fake: Any, client: Any, stream: bool
) -> None:
    seen: list[object] = []

    @client.tool
    def look(context: ToolContext[dict[str, int]], key: Secret) -> str:
        """Look."""
        seen.append((context.deps, key.reveal()))
        return "ok"

    fake.script(Reply(tool_calls=[call("look")]), Reply("done"))
    deps, secrets = {"a": 1}, {"key": "hunter2hunter2"}
    await answer_of(client, MESSAGES, stream=stream, deps=deps, secrets=secrets)
    assert seen == [(deps, "hunter2hunter2")]
    assert "deps" not in bodies(fake)[0]
    assert "hunter2" not in str(bodies(fake))


@both
async def test_two_conversations_have_keys_of_their_own(
    fake: Any, client: Any, stream: bool
) -> None:
    keys: list[str] = []

    @client.tool
    def pay(context: ToolContext) -> str:
        """Pay."""
        keys.append(context.idempotency_key)
        return "paid"

    for _ in range(2):
        fake.reset()
        fake.script(Reply(tool_calls=[call("pay", id="tool_0_pay")]), Reply("done"))
        await answer_of(client, MESSAGES, stream=stream)
    assert len(set(keys)) == 2
    assert all(key.endswith("tool_0_pay") for key in keys)


async def test_a_type_that_cannot_be_had_is_refused_before_a_tool_runs(
    fake: Any, client: Any
) -> None:
    @client.tool
    def look() -> str:
        """Look."""
        raise AssertionError

    fake.script(Reply(tool_calls=[call("look")]))
    with pytest.raises(ConfigurationError):
        await client.parse(MESSAGES, "Trip")
    assert bodies(fake) == []


async def test_what_a_failed_typed_answer_cost_is_all_counted(fake: Any, client: Any) -> None:
    client.register_tool("look", "Look.", lambda: 1, {"type": "object", "properties": {}})
    fake.script(
        Reply(tool_calls=[call("look")], usage={"cost": 0.5}),
        Reply("seen", usage={"cost": 0.25}),
        Reply("no JSON", usage={"cost": 0.125}),
    )
    with pytest.raises(OutputError) as caught:
        await client.parse(MESSAGES, Trip, max_validation_retries=0, strategy="json_schema")
    assert caught.value.run is not None
    assert caught.value.run.usage is not None
    assert caught.value.run.usage.cost == 0.875


async def test_one_call_mode_without_tools_counts_its_call(fake: Any, client: Any) -> None:
    fake.script(Reply(json={"city": "Oslo"}, usage={"cost": 0.5}))
    answer = await client.parse(MESSAGES, Trip, one_call=True)
    assert (len(answer.run.completions), answer.run.usage.cost) == (1, 0.5)


async def test_a_call_that_waits_is_told_once(fake: Any, client: Any) -> None:
    client.register_external_tool("click", "Click.", {"type": "object", "properties": {}})
    fake.script(Reply(tool_calls=[call("click", id="c")]), Reply("ok"))
    async with client.stream(MESSAGES) as stream:
        kinds = [event.type async for event in stream.events()]
    assert [kind for kind in kinds if kind != "tool_call_arguments_delta"] == [
        "tool_call_done",
        "tool_pending",
        "answer_done",
    ]
    async with client.stream(stream.run.messages) as stream:
        assert [event.type async for event in stream.events()] == ["tool_pending", "answer_done"]


async def test_the_text_of_two_rounds_is_told_apart(fake: Any, client: Any) -> None:
    client.register_tool("look", "Look.", lambda: 1, {"type": "object", "properties": {}})
    fake.script(Reply("Let me see.", tool_calls=[call("look")]), Reply("It is 2."))
    async with client.stream(MESSAGES) as stream:
        assert "".join([text async for text in stream.text_stream]) == "Let me see.\n\nIt is 2."
        assert (await stream.get_final_completion()).text == "It is 2."


async def test_a_stream_that_failed_goes_on_saying_so(fake: Any, client: Any) -> None:
    client.register_tool("look", "Look.", lambda: 1, {"type": "object", "properties": {}})
    fake.script(Reply(tool_calls=[call("look")]), Failure(503))
    async with client.stream(MESSAGES) as stream:
        with pytest.raises(ProviderUnavailableError):
            async for _ in stream:
                pass
        with pytest.raises(ProviderUnavailableError):
            await stream.get_final_completion()


async def test_calls_that_wait_are_not_run_by_a_stream_that_nobody_reads(
    fake: Any, client: Any
) -> None:
    ran: list[int] = []

    @client.tool
    def pay() -> None:
        """Pay."""
        ran.append(1)

    function = {"name": "pay", "arguments": "{}"}
    calls = [{"id": "p", "type": "function", "function": function}]
    messages = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": calls}]
    stream = await client.chat(messages, stream=True)
    await stream.aclose()
    assert (ran, bodies(fake)) == ([], [])
    fake.script(Reply("done"))
    assert (await answer_of(client, messages, stream=True)).text == "done"
    assert ran == [1]


class OwnError(Exception):
    pass


class Own:
    """A client of the user's own, which fails after the first answer."""

    def __init__(self) -> None:
        self.calls = 0

    async def create(self, **request: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise OwnError("503")
        function = {"name": "pay", "arguments": "{}"}
        message = {"tool_calls": [{"id": "p", "type": "function", "function": function}]}
        return {"choices": [{"message": message}]}


async def test_an_error_of_the_users_own_client_keeps_what_was_done() -> None:
    client = AsyncToolClient(Own())
    client.register_tool("pay", "Pay.", lambda: "paid", {"type": "object", "properties": {}})
    with pytest.raises(OwnError) as caught:
        await client.chat(MESSAGES)
    run: Any = caught.value.run  # type: ignore[attr-defined]
    assert run.messages[-1]["content"] == "paid"


class Slow:
    """A client of the user's own whose blocking stream waits between two chunks."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.is_closed = threading.Event()

    def create(self, stream: bool = False, **request: Any) -> Iterator[Any]:
        try:
            yield {"choices": [{"index": 0, "delta": {"content": "x"}}]}
            self.go_on.wait(5)
            yield {"choices": [{"index": 0, "delta": {"content": "y"}}]}
        finally:
            self.is_closed.set()


async def test_cancelling_the_reader_of_a_blocking_stream_is_a_cancellation() -> None:
    slow = Slow()
    client = AsyncToolClient(slow)
    first = anyio.Event()

    async def read() -> None:
        async with client.stream(MESSAGES) as stream:
            async for _ in stream:
                first.set()

    task = asyncio.create_task(read())
    with anyio.fail_after(5):
        await first.wait()
        task.cancel()
        await anyio.sleep(0)
        slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert slow.is_closed.is_set()


async def test_an_object_may_stand_for_the_text_of_the_arguments(client: Any) -> None:
    client.register_tool("add", "Add.", add)
    assert (await client.call_tool("add", {"a": 1, "b": 2})).value == 3


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_a_result_goes_to_another_process_without_what_cannot_go() -> None:
    whole = ToolResult(call_id="a", name="f", content="1", value=1)
    assert pickle.loads(pickle.dumps(whole)) == whole
    odd = ToolResult(call_id="a", name="f", content="1", value=threading.Lock())
    again = pickle.loads(pickle.dumps(odd))
    assert (again.content, again.value) == ("1", None)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"aprove": print}, r"'aprove'.*'approve'"),
        ({"max_rounds": 3}, r"'max_rounds'.*chat\(\) or parse\(\)"),
        ({"colour": "red"}, "no option 'colour'"),
    ],
)
def test_a_client_says_which_options_it_does_not_have(options: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        AsyncToolClient(Own(), **options)


def test_a_tool_says_which_options_it_does_not_have(client: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=r"'retires'.*'retries'"):
        client.register_tool("add", "Add.", add, retires=3)
    with pytest.raises(ToolDefinitionError, match=r"'effekt'.*'effect'"):
        tool(effekt="read")(add)  # type: ignore[call-overload]
    with pytest.raises(ToolDefinitionError, match="timeout"):
        client.register_tool("add", "Add.", add, timeout=True)


def test_a_property_is_no_tool() -> None:
    with pytest.raises(ToolDefinitionError, match="it is a property"):
        tool(property(lambda self: 1))  # type: ignore[type-var]


@both
async def test_results_of_the_application_may_be_failures_and_are_cut_to_size(
    fake: Any, client: Any, stream: bool
) -> None:
    schema = {"type": "object", "properties": {}}
    client.register_external_tool("click", "Click.", schema, max_result_bytes=10)
    fake.script(Reply(tool_calls=[call("click", id="a"), call("click", id="b")]), Reply("ok"))
    waiting = await answer_of(client, MESSAGES, stream=stream)
    events: list[Any] = []
    answer = await answer_of(
        client,
        waiting.run.messages,
        stream=stream,
        tool_results={"a": ValueError("no button"), "b": "x" * 100},
        on_event=events.append,
        budget=Budget(max_tool_calls=1),
    )
    first, second = answer.run.results
    assert (first.is_error, first.content) == (True, "click failed: ValueError: no button")
    assert (second.is_cut, second.value) == (True, "x" * 100)
    assert [(event.type, event.is_error) for event in events] == [
        ("tool_ended", True),
        ("tool_ended", False),
    ]


async def test_tools_that_are_functions_are_refused_with_advice(fake: Any, client: Any) -> None:
    with pytest.raises(ConfigurationError, match="register_tool"):
        await client.chat(MESSAGES, tools=[add])
    assert bodies(fake) == []

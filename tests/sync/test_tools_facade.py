"""The blocking tool client, over real sockets and over a user's own blocking client."""

import inspect
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from mbxai.errors import StreamTruncatedError, ToolRoundsExceededError
from mbxai.openrouter import ChatStream, OpenRouterClient
from mbxai.testing import FakeOpenRouter, Reply
from mbxai.tools import AsyncToolClient, ToolClient, tool
from mbxai.wire import AnswerDone

MESSAGES = [{"role": "user", "content": "What is the weather in Tokyo?"}]


class Weather(BaseModel):
    city: str


def get_weather(location: str, unit: str = "celsius") -> dict:
    """Get weather information for a location."""
    return {"location": location, "temperature": 22, "unit": unit}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
def client(fake: FakeOpenRouter) -> Iterator[ToolClient]:
    with (
        OpenRouterClient(token=fake.api_key, base_url=fake.base_url, max_retries=0) as inner,
        ToolClient(inner) as tools,
    ):
        tools.register_tool(
            name="get_weather",
            description="Get current weather for a location",
            function=get_weather,
        )
        yield tools


CALL = {"name": "get_weather", "arguments": {"location": "Tokyo"}}


def test_chat_runs_the_tools_and_answers(fake: Any, client: ToolClient) -> None:
    fake.script(Reply(tool_calls=[CALL, CALL]), Reply("22 degrees"))
    assert client.chat(MESSAGES).choices[0].message.content == "22 degrees"
    fake.verify()


def test_the_streamed_answer_comes_after_the_tools(fake: Any, client: ToolClient) -> None:
    fake.script(Reply(tool_calls=[CALL]), Reply("It is 22 degrees today.", usage={"cost": 0.5}))
    parts: list[str] = []
    response = client.chat(MESSAGES, stream=True)
    for chunk in response:
        if chunk.choices[0].delta.content:
            parts += [chunk.choices[0].delta.content]
    assert "".join(parts) == "It is 22 degrees today."
    assert response.completion.choices[0].message.content == "It is 22 degrees today."
    assert response.usage is not None
    response.close()


def test_a_stream_can_be_left_early(fake: Any, client: ToolClient) -> None:
    fake.script(Reply("word " * 2_000))
    with client.chat(MESSAGES, stream=True) as response:
        next(response)
    assert list(response) == []


def test_events_tell_what_the_tools_do(fake: Any, client: ToolClient) -> None:
    fake.script(Reply(tool_calls=[CALL]), Reply("done", usage={"cost": 0.5}))
    with client.stream(MESSAGES) as stream:
        events = list(stream.events())
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("ToolCalled") < kinds.index("ToolEnded") < kinds.index("TextDelta")
    assert isinstance(events[-1], AnswerDone)
    final = stream.get_final_completion()
    assert final is events[-1].completion is stream.completion
    assert (final.text, final.run.rounds, stream.run.rounds) == ("done", 1, 1)


def test_text_alone_can_be_read(fake: Any, client: ToolClient) -> None:
    fake.script(Reply(tool_calls=[CALL]), Reply("one two"))
    with client.stream(MESSAGES) as stream:
        assert "".join(stream.text_stream) == "one two"


def test_a_closed_stream_has_no_final_answer(fake: Any, client: ToolClient) -> None:
    fake.script(Reply("word " * 2_000))
    stream = client.stream(MESSAGES)
    next(stream)
    stream.close()
    with pytest.raises(StreamTruncatedError):
        stream.get_final_completion()


@pytest.mark.parametrize("streamed", [False, True])
def test_what_waits_is_taken_up_by_the_next_call(
    fake: Any, client: ToolClient, streamed: bool
) -> None:
    paid: list[int] = []

    @client.tool(requires_approval=True)
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    client.register_external_tool("click", "Click.", {"type": "object", "properties": {}})
    calls = [{"name": "pay", "arguments": {"amount": 5}, "id": "p"}, {"name": "click", "id": "c"}]
    fake.script(Reply(tool_calls=calls), Reply("done"))

    def ask(messages: Any, **options: Any) -> Any:
        if not streamed:
            return client.chat(messages, **options)
        with client.stream(messages, **options) as stream:
            return stream.get_final_completion()

    waiting = ask(MESSAGES)
    assert [pending.reason for pending in waiting.pending] == ["approval", "external"]
    words = [waiting.pending[0].approve()]
    answer = ask(waiting.run.messages, approvals=words, tool_results={"c": "clicked"})
    assert (answer.text, answer.pending, paid) == ("done", [], [5])


def test_all_marked_methods_of_an_object_are_offered(fake: Any, client: ToolClient) -> None:
    class Counter:
        value = 0

        @tool
        def increase(self, by: int) -> int:
            """Increase the counter."""
            self.value += by
            return self.value

    counter = Counter()
    assert client.register_object(counter, prefix="my_") == ["my_increase"]
    fake.script(Reply(tool_calls=[{"name": "my_increase", "arguments": {"by": 3}}]), Reply("ok"))
    client.chat(MESSAGES)
    assert counter.value == 3


def test_create_streams_without_tools(fake: Any, client: ToolClient) -> None:
    fake.script(Reply("one two three"), Reply("four"))
    chunks = list(client.create(MESSAGES, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three"
    assert client.create(MESSAGES).choices[0].message.content == "four"
    assert all("tools" not in request.json for request in fake.requests())


def test_a_stream_of_create_tells_what_the_wrapped_clients_own_tells(
    fake: Any, client: ToolClient
) -> None:
    fake.script(Reply("one two three"))
    with client.create(MESSAGES, stream=True) as stream:
        assert isinstance(stream, ChatStream)
        assert stream.attempts == 1
        assert "content-type" in stream.headers
        texts = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(texts) == stream.completion.choices[0].message.content == "one two three"
    assert stream.generation_id == stream.completion.generation_id
    stream.close()


def test_parse_and_call_tool_answer_directly(fake: Any, client: ToolClient) -> None:
    fake.script(Reply(tool_calls=[CALL]), Reply("22"), Reply(json={"city": "Tokyo"}))
    answer = client.parse(messages=MESSAGES, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Tokyo")
    result = client.call_tool(
        "get_weather",
        '{"location": "Rome"}',
        scrub=lambda text: text.replace("Rome", "R"),
        attempt=2,
    )
    assert '"R"' in result.content
    result = client.call_tool("get_weather", '{"location": "Rome"}', call_id="c1")
    assert (result.call_id, result.value["location"]) == ("c1", "Rome")
    assert [info.name for info in client.tool_infos()] == ["get_weather"]


def test_a_tool_may_use_a_blocking_client_itself(fake: Any, client: ToolClient) -> None:
    @client.tool
    def ask(question: str) -> str:
        """Ask another model."""
        return client.create([{"role": "user", "content": question}]).choices[0].message.content

    fake.script(
        Reply(tool_calls=[{"name": "ask", "arguments": {"question": "inner"}}]),
        Reply("from inside"),
        Reply("from outside"),
    )
    assert client.chat(MESSAGES).choices[0].message.content == "from outside"
    assert fake.requests()[2].json["messages"][2]["content"] == "from inside"


def test_the_round_limit_is_the_same_error(fake: Any, client: ToolClient) -> None:
    fake.script(*[Reply(tool_calls=[CALL])] * 2)
    with pytest.raises(ToolRoundsExceededError):
        client.chat(MESSAGES, max_rounds=1)


async def test_it_works_where_a_loop_runs(fake: Any, client: ToolClient, recwarn: Any) -> None:
    fake.script(Reply(tool_calls=[CALL]), Reply("done"))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert client.chat(MESSAGES).choices[0].message.content == "done"


class BlockingClient:
    """A user's own client: blocking, with plain objects as answers."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.threads: set[str] = set()

    def create(self, *, messages: Any, tools: Any = None, stream: bool = False) -> Any:
        self.requests.append({"messages": messages, "tools": tools})
        self.threads.add(threading.current_thread().name)
        if stream:
            return self._chunks(messages)
        message = self._message(messages)
        return SimpleNamespace(
            choices=[SimpleNamespace(message=message, finish_reason="stop")],
            usage=SimpleNamespace(prompt_tokens=1, completion_tokens=2, total_tokens=3),
        )

    def parse(self, *, messages: Any, response_format: Any) -> Any:
        self.requests.append({"messages": messages})
        parsed = response_format(city="Tokyo")
        return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(parsed=parsed))])

    def _message(self, messages: Any) -> Any:
        if messages[-1]["role"] == "tool":
            return SimpleNamespace(role="assistant", content="22 degrees", tool_calls=None)
        function = SimpleNamespace(name="get_weather", arguments='{"location": "Tokyo"}')
        calls = [SimpleNamespace(id="c1", type="function", function=function)]
        return SimpleNamespace(role="assistant", content=None, tool_calls=calls)

    def _chunks(self, messages: Any) -> Iterator[dict[str, Any]]:
        if messages[-1]["role"] == "tool":
            for word in ("22 ", "degrees"):
                yield {"choices": [{"delta": {"content": word}}]}
            yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            return
        function = {"name": "get_weather", "arguments": '{"location": "Tokyo"}'}
        call = {"index": 0, "id": "c1", "type": "function", "function": function}
        yield {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
        yield {"choices": [{"delta": {"tool_calls": [call]}}]}
        yield {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}


def test_a_users_own_blocking_client_can_be_wrapped() -> None:
    own = BlockingClient()
    client = ToolClient(own)
    client.register_tool("get_weather", "Weather", get_weather)
    answer = client.chat(MESSAGES)
    assert answer.choices[0].message.content == "22 degrees"
    assert answer.usage.total_tokens == 6
    assert "22" in own.requests[1]["messages"][2]["content"]
    assert all("AnyIO worker" in name for name in own.threads)
    parsed = client.parse(MESSAGES, Weather).choices[0].message.parsed
    assert parsed == Weather(city="Tokyo")


def test_a_users_own_blocking_stream_can_be_wrapped() -> None:
    client = ToolClient(BlockingClient())
    client.register_tool("get_weather", "Weather", get_weather)
    chunks = list(client.chat(MESSAGES, stream=True))
    assert [c.choices[0].delta.content for c in chunks] == ["22 ", "degrees", None]
    with client.create(MESSAGES, stream=True) as stream:
        assert "".join(c.choices[0].delta.content or "" for c in stream) == ""
    stream.close()


def test_the_facade_has_every_method_with_the_same_parameters() -> None:
    renamed = {"aclose": "close"}
    for name, method in inspect.getmembers(AsyncToolClient, inspect.isfunction):
        if name.startswith("_"):
            continue
        twin = getattr(ToolClient, renamed.get(name, name))
        assert list(inspect.signature(twin).parameters) == list(
            inspect.signature(method).parameters
        )
        assert not inspect.iscoroutinefunction(twin)
        assert twin.__doc__
    assert ToolClient(BlockingClient()).async_client.registry.names() == []

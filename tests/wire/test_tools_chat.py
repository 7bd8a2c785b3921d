"""The conversation of model and tools, over real sockets."""

import copy
import json
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai.errors import (
    ConfigurationError,
    InvalidResponseError,
    OutputValidationError,
    RateLimitError,
    ToolRoundsExceededError,
)
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
from mbxai.testing import Failure, FakeOpenRouter, Reply
from mbxai.tools import AsyncToolClient, Secret, ToolContext

MESSAGES = [{"role": "user", "content": "What is the weather in Tokyo?"}]


class Weather(BaseModel):
    city: str
    degrees: int


def get_weather(location: str, unit: str = "celsius") -> dict:
    """Get weather information for a location.

    Args:
        location: The city or location name
    """
    return {"location": location, "temperature": 22, "unit": unit}


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments if arguments is not None else {}, **more}


@pytest.fixture
async def client(fake: FakeOpenRouter) -> Any:
    async with (
        AsyncOpenRouterClient(
            token=fake.api_key, base_url=fake.base_url, model="fake/model", max_retries=0
        ) as inner,
        AsyncToolClient(inner) as tools,
    ):
        tools.register_tool("get_weather", "Get the weather", get_weather)
        yield tools


def bodies(fake: FakeOpenRouter) -> list[dict[str, Any]]:
    return [request.json for request in fake.requests()]


async def test_a_tool_runs_and_its_result_leads_to_the_answer(fake: Any, client: Any) -> None:
    arguments = '{ "location" :"Tokyo",\n"unit": "celsius"}'
    details = [{"type": "reasoning.encrypted", "data": "abc", "index": 0}]
    fake.script(
        Reply(
            tool_calls=[call("get_weather", arguments, id="c1")],
            extra={"reasoning_details": details},
            usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.5},
        ),
        Reply(
            "22 degrees",
            usage={"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27, "cost": 0.25},
        ),
    )
    messages = copy.deepcopy(MESSAGES)
    answer = await client.chat(messages, temperature=0.5)
    assert answer.choices[0].message.content == "22 degrees"
    assert messages == MESSAGES
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (30, 12)
    assert (answer.usage.total_tokens, answer.usage.cost) == (42, 0.75)
    first, second = bodies(fake)
    assert first["messages"] == MESSAGES
    assert first["temperature"] == second["temperature"] == 0.5
    assert first["tools"] == second["tools"]
    assert first["tools"][0]["function"]["name"] == "get_weather"
    question, assistant, result = second["messages"]
    assert [question] == MESSAGES
    assert assistant["content"] is None
    assert assistant["tool_calls"][0]["id"] == "c1"
    assert assistant["tool_calls"][0]["function"]["arguments"] == arguments
    assert assistant["reasoning_details"] == details
    assert result["tool_call_id"] == "c1"
    assert json.loads(result["content"]) == {
        "location": "Tokyo",
        "temperature": 22,
        "unit": "celsius",
    }
    fake.verify()


async def test_calls_of_one_round_overlap(fake: Any, client: Any) -> None:
    everybody = anyio.Event()
    waiting: list[str] = []

    @client.tool
    async def meet(name: str) -> str:
        """Wait for the others."""
        waiting.append(name)
        if len(waiting) == 3:
            everybody.set()
        with anyio.fail_after(5):
            await everybody.wait()
        return name

    fake.script(Reply(tool_calls=[call("meet", {"name": n}) for n in "abc"]), Reply("done"))
    await client.chat(MESSAGES)
    results = [m["content"] for m in bodies(fake)[1]["messages"] if m["role"] == "tool"]
    assert results == ["a", "b", "c"]


async def test_failures_go_back_to_the_model_and_the_conversation_goes_on(
    fake: Any, client: Any
) -> None:
    @client.tool(name="fail")
    def broken() -> None:
        raise ValueError("no such city")

    fake.script(
        Reply(tool_calls=[call("nothing"), call("fail"), call("get_weather", '{"locat')]),
        Reply(tool_calls=[call("get_weather", {"location": 3})]),
        Reply("sorry"),
    )
    answer = await client.chat(MESSAGES)
    assert answer.choices[0].message.content == "sorry"
    results = [m["content"] for m in bodies(fake)[2]["messages"] if m["role"] == "tool"]
    assert "no tool 'nothing'" in results[0]
    assert results[1] == "fail failed: ValueError: no such city"
    assert "not valid JSON" in results[2]
    assert "location: Input should be a valid string" in results[3]


async def test_missing_and_repeated_call_ids_become_unique(fake: Any, client: Any) -> None:
    fake.script(
        Reply(
            tool_calls=[
                call("get_weather", {"location": c}, id=i)
                for c, i in (("a", ""), ("b", "x"), ("c", "x"))
            ]
        ),
        Reply(tool_calls=[call("get_weather", {"location": "d"}, id="x")]),
        Reply("done"),
    )
    await client.chat(MESSAGES)
    history = bodies(fake)[2]["messages"]
    asked = [part["id"] for m in history for part in m.get("tool_calls") or ()]
    answered = [m["tool_call_id"] for m in history if m["role"] == "tool"]
    assert asked == answered
    assert len(set(asked)) == 4
    assert all(asked)
    places = [json.loads(m["content"])["location"] for m in history if m["role"] == "tool"]
    assert places == list("abcd")


@pytest.mark.parametrize(
    ("choice", "later"),
    [
        ("required", "auto"),
        ({"type": "function", "function": {"name": "get_weather"}}, "auto"),
        ("auto", "auto"),
    ],
)
async def test_a_forced_choice_holds_for_the_first_round(
    fake: Any, client: Any, choice: Any, later: str
) -> None:
    fake.script(Reply(tool_calls=[call("get_weather", {"location": "a"})]), Reply("done"))
    await client.chat(MESSAGES, tool_choice=choice)
    assert [body["tool_choice"] for body in bodies(fake)] == [choice, later]


async def test_tool_calls_decide_whatever_the_finish_reason_says(fake: Any, client: Any) -> None:
    fake.script(
        Reply(tool_calls=[call("get_weather", {"location": "a"})], finish_reason="stop"),
        Reply("done", finish_reason="tool_calls"),
    )
    answer = await client.chat(MESSAGES)
    assert answer.choices[0].message.content == "done"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_round_limit_ends_an_endless_conversation(
    fake: Any, client: Any, stream: bool
) -> None:
    ran: list[int] = []

    @client.tool
    def again() -> None:
        """Never enough."""
        ran.append(1)

    fake.script(*[Reply(tool_calls=[call("again")])] * 3)

    async def talk() -> None:
        answer = await client.chat(MESSAGES, max_rounds=2, stream=stream)
        async for _ in answer:
            pass

    with pytest.raises(ToolRoundsExceededError, match=r"\(again\) after 2 rounds.*max_rounds"):
        await talk()
    assert len(ran) == 2
    fake.verify()


async def test_at_least_one_round_must_be_allowed(client: Any) -> None:
    with pytest.raises(ConfigurationError):
        await client.chat(MESSAGES, max_rounds=0)


async def test_an_empty_answer_after_a_tool_is_asked_for_once_more(fake: Any, client: Any) -> None:
    fake.script(
        Reply(tool_calls=[call("get_weather", {"location": "a"})]), Reply(""), Reply("done")
    )
    answer = await client.chat(MESSAGES)
    assert answer.choices[0].message.content == "done"
    fake.reset()
    fake.script(Reply(tool_calls=[call("get_weather", {"location": "a"})]), Reply(""), Reply(""))
    assert not (await client.chat(MESSAGES)).choices[0].message.content
    fake.reset()
    fake.script(Reply(""))
    assert not (await client.chat(MESSAGES)).choices[0].message.content


async def test_own_tools_of_a_request_are_offered_beside_the_registered_ones(
    fake: Any, client: Any
) -> None:
    own = {"type": "function", "function": {"name": "own", "parameters": {"type": "object"}}}
    await client.chat(MESSAGES, tool_choice="none", tools=[own])
    [body] = bodies(fake)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "own"]


async def test_without_tools_chat_is_one_plain_call(fake: Any) -> None:
    async with AsyncOpenRouterClient(token=fake.api_key, base_url=fake.base_url) as inner:
        fake.script(Reply("hi", usage={"cost": 0.125}))
        answer = await AsyncToolClient(inner).chat(MESSAGES, model="other/model")
    assert answer.usage.cost == 0.125
    [body] = bodies(fake)
    assert "tools" not in body
    assert body["model"] == "other/model"


async def test_create_adds_no_tool_and_runs_none(fake: Any, client: Any) -> None:
    fake.script(Reply(tool_calls=[call("get_weather", {"location": "a"})]))
    answer = await client.create(MESSAGES, tools=client.tool_definitions(["get_weather"]))
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
    assert len(bodies(fake)) == 1


async def test_errors_of_the_model_pass_through(fake: Any, client: Any) -> None:
    fake.script(Reply(tool_calls=[call("get_weather", {"location": "a"})]), Failure(429))
    with pytest.raises(RateLimitError):
        await client.chat(MESSAGES)


async def test_a_context_reaches_tools_in_a_conversation(fake: Any, client: Any) -> None:
    seen: list[Any] = []

    @client.tool
    async def order(item: str, token: Secret, context: ToolContext[str]) -> str:
        """Order it."""
        seen.append((context.deps, context.call_id))
        return f"{item} with {token.reveal()}"

    fake.script(Reply(tool_calls=[call("order", {"item": "tea"}, id="c9")]), Reply("done"))
    context = ToolContext(deps="database", secrets={"token": "tok-12345"})
    await client.chat(MESSAGES, context=context)
    assert seen == [("database", "c9")]
    assert "tok-12345" not in json.dumps(bodies(fake))
    assert "token" not in json.dumps(bodies(fake)[0]["tools"])


# --- parse ----------------------------------------------------------------------------------------


async def test_parse_runs_tools_first_and_then_asks_for_structure_without_them(
    fake: Any, client: Any
) -> None:
    fake.script(
        Reply(tool_calls=[call("get_weather", {"location": "Tokyo"})], usage={"cost": 0.25}),
        Reply("22 degrees", usage={"cost": 0.25}),
        Reply(json={"city": "Tokyo", "degrees": 22}, usage={"cost": 0.5}),
    )
    answer = await client.parse(MESSAGES, Weather, tool_choice="required", temperature=0.5)
    assert answer.choices[0].message.parsed == Weather(city="Tokyo", degrees=22)
    assert answer.usage.cost == 1.0
    first, second, last = bodies(fake)
    assert all("response_format" not in body for body in (first, second))
    assert all("tools" in body for body in (first, second))
    assert "tools" not in last
    assert "tool_choice" not in last
    assert last["temperature"] == 0.5
    assert last["response_format"]["json_schema"]["name"] == "Weather"
    assert [m["role"] for m in last["messages"]] == ["user", "assistant", "tool"]


async def test_parse_without_tools_is_one_structured_call(fake: Any) -> None:
    async with AsyncOpenRouterClient(token=fake.api_key, base_url=fake.base_url) as inner:
        answer = await AsyncToolClient(inner).parse(MESSAGES, Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)
    assert len(bodies(fake)) == 1


# --- streaming ------------------------------------------------------------------------------------


async def text_of(stream: Any) -> str:
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def test_tools_run_before_the_answer_streams(fake: Any, client: Any) -> None:
    fake.script(
        Reply(
            tool_calls=[call("get_weather", {"location": "Tokyo"}, id="c1")], usage={"cost": 0.5}
        ),
        Reply("It is 22 degrees in Tokyo today.", usage={"cost": 0.25}),
    )
    stream = await client.chat(MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]
    assert (
        "".join(c.choices[0].delta.content or "" for c in chunks)
        == "It is 22 degrees in Tokyo today."
    )
    assert all(not c.choices[0].delta.tool_calls for c in chunks)
    assert len(chunks) > 1
    assert stream.completion.choices[0].message.content == "It is 22 degrees in Tokyo today."
    assert stream.completion.usage.cost == stream.usage.cost == 0.75
    first, second = bodies(fake)
    assert first["stream"] is second["stream"] is True
    assert [m["role"] for m in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][2]["tool_call_id"] == second["messages"][1]["tool_calls"][0]["id"]
    fake.verify()


async def test_what_the_model_says_before_its_calls_is_passed_on_and_kept(
    fake: Any, client: Any
) -> None:
    fake.script(
        Reply("Let me look. ", tool_calls=[call("get_weather", {"location": "Tokyo"})]),
        Reply("22 degrees."),
    )
    assert await text_of(await client.chat(MESSAGES, stream=True)) == "Let me look. 22 degrees."
    assert bodies(fake)[1]["messages"][1]["content"] == "Let me look. "


async def test_a_stream_that_is_left_early_is_closed(fake: Any, client: Any) -> None:
    fake.script(Reply("word " * 2_000))
    async with await client.chat(MESSAGES, stream=True) as stream:
        assert (await anext(stream)).choices
    assert [chunk async for chunk in stream] == []
    await stream.aclose()


async def test_an_error_before_the_stream_is_raised_by_chat_itself(fake: Any, client: Any) -> None:
    fake.script(Failure(429))
    with pytest.raises(RateLimitError):
        await client.chat(MESSAGES, stream=True)


async def test_an_empty_streamed_answer_after_a_tool_is_asked_for_once_more(
    fake: Any, client: Any
) -> None:
    fake.script(
        Reply(tool_calls=[call("get_weather", {"location": "a"})]), Reply(""), Reply("done")
    )
    stream = await client.chat(MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "done"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]


# --- what may be wrapped --------------------------------------------------------------------------


async def test_a_facade_is_wrapped_by_its_async_twin(fake: Any) -> None:
    facade = OpenRouterClient(token=fake.api_key, base_url=fake.base_url)
    tools = AsyncToolClient(facade)
    tools.tool(get_weather)
    fake.script(Reply(tool_calls=[call("get_weather", {"location": "a"})]), Reply("done"))
    assert (await tools.chat(MESSAGES)).choices[0].message.content == "done"
    await facade.async_client.aclose()


def test_an_object_that_cannot_answer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no create\(\)"):
        AsyncToolClient(object())


async def test_an_answer_that_is_no_completion_is_a_typed_error() -> None:
    class Odd:
        async def create(self, messages: Any, **params: Any) -> Any:
            return params.get("answer", 3)

    for answer in (3, {}, {"choices": []}, {"choices": [3]}):
        with pytest.raises(InvalidResponseError):
            await AsyncToolClient(Odd()).chat(MESSAGES, answer=answer)
    with pytest.raises(InvalidResponseError):
        await AsyncToolClient(Odd()).chat(MESSAGES, stream=True)
    with pytest.raises(ConfigurationError, match=r"no parse\(\)"):
        await AsyncToolClient(Odd()).parse(MESSAGES, Weather)


# --- answers that were cut or withheld ------------------------------------------------------------


CUT = {
    "length": "cut at the token limit",
    "content_filter": "withheld by the provider's filter",
    "error": "stopped your answer with an error",
}


class ScriptedModel:
    """A user's own client that gives prepared answers and keeps the requests."""

    def __init__(self, *answers: tuple[list[dict[str, Any]] | str, str]) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    async def create(self, *, stream: bool = False, **request: Any) -> Any:
        self.requests.append(request)
        said, finish_reason = self.answers.pop(0)
        message: dict[str, Any] = {"content": said}
        if not isinstance(said, str):
            calls = [
                {"index": i, "id": f"c{i}", "function": {"name": c["name"], "arguments": c["text"]}}
                for i, c in enumerate(said)
            ]
            message = {"content": None, "tool_calls": calls}
        choice = {"index": 0, "finish_reason": finish_reason}
        if not stream:
            return {"choices": [{**choice, "message": message}]}

        async def chunks() -> Any:
            yield {"choices": [{**choice, "delta": message}]}

        return chunks()

    async def parse(self, **request: Any) -> Any:
        self.requests.append(request)
        return {"parsed": True}


def recorder(written: list[str]) -> Any:
    def write(text: str) -> None:
        written.append(text)

    return write


@pytest.mark.parametrize("finish_reason", CUT)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_calls_of_an_unfinished_answer_are_never_run(
    finish_reason: str, stream: bool
) -> None:
    written: list[str] = []
    whole = {"name": "write", "text": '{"text": "one"}'}
    cut = {"name": "write", "text": '{"text": "tw'}
    model = ScriptedModel(([whole, cut], finish_reason), ([whole], "tool_calls"), ("done", "stop"))
    client = AsyncToolClient(model)
    client.register_tool("write", "Write a text", recorder(written))
    answer = await client.chat(MESSAGES, stream=stream)
    if stream:
        assert await text_of(answer) == "done"
    else:
        assert answer.choices[0].message.content == "done"
    assert written == ["one"]
    history = model.requests[-1]["messages"]
    told = [m for m in history if m["role"] == "tool"]
    asked = [part["id"] for m in history for part in m.get("tool_calls") or ()]
    assert [m["tool_call_id"] for m in told] == asked
    assert len(set(asked)) == 3
    assert all(CUT[finish_reason] in m["content"] for m in told[:2])
    assert all("Nothing was run" in m["content"] for m in told[:2])


async def test_cut_answers_count_as_rounds() -> None:
    cut = ([{"name": "write", "text": "{"}], "length")
    client = AsyncToolClient(ScriptedModel(cut, cut, cut))
    with pytest.raises(ToolRoundsExceededError, match="after 2 rounds"):
        await client.chat(MESSAGES, max_rounds=2)


async def test_parse_runs_no_call_of_an_unfinished_answer() -> None:
    written: list[str] = []
    model = ScriptedModel(
        ([{"name": "write", "text": '{"text": "one"}'}], "length"), ("ok", "stop")
    )
    client = AsyncToolClient(model)
    client.register_tool("write", "Write a text", recorder(written))
    await client.parse(MESSAGES, Weather)
    assert written == []
    assert "cut at the token limit" in model.requests[-1]["messages"][-1]["content"]


async def test_a_final_answer_that_was_cut_stays_as_it_is(fake: Any, client: Any) -> None:
    fake.script(
        Reply(tool_calls=[call("get_weather", {"location": "a"})]),
        Reply("half an ans", finish_reason="length"),
    )
    answer = await client.chat(MESSAGES)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "half an ans"


async def test_typed_output_may_be_of_any_type_and_counts_its_corrections(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(Reply("no tool needed"), Reply("prose"), Reply(json={"value": [1, 2]}))
    answer = await client.parse(MESSAGES, list[int], strategy="json_schema")
    assert answer.choices[0].message.parsed == [1, 2]
    assert answer.validation_retries == 1
    each = [body["messages"][-1] for body in bodies(fake)]
    assert len(each) == 3
    assert answer.total_usage == answer.usage


async def test_the_caller_may_forbid_corrections(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(Reply("no tool needed"), Reply("prose"))
    with pytest.raises(OutputValidationError):
        await client.parse(MESSAGES, Weather, max_validation_retries=0)
    assert len(bodies(fake)) == 2

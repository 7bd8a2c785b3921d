import json

import pytest
from pydantic import BaseModel
from support.client_kinds import KINDS, USER, opened, text_of, wait_for
from support.raw_server import (
    USAGE_CHUNK,
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    end,
    events,
    hang,
    part,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import (
    AuthenticationError,
    OpenRouterConfigurationError,
    OutputTruncatedError,
    OutputValidationError,
    ProviderUnavailableError,
    StreamTruncatedError,
)
from mbxai.wire import (
    AnswerDone,
    AttachmentAdded,
    AudioDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallArgumentsDelta,
    ToolCallDone,
)


class City(BaseModel):
    name: str
    size: int = 0


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url) as made:
        yield made


def sent(raw, number=0):
    return json.loads(raw.seen().requests[number]["body"])


def texts(*pieces, finish="stop"):
    return stream(*map(chunk, pieces), chunk(finish=finish), USAGE_CHUNK)


async def test_nothing_is_sent_before_the_block_begins(raw, client):
    raw.script(texts("a"))
    manager = client.stream(USER, model="x/y", temperature=0.5)
    assert raw.seen().requests == []
    async with manager as chunks:
        assert (chunks.attempts, chunks.generation_id) == (1, "gen-1")
    body = sent(raw)
    assert (body["model"], body["temperature"], body["stream"]) == ("x/y", 0.5, True)


async def test_the_text_stream_gives_what_is_written_and_the_snapshot_grows(raw, client):
    raw.script(texts("Hel", "", "lo ", "world"))
    async with client.stream(USER) as chunks:
        seen = [(text, chunks.snapshot.text) async for text in chunks.text_stream]
        assert seen == [("Hel", "Hel"), ("lo ", "Hello "), ("world", "Hello world")]
        assert chunks.snapshot.finish_reason == "stop"
        assert (await chunks.get_final_completion()).usage.cost == 0.001


async def test_the_text_stream_is_that_of_the_first_answer(raw, client):
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "x"}},
            {"index": 0, "delta": {"content": "a"}},
        ]
    }
    raw.script(
        stream(both, both, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    )
    async with client.stream(USER) as chunks:
        assert [text async for text in chunks.text_stream] == ["a", "a"]
        whole = await chunks.get_final_completion()
    assert [choice.message.content for choice in whole.choices] == ["aa", "xx"]


async def test_events_tell_of_everything_in_order(raw, client):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    deltas = [
        {"reasoning": "hm"},
        {"content": "Hi"},
        {"refusal": "no"},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
        {"images": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "x:y"}}]},
        {"audio": {"id": "a", "data": "AA", "transcript": "ah"}},
    ]
    raw.script(stream(*(chunk(delta=delta) for delta in deltas), chunk(finish="stop"), USAGE_CHUNK))
    async with client.stream(USER) as chunks:
        happened = [event async for event in chunks.events()]
        whole = await chunks.get_final_completion()
    message = whole.message
    assert happened == [
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        RefusalDelta("no"),
        ToolCallArgumentsDelta(0, "c1", "f", "{"),
        ToolCallArgumentsDelta(0, "c1", "f", "}"),
        AttachmentAdded(message.images[0]),
        AttachmentAdded(message.annotations[0]),
        AudioDelta("AA", "ah"),
        ToolCallDone(0, message.tool_calls[0]),
        AnswerDone(whole),
    ]
    assert message.tool_calls[0].function.arguments == "{}"
    assert happened[-1].completion.usage.cost == 0.001


async def test_events_end_with_the_error_that_ends_the_stream(raw, client):
    raw.script(stream(chunk("ab"), done=False))
    happened = []
    async with client.stream(USER) as chunks:
        with pytest.raises(StreamTruncatedError):
            happened += [event async for event in chunks.events()]
        assert chunks.snapshot.text == "ab"


async def test_the_final_completion_may_be_asked_for_at_any_time_and_again(raw, client):
    raw.script(texts("a", "b", "c"))
    async with client.stream(USER) as chunks:
        async for piece in chunks:
            assert piece.choices[0].delta.content == "a"
            break
        whole = await chunks.get_final_completion()
        assert whole.text == "abc"
        assert await chunks.get_final_completion() == whole
        assert [piece async for piece in chunks] == []
    assert chunks.completion == whole
    assert whole.history == chunks.history


async def test_a_block_is_entered_once(raw, client):
    raw.script(texts("a"))
    manager = client.stream(USER)
    async with manager as chunks:
        with pytest.raises(OpenRouterConfigurationError, match="opened already"):
            await manager.__aenter__()
        assert await text_of(chunks) == "a"
    with pytest.raises(OpenRouterConfigurationError, match="opened already"):
        await manager.__aenter__()
    assert len(raw.seen().requests) == 1


async def test_a_failure_before_the_first_token_is_retried_at_the_start_of_the_block(raw, client):
    raw.script([drop()], answer(b"", status=503), texts("ok"))
    async with client.stream(USER) as chunks:
        assert [attempt.outcome for attempt in chunks.history] == [
            "OpenRouterConnectionError",
            "ProviderUnavailableError",
            "ok",
        ]
        assert await text_of(chunks) == "ok"


@pytest.mark.parametrize(
    ("status", "kind", "count"), [(401, AuthenticationError, 1), (502, ProviderUnavailableError, 4)]
)
async def test_a_failure_that_stays_is_raised_at_the_start_of_the_block(
    raw, client, status, kind, count
):
    raw.script(answer({"error": {"code": status, "message": "no"}}, status=status))
    manager = client.stream(USER)
    with pytest.raises(kind) as caught:
        await manager.__aenter__()
    assert caught.value.attempts == len(raw.seen().requests) == count
    raw.script(texts("later"))
    async with manager as chunks:  # nothing had been opened
        assert await text_of(chunks) == "later"


async def test_wrong_arguments_are_refused_at_the_start_of_the_block(raw, client):
    raw.script(texts("a"))
    for params, name in (
        ({"response_format": 3}, "response_format"),
        ({"response_format": City, "strategy": "best"}, "strategy"),
        ({"timeout": -1}, "timeout"),
    ):
        with pytest.raises(OpenRouterConfigurationError, match=name):
            await client.stream(USER, **params).__aenter__()
    assert raw.seen().requests == []


async def test_a_mapping_as_response_format_is_sent_as_it_is(raw, client):
    raw.script(texts('{"a": 1}'))
    async with client.stream(USER, response_format={"type": "json_object"}) as chunks:
        assert await text_of(chunks) == '{"a": 1}'
    assert sent(raw)["response_format"] == {"type": "json_object"}


async def test_partials_grow_and_the_last_one_is_whole(raw, client):
    raw.script(texts('{"na', 'me": "Ul', 'm", "si', 'ze": 12', "0}"))
    async with client.stream(USER, response_format=City) as chunks:
        values = [value async for value in chunks.partials()]
        result = await chunks.get_final_completion()
    assert values == [City(name="Ul"), City(name="Ulm"), City(name="Ulm", size=120)]
    assert result.choices[0].message.parsed == City(name="Ulm", size=120)
    assert (result.strategy, result.total_usage.cost) == ("json_schema", 0.001)
    assert sent(raw)["response_format"]["json_schema"]["name"] == "City"
    assert sent(raw)["provider"] == {"require_parameters": True}


async def test_partials_come_while_the_rest_is_being_written(raw, client):
    first = part(events(chunk('{"name": "Ulm", "si'), done=False))
    raw.script([sse_head(), first, hang()])
    async with client.stream(USER, response_format=City) as chunks:
        async for value in chunks.partials():
            assert value == City(name="Ulm")
            break
    await wait_for(raw, lambda seen: seen.disconnects == 1)


async def test_items_of_a_list_come_as_soon_as_they_are_whole(raw, client):
    pieces = ('{"value": [{"name": "A"}, {"na', 'me": "B", "size": 2', "}, ", '{"name": "C"}]}')
    begun = [sse_head(), *(part(events(chunk(piece), done=False)) for piece in pieces[:3])]
    raw.script([*begun, wait(0.2), part(events(chunk(pieces[3], finish="stop"))), end()])
    async with client.stream(USER, response_format=list[City]) as chunks:
        states = [(city, chunks.snapshot.text.endswith("]}")) async for city in chunks.items()]
        result = await chunks.get_final_completion()
    cities = [City(name="A"), City(name="B", size=2), City(name="C")]
    assert states == [(cities[0], False), (cities[1], False), (cities[2], True)]
    assert result.choices[0].message.parsed == cities


async def test_items_of_what_is_no_list_are_refused(raw, client):
    raw.script(texts('{"name": "Ulm"}'))
    async with client.stream(USER, response_format=City) as chunks:
        with pytest.raises(OpenRouterConfigurationError, match="must be a list"):
            [item async for item in chunks.items()]


@pytest.mark.parametrize("view", ["partials", "items", "get_final_completion"])
@pytest.mark.parametrize(
    ("text", "finish", "kind"),
    [
        ('{"value": [{"name": 1}]}', "stop", OutputValidationError),
        ('{"value": [{"name": "a"', "length", OutputTruncatedError),
        ("I would rather not.", "stop", OutputValidationError),
        ('{"value": [{"name": "a"', None, StreamTruncatedError),
    ],
    ids=["misfit", "cut", "prose", "broken off"],
)
async def test_a_typed_stream_ends_with_the_error_of_its_answer(
    raw, client, view, text, finish, kind
):
    raw.script(stream(chunk(text), chunk(finish=finish), done=finish is not None))

    async def read(chunks):
        if view == "get_final_completion":
            return await chunks.get_final_completion()
        return [value async for value in getattr(chunks, view)()]

    async with client.stream(USER, response_format=list[City]) as chunks:
        with pytest.raises(kind) as caught:
            await read(chunks)
    whole = getattr(caught.value, "completion", None) or caught.value.partial
    assert whole.text == text


@pytest.mark.parametrize(
    ("strategy", "used", "format_type"),
    [
        ("auto", "json_schema", "json_schema"),
        ("json_schema", "json_schema", "json_schema"),
        ("tool", "json_object", "json_object"),  # arguments of a tool are no text to follow
        ("json_object", "json_object", "json_object"),
        ("prompted", "prompted", None),
    ],
)
async def test_a_stream_asks_in_the_way_that_it_is_told(raw, client, strategy, used, format_type):
    raw.script(texts('{"name": "Ulm"}'))
    async with client.stream(USER, response_format=City, strategy=strategy) as chunks:
        result = await chunks.get_final_completion()
    assert (result.strategy, result.choices[0].message.parsed) == (used, City(name="Ulm"))
    body = sent(raw)
    assert body.get("response_format", {}).get("type") == format_type
    assert ("JSON Schema" in str(body["messages"])) == (used != "json_schema")
    assert "tools" not in body


async def test_what_parse_has_learnt_of_a_model_holds_for_its_streams(raw, client):
    refusal = {"error": {"code": 404, "message": "No endpoints found that support response_format"}}
    endpoints = {"data": {"endpoints": [{"supported_parameters": ["response_format"]}]}}
    raw.script(answer(refusal, status=404), answer(endpoints), answer(completion('{"name": "A"}')),
               texts('{"name": "B"}'))  # fmt: skip
    assert (await client.parse(USER, City)).strategy == "json_object"
    async with client.stream(USER, response_format=City) as chunks:
        assert (await chunks.get_final_completion()).strategy == "json_object"
    assert len(raw.seen().requests) == 4


async def test_a_typed_stream_that_calls_a_tool_of_the_caller_has_no_value_yet(raw, client):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}
    raw.script(stream(chunk(delta={"tool_calls": [call]}), chunk(finish="tool_calls")))
    async with client.stream(USER, response_format=City, tools=[tool]) as chunks:
        assert [value async for value in chunks.partials()] == []
        result = await chunks.get_final_completion()
    assert (result.choices[0].message.parsed, result.message.tool_calls[0].id) == (None, "c1")


async def test_a_field_of_the_server_is_no_value(raw, client):
    raw.script(
        stream(chunk(delta={"content": '{"name": "Ulm"}', "parsed": "x"}), chunk(finish="stop"))
    )
    async with client.stream(USER, response_format=City) as chunks:
        result = await chunks.get_final_completion()
    assert result.choices[0].message.parsed == City(name="Ulm")

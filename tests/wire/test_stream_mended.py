"""Odd streams cost no answer: what providers send, as both clients read it."""

import json
import time

import pytest
from pydantic import BaseModel
from support.client_kinds import KINDS, USER, opened, text_of
from support.raw_server import (
    USAGE_CHUNK,
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    end,
    events,
    part,
    sse_head,
    stream,
)

from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    StreamInterruptedError,
    StreamTruncatedError,
)
from mbxai.wire import ToolCallArgumentsDelta


class City(BaseModel):
    name: str
    size: int = 0


CITIES = [City(name="A"), City(name="B", size=2), City(name="C")]
PIECES = ('{"value": [{"name": "A"}, ', '{"name": "B", "size": 2}, {"na', 'me": "C"}]}')


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url) as made:
        yield made


def texts(*pieces):
    return stream(*map(chunk, pieces), chunk(finish="stop"), USAGE_CHUNK)


def call(**fields):
    return {"index": 0, "id": "c", "type": "function", **fields}


async def test_arguments_that_came_as_an_object_are_their_json_text(raw, client):
    function = {"name": "pay", "arguments": {"amount": 5, "to": "ü"}}
    raw.script(answer(completion(message={"tool_calls": [call(id=7, function=function)]})))
    result = await client.create(USER)
    got = result.message.tool_calls[0]
    assert (got.id, json.loads(got.function.arguments)) == ("7", {"amount": 5, "to": "ü"})
    sent = result.to_dict()["choices"][0]["message"]["tool_calls"][0]
    assert sent == call(id=7, function=function)


async def test_streamed_arguments_that_came_as_an_object_are_their_json_text(raw, client):
    function = {"name": "pay", "arguments": {"amount": 5}, "sig": "S"}
    delta = {"tool_calls": [call(id=7, function=function)]}
    raw.script(stream(chunk(delta=delta), chunk(finish="tool_calls")))
    async with client.stream(USER) as chunks:
        got = (await chunks.get_final_completion()).message.tool_calls[0]
    assert (got.id, got.function.arguments) == ("7", '{"amount":5}')
    assert got.to_dict()["function"]["sig"] == "S"


@pytest.mark.parametrize("response_format", [None, City])
async def test_a_stream_without_choices_is_no_answer(raw, client, response_format):
    raw.script(stream(USAGE_CHUNK))
    options = {} if response_format is None else {"response_format": response_format}
    async with client.stream(USER, **options) as chunks:
        with pytest.raises(InvalidResponseError, match="no choices") as caught:
            await chunks.get_final_completion()
    assert caught.value.generation_id == "gen-1"


@pytest.mark.parametrize("view", ["partials", "items"])
async def test_a_stream_without_choices_has_no_values(raw, client, view):
    raw.script(stream(USAGE_CHUNK))
    async with client.stream(USER, response_format=list[City]) as chunks:
        with pytest.raises(InvalidResponseError, match="no choices"):
            [value async for value in getattr(chunks, view)()]


async def test_routing_metadata_that_is_no_object_costs_no_answer(raw, client):
    raw.script(stream(chunk("Hi", openrouter_metadata=5), chunk(finish="stop"), USAGE_CHUNK))
    async with client.stream(USER) as chunks:
        result = await chunks.get_final_completion()
    assert (result.text, result.openrouter_metadata, result.usage.cost) == ("Hi", None, 0.001)
    assert result.to_dict()["openrouter_metadata"] == 5
    assert result.to_dict()["usage"] == USAGE_CHUNK["usage"]


async def test_two_choices_of_one_index_are_events_of_one_answer(raw, client):
    def choice(position, arguments):
        function = {"name": "f", "arguments": arguments}
        delta = {"tool_calls": [{"index": position, "id": f"c{position}", "function": function}]}
        return {"index": 0, "delta": delta}

    both = {"id": "gen-1", "choices": [choice(0, "{}"), choice(1, "[]")]}
    raw.script(stream(both, chunk(finish="tool_calls")))
    async with client.stream(USER) as chunks:
        seen = [event async for event in chunks.events()]
    assert [event for event in seen if isinstance(event, ToolCallArgumentsDelta)] == [
        ToolCallArgumentsDelta(0, "c0", "f", "{}"),
        ToolCallArgumentsDelta(1, "c1", "f", "[]"),
    ]


async def test_an_event_with_empty_data_is_passed_over(raw, client):
    blank = events("data:", "event: ping\ndata: ", done=False)
    body = events(chunk("a"), done=False) + blank + events(chunk("b", finish="stop"))
    raw.script([sse_head(), part(body), end()])
    async with client.stream(USER) as chunks:
        assert await text_of(chunks) == "ab"


async def test_items_begin_with_what_was_read_before(raw, client):
    raw.script(texts(*PIECES))
    async with client.stream(USER, response_format=list[City]) as chunks:
        await anext(chunks)
        await anext(chunks)
        assert [item async for item in chunks.items()] == CITIES


async def test_items_of_an_answer_that_was_read_whole_are_all_there(raw, client):
    raw.script(texts(*PIECES))
    async with client.stream(USER, response_format=list[City]) as chunks:
        await chunks.get_final_completion()
        assert [item async for item in chunks.items()] == CITIES


async def test_a_second_look_at_the_items_gives_what_is_left(raw, client):
    raw.script(texts("".join(PIECES)))
    async with client.stream(USER, response_format=list[City]) as chunks:
        first = [await anext(aiter(chunks.items()))]
        rest = [item async for item in chunks.items()]
        none = [item async for item in chunks.items()]
    assert (first, rest, none) == (CITIES[:1], CITIES[1:], [])


async def test_partials_begin_with_what_was_read_before(raw, client):
    raw.script(texts(*PIECES))
    async with client.stream(USER, response_format=list[City]) as chunks:
        await anext(chunks)
        await anext(chunks)
        values = [value async for value in chunks.partials()]
        assert values == [CITIES[:2], CITIES]
        assert [value async for value in chunks.partials()] == [CITIES]


async def test_an_answer_that_broke_off_is_never_given_as_whole(raw, client):
    raw.script([sse_head(), part(events(chunk("Hel"), done=False)), drop()])
    async with client.stream(USER) as chunks:
        with pytest.raises(StreamInterruptedError):
            await text_of(chunks)
        with pytest.raises(StreamInterruptedError):
            await chunks.get_final_completion()


async def test_a_stream_that_was_closed_early_has_no_whole_answer(raw, client):
    raw.script(texts("Hel", "lo"))
    async with client.stream(USER) as chunks:
        await anext(chunks)
    with pytest.raises(StreamTruncatedError, match="closed before its end") as caught:
        await chunks.get_final_completion()
    assert caught.value.partial.text.startswith("Hel")


async def test_a_stream_that_was_read_before_it_was_closed_has_its_answer(raw, client):
    raw.script(texts("Hel", "lo"))
    async with client.stream(USER) as chunks:
        await text_of(chunks)
    assert (await chunks.get_final_completion()).text == "Hello"


async def test_a_type_without_items_is_refused_before_the_stream_is_read(raw, client):
    raw.script(texts('{"name": "A"}'))
    async with client.stream(USER, response_format=City) as chunks:
        with pytest.raises(OpenRouterConfigurationError, match="must be a list"):
            [item async for item in chunks.items()]
        assert await text_of(chunks) == '{"name": "A"}'


@pytest.mark.parametrize("view", ["partials", "items"])
async def test_a_long_list_in_many_pieces_takes_time_as_its_length_does(raw, view):
    cities = [City(name=f"name of city {number}", size=number) for number in range(2200)]
    text = json.dumps({"value": [city.model_dump() for city in cities]})
    step = len(text) // 10_000
    pieces = (text[at : at + step] for at in range(0, len(text), step))
    raw.script(texts(*pieces))
    async with (
        opened("async", raw.base_url) as client,
        client.stream(USER, response_format=list[City]) as chunks,
    ):
        begin = time.process_time()
        values = [value async for value in getattr(chunks, view)()]
        spent = time.process_time() - begin
    assert (values if view == "items" else values[-1]) == cities
    assert spent < 4  # it was 10 s and more

"""C1 to C6: answers whose content is odd, cut, wrong or hostile."""

import json
import pickle
from typing import TypeVar

import pytest
from pydantic import BaseModel
from support.client_kinds import KINDS, USER, opened
from support.raw_server import (
    RawServer,
    answer,
    chunk,
    completion,
    end,
    events,
    part,
    sse_head,
    stream,
)

from mbxai.errors import (
    InvalidResponseError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
    StreamProtocolError,
)
from mbxai.wire import ChatCompletion

T = TypeVar("T")


class City(BaseModel):
    name: str
    size: float


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url, max_retries=0) as made:
        yield made


@pytest.fixture(params=["create", "stream"])
def way(request):
    return request.param


def script_of(way, message, *, finish="stop", cost=0.001):
    if way == "stream":
        usage = {"total_tokens": 5, "prompt_tokens": 3, "completion_tokens": 2, "cost": cost}
        return stream(chunk(delta=message), chunk(finish=finish), {"choices": [], "usage": usage})
    whole = completion(message=message, choice={"finish_reason": finish})
    whole["usage"]["cost"] = cost
    return answer(whole)


async def asked(raw, client, way, message):
    """The message that a client makes of one on the wire."""
    raw.script(script_of(way, message))
    if way == "create":
        return (await client.create(USER)).message
    return (await (await client.create(USER, stream=True)).get_final_completion()).message


async def typed(client, way, kind, **params):
    """The typed answer, which a stream gives without asking twice."""
    if way == "create":
        return await client.parse(USER, kind, **params)
    params.pop("max_validation_retries", None)
    async with client.stream(USER, response_format=kind, **params) as chunks:
        return await chunks.get_final_completion()


async def test_c1_content_null_beside_calls_stays_null(raw, client, way):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"b": 1,"a":2}'}}
    message = await asked(raw, client, way, {"role": "assistant", "content": None, "tool_calls": [call]})  # fmt: skip
    assert message.content is None
    assert message.to_param() == {"role": "assistant", "content": None, "tool_calls": [call]}


async def test_c1_content_in_parts_is_joined(raw, client, way):
    parts = [{"type": "text", "text": "Hel"}, {"type": "image_url"}, {"type": "text", "text": "lo"}]
    assert (await asked(raw, client, way, {"content": parts})).content == "Hello"


async def test_c1_a_refusal_is_read_and_is_no_value(raw, client, way):
    message = {"content": None, "refusal": "I cannot."}
    assert (await asked(raw, client, way, message)).refusal == "I cannot."
    with pytest.raises(RefusalError) as caught:
        await typed(client, way, City)
    assert caught.value.completion.message.refusal == "I cannot."
    assert "cannot." not in str(caught.value)


async def test_c1_thoughts_alone_are_an_answer(raw, client, way):
    details = [{"type": "reasoning.text", "index": 0, "text": "hm", "signature": "s"}]
    given = {"content": "", "reasoning": "hm", "reasoning_details": details}
    message = await asked(raw, client, way, given)
    assert (message.content, message.reasoning, message.reasoning_details) == ("", "hm", details)
    assert message.to_param()["reasoning_details"] == details


async def test_c1_odd_fields_do_not_cost_the_answer(raw, client, way):
    message = {"content": "ok", "annotations": "none", "images": None, "audio": 3, "new": [1]}
    read = await asked(raw, client, way, message)
    assert (read.content, read.annotations, read.images, read.audio) == ("ok", None, None, None)


async def test_c2_a_cut_value_is_truncation_and_never_repaired(raw, client, way):
    raw.script(script_of(way, {"content": '{"name": "Ulm", "size": 1}'}, finish="length"))
    with pytest.raises(OutputTruncatedError) as caught:
        await typed(client, way, City, max_validation_retries=3)
    assert len(raw.seen().requests) == 1
    assert caught.value.completion.text == '{"name": "Ulm", "size": 1}'
    assert pickle.loads(pickle.dumps(caught.value)).completion.usage.cost == 0.001


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "Ulm", "size": 1}\n```',
        'Sure! Here it is: {"name": "Ulm", "size": 1} Anything else?',
        '{"name": "Ulm", "size": 1,}',
        '\ufeff{"name": "Ulm", "size": 1}',
    ],
    ids=["fenced", "among words", "trailing comma", "byte order mark"],
)
async def test_c3_json_that_is_nearly_clean_is_taken_and_flagged(raw, client, way, text):
    raw.script(script_of(way, {"content": text}))
    result = await typed(client, way, City)
    assert result.choices[0].message.parsed == City(name="Ulm", size=1)
    assert result.choices[0].message.repaired
    assert len(raw.seen().requests) == 1


async def test_c3_clean_json_is_not_flagged(raw, client, way):
    raw.script(script_of(way, {"content": '{"name": "Ulm", "size": 1}'}))
    assert not (await typed(client, way, City)).choices[0].message.repaired


@pytest.mark.parametrize("retries", [0, 2])
async def test_c4_a_misfit_is_asked_for_again_and_everything_is_on_the_error(raw, client, retries):
    raw.script(
        script_of("create", {"content": '{"name": "A"}'}, cost=0.001),
        script_of("create", {"content": '{"name": "B"}'}, cost=0.02),
        script_of("create", {"content": '{"name": "C"}'}, cost=0.3),
    )
    with pytest.raises(OutputValidationError) as caught:
        await client.parse(USER, City, max_validation_retries=retries)
    error = pickle.loads(pickle.dumps(caught.value))
    assert [whole.text[10] for whole in error.completions] == list("ABC")[: retries + 1]
    assert error.total_usage.cost == pytest.approx([0.001, 0.021, 0.321][retries])
    assert error.total_usage.total_tokens == 5 * (retries + 1)
    assert error.completion.text == error.completions[-1].text
    assert error.problems == ("size: Field required",)
    assert len(raw.seen().requests) == retries + 1


async def test_c4_a_value_that_comes_at_last_counts_what_came_before(raw, client):
    raw.script(
        script_of("create", {"content": '{"name": "A"}'}, cost=0.001),
        script_of("create", {"content": '{"name": "B", "size": 2}'}, cost=0.02),
    )
    result = await client.parse(USER, City, max_validation_retries=3)
    assert result.choices[0].message.parsed == City(name="B", size=2)
    assert (result.validation_retries, result.usage.cost) == (1, 0.02)
    assert result.total_usage.cost == pytest.approx(0.021)


async def test_c4_a_stream_is_not_asked_for_again(raw, client):
    raw.script(script_of("stream", {"content": '{"name": "A"}'}))
    with pytest.raises(OutputValidationError) as caught:
        await typed(client, "stream", City)
    assert len(raw.seen().requests) == 1
    assert [whole.usage.cost for whole in caught.value.completions] == [0.001]


HOSTILE = {
    "NaN": '{"name": "A", "size": NaN}',
    "Infinity": '{"name": "A", "size": -Infinity}',
    "too large": '{"name": "A", "size": 1e999}',
    "a key twice": '{"name": "A", "size": 1, "size": 2}',
    "deep": '{"name": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "deep and open": "[" * 10_000,
    "a million digits": '{"name": "A", "size": ' + "9" * 10**6 + "}",
    "half a character": '{"name": "\\ud800", "size": 1}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_c5_hostile_json_is_a_misfit_and_no_crash(raw, client, way, text):
    raw.script(script_of(way, {"content": text}))
    with pytest.raises(OutputValidationError) as caught:
        await typed(client, way, City, max_validation_retries=0)
    assert caught.value.completion.text == text
    assert len(str(caught.value)) < 1000


def replaced(old, new):
    return json.dumps(completion("ab")).replace(old, new)


UNREADABLE = {
    "deep": replaced('"id"', '"x": ' + "[" * 10_000 + "]" * 10_000 + ', "id"'),
    "deep content": replaced('"ab"', "[" * 10_000 + "]" * 10_000),
    "a million digits": replaced('"prompt_tokens": 3', '"prompt_tokens": ' + "9" * 10**6),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_c5_a_hostile_answer_is_unreadable_and_no_crash(raw, client, body):
    raw.script(answer(body))
    with pytest.raises(InvalidResponseError):
        await client.create(USER)
    raw.script([sse_head(), part(events(chunk("a"), f"data: {body}", done=False)), end()])
    with pytest.raises(StreamProtocolError):
        await (await client.create(USER, stream=True)).get_final_completion()


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_c5_a_cost_that_is_no_number_is_none(raw, client, cost):
    raw.script(
        answer(replaced("0.001", cost)),
        stream(chunk("ab", finish="stop"), f'data: {{"choices": [], "usage": {{"cost": {cost}}}}}'),
    )
    for whole in (
        await client.create(USER),
        await (await client.create(USER, stream=True)).get_final_completion(),
    ):
        assert (whole.text, whole.usage.cost, whole.total_usage.cost) == ("ab", None, None)
        assert pickle.loads(pickle.dumps(whole)).usage == whole.usage


async def test_c5_a_key_twice_in_an_answer_is_its_last_value(raw, client):
    raw.script(answer(replaced('"content": "ab"', '"content": "ab", "content": "cd"')))
    assert (await client.create(USER)).text == "cd"


TEXTS = {
    "emoji": ("\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", None),
    "right to left": ("\u05e9\u05dc\u05d5\u05dd \u202e\u0645\u0631\u062d\u0628\u0627\u202c", None),
    "nul": ("a\0b", None),
    "separators": ("a\u2028b\u0085c\ufeffd", None),
    "half a character": ("a\ufffdb", "a\\ud800b"),
    "the other half": ("a\ufffdb", "a\\udc00b"),
    "halves in the wrong order": ("\ufffd\ufffd", "\\ude00\\ud83d"),
    "both halves": ("\U0001f600", "\\ud83d\\ude00"),
}


def same_after_a_trip(whole):
    """The answer after pickle and after JSON, as stores keep it."""
    pickled = pickle.loads(pickle.dumps(whole))
    text = json.dumps(whole.to_dict(), ensure_ascii=False).encode()
    loaded = ChatCompletion.from_wire(text)
    validated = type(whole).model_validate_json(whole.model_dump_json())
    assert pickled.to_dict() == loaded.to_dict() == whole.to_dict()
    assert pickled == whole
    assert {copy.text for copy in (pickled, loaded, validated)} == {whole.text}
    return pickled


@pytest.mark.parametrize(("text", "escaped"), TEXTS.values(), ids=TEXTS.keys())
async def test_c6_any_text_survives_stores(raw, client, text, escaped):
    data = escaped or json.dumps(text)[1:-1]
    raw.script(
        answer(replaced('"ab"', f'"{data}"').encode()),
        stream("data: " + json.dumps(chunk("ab", finish="stop")).replace('"ab"', f'"{data}"')),
    )
    whole = await client.create(USER, model="x/y")
    assert whole.text == text
    copy = same_after_a_trip(whole)
    assert (copy.history, copy.response) == (whole.history, whole.response)
    reply = await client.create(USER, stream=True)
    chunks = [piece async for piece in reply]
    assert same_after_a_trip(reply.completion).text == text
    assert [pickle.loads(pickle.dumps(piece)).to_dict() for piece in chunks] == [
        piece.to_dict() for piece in chunks
    ]


async def test_c6_typed_answers_and_events_survive_pickle(raw, client, way):
    raw.script(script_of(way, {"content": '{"name": "\\ud83d\\ude00", "size": 1}'}))
    result = await typed(client, way, City)
    copy = pickle.loads(pickle.dumps(result))
    assert copy.choices[0].message.parsed == City(name="\U0001f600", size=1)
    assert (copy.strategy, copy.total_usage.cost) == ("json_schema", 0.001)
    raw.script(script_of("stream", {"content": "a", "images": [{"image_url": {"url": "data:,"}}]}))
    async with client.stream(USER) as chunks:
        happened = [event async for event in chunks.events()]
    assert pickle.loads(pickle.dumps(happened)) == happened

"""S1 to S4 and S11 to S15: how events are cut, framed, put together and bounded."""

import json
import zlib
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.client_kinds import KINDS, USER, opened, text_of
from support.memory_programs import MIB, measured
from support.raw_server import (
    USAGE_CHUNK,
    RawServer,
    answer,
    chunk,
    completion,
    end,
    events,
    part,
    repeat,
    send,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import StreamProtocolError
from mbxai.wire import SSEDecoder

# A byte order mark, every kind of line end, characters of two, three and four bytes.
SHORT = (
    b"\xef\xbb\xbf"
    + 'data: {"id":"g","choices":[{"delta":{"content":"ü\u2028"}}]}\r\n\r\n'.encode()
    + b": OPENROUTER PROCESSING\r\n\r\n"
    + 'event: x\rdata: {"choices":[{"delta":\rdata: {"content":"€\U0001f600"}}]}\r\r'.encode()
    + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\r\n\r\n'
)
SHORT_TEXT = "ü\u2028€\U0001f600"


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url, max_retries=0) as made:
        yield made


def decoded(pieces):
    decoder = SSEDecoder()
    found = [event.data for piece in pieces for event in decoder.feed(piece)]
    last = decoder.finish()
    return found if last is None else [*found, last.data]


def body(*pieces):
    return [sse_head(), *(part(piece) for piece in pieces), end()]


def calls_of(whole):
    return [
        (call.id, call.function.name, call.function.arguments) for call in whole.message.tool_calls
    ]


def called(*deltas):
    """A stream in which each chunk holds one piece of a tool call."""
    chunks = [chunk(delta={"tool_calls": [delta]}) for delta in deltas]
    return stream(*chunks, chunk(finish="tool_calls"))


def call(arguments=None, *, name=None, **fields):
    return {"function": {"name": name, "arguments": arguments}, **fields}


def test_s01_any_two_cuts_of_the_body_give_the_same_events():
    whole = decoded([SHORT])
    assert [json.loads(data) for data in whole[:2]] == [
        {"id": "g", "choices": [{"delta": {"content": "ü\u2028"}}]},
        {"choices": [{"delta": {"content": "€\U0001f600"}}]},
    ]
    size = len(SHORT)
    for first in range(0, size + 1, 3):
        for second in range(first, size + 1):
            pieces = [SHORT[:first], SHORT[first:second], SHORT[second:]]
            assert decoded(pieces) == whole, (first, second)


LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b": c", b"event: e", b"id: 1", b"", b"", b"\xef\xbb\xbf", b"x"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=12),
    st.data(),
)
def test_s01_any_mix_of_lines_and_cuts_gives_the_events_of_the_whole_body(lines, data):
    whole = b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    edges = [0, *cuts, len(whole)]
    pieces = [whole[start:stop] for start, stop in pairwise(edges)]
    assert decoded(pieces) == decoded([whole]) == decoded([bytes([byte]) for byte in whole])


async def test_s01_every_cut_gives_the_same_chunks_over_a_socket(raw, client):
    cuts = range(1, len(SHORT))
    raw.script(
        *([sse_head(), part(SHORT[:cut]), wait(0.002), part(SHORT[cut:]), end()] for cut in cuts)
    )
    texts = [await text_of(await client.create(USER, stream=True)) for _ in cuts]
    assert texts == [SHORT_TEXT] * len(cuts)
    assert raw.seen().connections == 1


async def test_s01_a_byte_at_a_time_gives_the_same_chunks_over_a_socket(raw, client):
    raw.script(body(*(SHORT[place : place + 1] for place in range(len(SHORT)))))
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert (whole.id, whole.text, whole.finish_reason) == ("g", SHORT_TEXT, "stop")


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("last", ["data: [DONE]", ""], ids=["done", "no done"])
async def test_s02_lines_end_in_any_way_and_the_last_one_may_not(raw, client, line_end, last):
    first, second = (json.dumps(piece) for piece in (chunk("a"), chunk("b", finish="stop")))
    lines = f"data: {first}\n\r\ndata: {second}{line_end}{line_end}{last}"
    raw.script(body(lines.encode()))
    assert await text_of(await client.create(USER, stream=True)) == "ab"


async def test_s02_a_last_event_without_any_line_end_counts(raw, client):
    raw.script(body(events(chunk("a"), done=False), b"data: " + json.dumps(chunk("b", finish="stop")).encode()))  # fmt: skip
    assert await text_of(await client.create(USER, stream=True)) == "ab"


async def test_s03_comments_names_ids_and_unknown_fields_are_no_data(raw, client):
    two = json.dumps(chunk("b", finish="stop"), indent=1)  # many lines
    lines = (
        ": a comment\n:\nevent: message\nid: 7\nretry: 10\nunknown: x\nnothing\n"
        f"data:{json.dumps(chunk('a'))}\n\n"
        "event: ping\n\nid: 8\n\n\n"
        + "".join(f"data: {line}\n" for line in two.splitlines())
        + "\ndata: [DONE]\n\n"
    )
    raw.script(body(lines.encode()))
    chunks = [piece async for piece in await client.create(USER, stream=True)]
    assert [piece.choices[0].delta.content for piece in chunks] == ["a", "b"]


async def test_s04_separators_of_unicode_and_nul_are_text(raw, client):
    text = "a\u2028b\u2029c\u0085d\x00e\x1ff\x0b\x0c"
    bare = json.dumps(chunk(text), ensure_ascii=False).encode()
    raw.script(body(b"id: a\0b\n: \0\ndata: " + bare + b"\n\n", events(chunk(finish="stop"))))
    assert await text_of(await client.create(USER, stream=True)) == text


async def test_s04_a_bare_nul_inside_json_is_a_protocol_error(raw, client):
    raw.script(body(events(chunk("ab"), done=False) + b'data: {"id":"\0"}\n\n', events()))
    with pytest.raises(StreamProtocolError) as caught:
        await text_of(await client.create(USER, stream=True))
    assert caught.value.partial.text == "ab"


async def test_s11_a_seen_finish_is_enough_and_nothing_counts_after_done(raw, client):
    raw.script(
        stream(chunk("ab", finish="stop"), USAGE_CHUNK, done=False),
        body(events(chunk("ab", finish="stop")) + events(chunk("c"), "data: {oops")),
        body(events(chunk("ab"))),
    )
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert (whole.text, whole.usage.cost) == ("ab", 0.001)
    assert await text_of(await client.create(USER, stream=True)) == "ab"
    # The end that was announced counts, even though no reason was named.
    assert await text_of(await client.create(USER, stream=True)) == "ab"


async def test_s12_usage_and_debug_chunks_without_choices_are_kept(raw, client):
    raw.script(
        stream(
            {"id": "gen-1", "choices": [], "debug": {"echo_upstream_body": {"model": "x"}}},
            chunk("ab", finish="stop"),
            {"id": "gen-1", "choices": [], "openrouter_metadata": {"strategy": "direct"}},
            USAGE_CHUNK,
        )
    )
    reply = await client.create(USER, stream=True)
    assert [len(piece.choices) async for piece in reply] == [1, 1, 1, 1]
    whole = reply.completion.to_dict()
    assert whole["usage"]["cost"] == 0.001
    assert whole["debug"] == {"echo_upstream_body": {"model": "x"}}
    assert whole["openrouter_metadata"] == {"strategy": "direct"}
    assert len(whole["choices"]) == 1


PIECES = {
    "interleaved, id only in the first": (
        [
            call("", index=0, id="a", name="f"),
            call("", index=1, id="b", name="g"),
            call('{"x":', index=0),
            call('{"y":', index=1),
            call("1}", index=0),
            call("2}", index=1),
        ],
        [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
    ),
    "no index": (
        [call('{"x":', id="a", name="f"), call("1}"), call("{}", id="b", name="g"), call("")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "index null": (
        [call('{"x":', index=None, id="a", name="f"), call("1}", index=None)],
        [("a", "f", '{"x":1}')],
    ),
    "wrong index, known id": (
        [
            call("{", index=0, id="a", name="f"),
            call("{", index=0, id="b", name="g"),
            call("}", index=7, id="a"),
            call("}", index=0, id="b"),
        ],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "a new id on a used index": (
        [call("{}", index=0, id="a", name="f"), call("{}", index=0, id="b", name="f")],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "the id comes late": (
        [call("{", index=0, name="f"), call("}", index=0, id="a")],
        [("a", "f", "{}")],
    ),
    "id empty in later pieces": (
        [call("{", index=0, id="a", name="f"), call("}", index=0, id="", name="")],
        [("a", "f", "{}")],
    ),
    "name and id repeated": (
        [call("{", index=0, id="a", name="f"), call("}", index=0, id="a", name="f")],
        [("a", "f", "{}")],
    ),
    "blanks after whole arguments": (
        [call("{}", index=0, id="a", name="f"), call("  ", index=0), call("\n", index=0)],
        [("a", "f", "{}  \n")],
    ),
    "arguments null": ([call(None, index=0, id="a", name="f")], [("a", "f", "")]),
    "arguments empty": ([call("", index=0, id="a", name="f")], [("a", "f", "")]),
    "arguments the word null": ([call("null", index=0, id="a", name="f")], [("a", "f", "null")]),
    "arguments no JSON": ([call('{"x": ', index=0, id="a", name="f")], [("a", "f", '{"x": ')]),
    "no function": (
        [{"index": 0, "id": "a", "type": "function"}, call("{}", index=0, name="f")],
        [("a", "f", "{}")],
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), PIECES.values(), ids=PIECES.keys())
async def test_s13_pieces_of_tool_calls_are_assembled(raw, client, deltas, expected):
    raw.script(called(*deltas))
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert calls_of(whole) == expected
    assert whole.finish_reason == "tool_calls"


@pytest.mark.parametrize("ids", [("", ""), (None, None), ("same", "same")])
async def test_s13_calls_without_an_id_or_with_one_in_common_can_be_told_apart(raw, client, ids):
    raw.script(called(*(call('{"n":1}', index=place, id=own, name="f") for place, own in enumerate(ids))))  # fmt: skip
    reply = await client.create(USER, stream=True)
    whole = await reply.get_final_completion()
    (first, *_), (second, *_) = calls_of(whole)
    assert first
    assert second
    assert first != second
    assert calls_of(reply.completion) == calls_of(whole)  # the same ids at the second look


async def test_s13_what_providers_add_to_a_call_is_kept(raw, client):
    extra = {"extra_content": {"google": {"thought_signature": "sig"}}}
    raw.script(called(call("{", index=0, id="a", name="f", **extra), call("}", index=0)))
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert calls_of(whole) == [("a", "f", "{}")]
    assert (
        whole.to_dict()["choices"][0]["message"]["tool_calls"][0]["extra_content"]
        == (extra["extra_content"])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_s14_one_huge_event_is_refused_before_it_fills_the_memory(raw, kind):
    huge = [send(b"%x\r\n" % (64 * MIB)), send(b"data: "), repeat(b"x" * MIB, 64)]
    raw.script(
        *[stream(chunk("a", finish="stop"))] * 3,
        [sse_head(), part(events(chunk("a"), done=False)), *huge],
    )
    told = measured(kind, raw.base_url, stream=True)
    assert told.outcome.startswith("StreamProtocolError: An event is larger than")
    # One mebibyte of the event is held, twice while its buffer grows, beside the read buffers.
    assert told.growth < 8 * MIB


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("line", "is_stream", "error"),
    [
        (b"0", False, "InvalidResponseError: The answer is larger than"),
        (b"0", True, "StreamProtocolError: An event is larger than"),
        (b": x\n\n", True, "OpenRouterTimeoutError: No chunk came within"),
        (b"data: {}\n\n", True, "OpenRouterTimeoutError: The time for the call was up"),
    ],
    ids=["whole answer", "one event", "comments", "events"],
)
def test_s15_a_gzip_bomb_is_refused_before_it_fills_the_memory(raw, kind, line, is_stream, error):
    harmless = stream(chunk("a", finish="stop")) if is_stream else answer(completion("a"))
    raw.script(
        *[harmless] * 3, bomb(line, "text/event-stream" if is_stream else "application/json")
    )
    limits = {"first_token_timeout": 2.0} if is_stream else {}
    told = measured(
        kind, raw.base_url, client={"timeout": 3.0, **limits}, **({"stream": True} if is_stream else {})
    )  # fmt: skip
    assert told.outcome.startswith(error)
    # What one read of the socket grows to, beside the 32 MiB that a whole answer may have.
    assert told.growth < 128 * MIB
    assert told.seconds < 15


def bomb(line, content_type):
    """Ten gibibytes in ten mebibytes: a block that repeats, as deflate allows."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(line * (64 * MIB // len(line))) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    start = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(head) + 160 * len(block)}\r\n\r\n"
    )
    return [send(start.encode() + head), repeat(block, 160)]

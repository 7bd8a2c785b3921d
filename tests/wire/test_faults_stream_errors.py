"""S5 to S10 and S18: what ends a stream before its answer is whole, and what must not."""

import pickle

import anyio
import pytest
from support.client_kinds import KINDS, USER, opened, text_of, wait_for
from support.raw_server import (
    RawServer,
    chunk,
    drop,
    end,
    events,
    hang,
    part,
    send,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import (
    InsufficientCreditsError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    ProviderUnavailableError,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)

COMMENT = ": OPENROUTER PROCESSING"
ROLE = chunk(delta={"role": "assistant", "content": ""})
DEBUG = {"id": "gen-1", "choices": [], "debug": {"x": 1}}
UPSTREAM = {"code": 502, "message": "gone", "metadata": {"provider_name": "Acme"}}


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url) as made:
        yield made


def begun(*payloads, **head):
    """A stream whose first chunks are there and whose end is not."""
    return [sse_head(**head), part(events(*payloads, done=False))]


@pytest.mark.parametrize(
    "bad", ["{oops", "[1]", '"text"', "12", "{}}", '{"choices": [', "\\u0000", "\xff"]
)
async def test_s05_malformed_json_is_a_protocol_error_and_closes(raw, client, bad):
    raw.script([*begun(chunk("ab")), part(b"data: " + bad.encode("latin-1") + b"\n\n"), hang()])
    with pytest.raises(StreamProtocolError) as caught:
        await text_of(await client.create(USER, stream=True))
    assert caught.value.partial.text == "ab"
    seen = await wait_for(raw, lambda seen: seen.disconnects == 1)
    assert len(seen.requests) == 1


async def test_s05_the_error_does_not_quote_what_came(raw, client):
    raw.script([*begun(chunk("ab")), part(b"data: {secret words\n\n"), hang()])
    with pytest.raises(StreamProtocolError) as caught:
        await text_of(await client.create(USER, stream=True))
    assert "secret" not in repr(caught.value) + str(caught.value.__cause__)
    assert "bytes" in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [[end()], [part(b'data: {"choi'), end()], [part(b"\n" * 5 + b": x\n\n"), end()]],
    ids=["at once", "inside an event", "after a comment"],
)
async def test_s06_a_clean_end_without_finish_is_truncation_with_the_partial(raw, client, rest):
    raw.script([*begun(chunk("ab"), headers={"X-Generation-Id": "gen-7"}), *rest])
    with pytest.raises(StreamTruncatedError) as caught:
        await text_of(await client.create(USER, stream=True))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.partial.text, error.generation_id, error.attempts) == ("ab", "gen-7", 1)
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("rest", [b"", b"5\r\ndata"], ids=["between pieces", "inside a piece"])
async def test_s07_an_abrupt_end_is_an_interruption_with_the_partial(raw, client, reset, rest):
    raw.script([*begun(chunk("ab")), send(rest), wait(0.05), drop(reset=reset)])
    reply = await client.create(USER, stream=True)
    with pytest.raises(StreamInterruptedError) as caught:
        await text_of(reply)
    assert caught.value.partial.text == "ab"
    assert reply.snapshot.text == "ab"
    assert len(raw.seen().requests) == 1
    assert [piece async for piece in reply] == []


@pytest.mark.parametrize("rest", ["cd", None], ids=["tokens", "the end"])
async def test_s07_what_arrived_before_the_break_is_not_lost(raw, client, rest):
    last = events(chunk("cd"), done=False) if rest else events(chunk("cd", finish="stop"))
    raw.script([*begun(chunk("ab")), wait(0.05), part(last), drop()])
    reply = await client.create(USER, stream=True)
    await anyio.sleep(0.3)  # the reader is slow, the break is there before it looks
    if rest is None:
        assert await text_of(reply) == "abcd"
    else:
        with pytest.raises(StreamInterruptedError) as caught:
            await text_of(reply)
        assert caught.value.partial.text == "abcd"


@pytest.mark.parametrize(
    "before", [(), (COMMENT,), (DEBUG,), (ROLE,), (DEBUG, ROLE, COMMENT, ROLE)],
    ids=["nothing", "comment", "debug", "role", "all"],
)  # fmt: skip
@pytest.mark.parametrize(
    "fault",
    [
        events({"error": UPSTREAM, "choices": []}, done=False),
        events(chunk("", finish="error", error=UPSTREAM), done=False),
        events({"choices": [{"delta": {}, "error": UPSTREAM}]}, done=False),
        b"data: {oops\n\n",
        b"",
    ],
    ids=["top", "beside choices", "in a choice", "garbage", "end"],
)
async def test_s08_what_fails_before_the_first_token_is_tried_again(raw, client, before, fault):
    raw.script(
        [sse_head(), part(events(*before, done=False) + fault or b"\n"), end()],
        stream(ROLE, chunk("ok", finish="stop")),
    )
    reply = await client.create(USER, stream=True)
    assert reply.attempts == 2
    chunks = [piece async for piece in reply]
    assert [piece.choices[0].delta.content for piece in chunks] == ["", "ok"]
    assert reply.completion.text == "ok"


async def test_s08_a_final_error_before_the_first_token_is_raised_at_once(raw, client):
    raw.script(stream(ROLE, {"error": {"code": 402, "message": "no credits"}}))
    with pytest.raises(InsufficientCreditsError):
        await client.create(USER, stream=True)
    raw.script(stream(ROLE, {"error": UPSTREAM}))
    with pytest.raises(ProviderUnavailableError) as caught:
        await client.create(USER, stream=True)
    assert (caught.value.attempts, caught.value.provider) == (4, "Acme")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"error": UPSTREAM, "choices": []}, 502),
        (chunk("", finish="error", error=UPSTREAM), 502),
        (chunk("", finish="error", error={**UPSTREAM, "code": "server_error"}), "server_error"),
        ({"provider": "Acme", "choices": [{"delta": {}, "error": {"message": "gone"}}]}, None),
    ],
    ids=["no choices", "beside choices", "a word as code", "in a choice"],
)
async def test_s08_an_error_after_the_first_token_keeps_what_came(raw, client, bad, code):
    raw.script([*begun(ROLE, chunk("ab"), bad), hang()])
    with pytest.raises(ProviderStreamError, match="gone") as caught:
        await text_of(await client.create(USER, stream=True))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.code, error.provider, error.partial.text) == (code, "Acme", "ab")
    assert len((await wait_for(raw, lambda seen: seen.disconnects == 1)).requests) == 1


@pytest.mark.parametrize(
    "first", [{"reasoning": "hm"}, {"tool_calls": [{"id": "a"}]}, {"images": [{}]}]
)
async def test_s08_thoughts_and_calls_are_tokens_too(raw, client, first):
    raw.script(stream(chunk(delta=first), {"error": UPSTREAM}), stream(chunk("ok", finish="stop")))
    reply = await client.create(USER, stream=True)
    with pytest.raises(ProviderStreamError):
        await text_of(reply)
    assert len(raw.seen().requests) == 1


async def test_s09_finish_reason_error_is_the_providers_error(raw, client):
    raw.script(stream(chunk("ab"), chunk(finish="error")))
    with pytest.raises(ProviderStreamError) as caught:
        await text_of(await client.create(USER, stream=True))
    assert (caught.value.partial.text, caught.value.partial.finish_reason) == ("ab", "error")
    assert (caught.value.code, caught.value.provider) == (502, "OpenAI")


async def test_s09_an_empty_finish_reason_is_none(raw, client):
    raw.script(
        stream(chunk("a", finish=""), chunk("b", finish="stop"), chunk(finish="")),
        stream(chunk("ab", finish=""), done=False),
    )
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert (whole.text, whole.finish_reason) == ("ab", "stop")
    with pytest.raises(StreamTruncatedError):
        await text_of(await client.create(USER, stream=True))


async def test_s09_an_unknown_finish_reason_is_passed_on(raw, client):
    extra = {"index": 0, "delta": {}, "finish_reason": "eos_token", "native_finish_reason": "EOS"}
    raw.script(stream(chunk("ab"), {"choices": [extra]}, done=False))
    whole = await (await client.create(USER, stream=True)).get_final_completion()
    assert (whole.finish_reason, whole.choices[0].native_finish_reason) == ("eos_token", "EOS")


# For longer than the test may take, so that comments that counted would end with the deadline.
COMMENTS = [part(f"{COMMENT}\n\n".encode()), wait(0.05)] * 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["client", "call"])
async def test_s10_endless_comments_are_no_first_token(raw, kind, limit):
    raw.script([sse_head(), *COMMENTS, hang()])
    told = {"first_token_timeout": 0.3}
    options, params = (told, {}) if limit == "client" else ({}, told)
    async with opened(kind, raw.base_url, **options) as client:
        with pytest.raises(OpenRouterTimeoutError, match=r"^No chunk came within 0\.3") as caught:
            await client.create(USER, stream=True, timeout=5, **params)
    assert isinstance(caught.value, TimeoutError)
    seen = await wait_for(raw, lambda seen: seen.disconnects == 1)
    assert len(seen.requests) == 1  # it may have been billed


async def test_s10_comments_between_tokens_are_no_further_token(raw, client):
    token = part(events(chunk("b"), done=False))
    raw.script([*begun(chunk("a")), wait(0.2), token, *COMMENTS, hang()])
    reply = await client.create(USER, stream=True, idle_timeout=1.0, timeout=5)
    with pytest.raises(OpenRouterTimeoutError, match=r"^No further chunk came within 1\.0 s\."):
        await text_of(reply)
    assert reply.completion.text == "ab"
    assert len((await wait_for(raw, lambda seen: seen.disconnects == 1)).requests) == 1


async def test_s18_a_slow_stream_is_no_silent_one(raw, client):
    tokens = [step for _ in range(15) for step in (wait(0.2), part(events(chunk("a"), done=False)))]
    raw.script([*begun(chunk("a")), *tokens, part(events(chunk(finish="stop"))), end()])
    reply = await client.create(
        USER, stream=True, idle_timeout=1.0, first_token_timeout=1.0, attempt_timeout=2.0
    )
    assert await text_of(reply) == "a" * 16


async def test_s18_a_slow_first_token_has_its_own_limit(raw, client):
    raw.script(
        [sse_head(), wait(0.6), part(events(chunk("a"), done=False)), wait(0.1),
         part(events(chunk("b", finish="stop"))), end()]
    )  # fmt: skip
    reply = await client.create(USER, stream=True, idle_timeout=0.5, first_token_timeout=3.0)
    assert await text_of(reply) == "ab"

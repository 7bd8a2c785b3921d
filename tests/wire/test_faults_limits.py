"""Sizes, codings, and what no error and no log may hold."""

import gzip
import json
import logging
import pickle
import traceback
import zlib

import pytest
from support.fault_clients import KEY, KINDS, PROMPT, asking
from support.raw_server import (
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    hang,
    part,
    send,
    sse_head,
    stream,
)

from mbxai.errors import (
    BadRequestError,
    InvalidResponseError,
    MBXAIError,
    OpenRouterConfigurationError,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [None, "httpx"], ids=str)
all_families = pytest.mark.parametrize("family", [None, "httpx", "httpx2"], ids=str)
PLAIN = json.dumps(completion("packed")).encode()


def packed(body: bytes, *codings: str):
    return answer(body, headers={"Content-Encoding": ", ".join(codings)})


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@families
@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP", "identity"])
async def test_a_body_in_one_coding_is_read(kind, family, coding, raw):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding.lower(), bytes)
    raw.script(packed(pack(PLAIN), coding))
    async with asking(kind, raw.base_url, family=family) as asker:
        assert (await asker.ask()).choices[0].message.content == "packed"


@families
async def test_a_compressed_stream_is_read(kind, family, raw):
    body = b"".join(
        f"data: {json.dumps(piece)}\n\n".encode()
        for piece in (chunk("pac"), chunk("ked"), chunk(finish="stop"))
    )
    raw.script(
        [
            sse_head(headers={"Content-Encoding": "gzip"}),
            part(gzip.compress(body)),
            send(b"0\r\n\r\n"),
        ]
    )
    async with asking(kind, raw.base_url, family=family) as asker:
        assert (await asker.ask(stream=True)).choices[0].message.content == "packed"


@families
@pytest.mark.parametrize("lines", [1, 2])
async def test_a_body_in_two_codings_is_refused_and_asked_for_once_more_at_most(
    kind, family, lines, raw
):
    body = gzip.compress(gzip.compress(PLAIN))
    coding = "Content-Encoding: gzip, gzip" if lines == 1 else "Content-Encoding: gzip\r\n" * 2
    head = f"HTTP/1.1 200 OK\r\n{coding.strip()}\r\nContent-Length: {len(body)}\r\n\r\n"
    raw.script([send(head.encode() + body)])
    async with asking(kind, raw.base_url, family=family, max_retries=5) as asker:
        with pytest.raises(InvalidResponseError, match="coding"):
            await asker.ask()
    assert len(raw.seen().requests) == 2


@all_families
async def test_a_damaged_body_is_refused_and_asked_for_once_more_at_most(kind, family, raw):
    raw.script(packed(b"not gzip at all", "gzip"))
    async with asking(kind, raw.base_url, family=family, max_retries=5) as asker:
        with pytest.raises(InvalidResponseError):
            await asker.ask()
    assert len(raw.seen().requests) == 2


@families
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
async def test_an_answer_larger_than_allowed_is_refused_and_not_asked_for_again(
    kind, family, is_packed, raw
):
    body = json.dumps(completion("x" * 50_000)).encode()
    raw.script(packed(gzip.compress(body), "gzip") if is_packed else answer(body))
    async with asking(kind, raw.base_url, family=family, max_response_bytes=20_000) as asker:
        with pytest.raises(InvalidResponseError, match="larger than 20000 bytes") as caught:
            await asker.ask()
    assert caught.value.attempts == 1
    assert len(raw.seen().requests) == 1


async def test_an_answer_without_an_end_is_read_no_further_than_allowed(kind, raw):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw.script([send(head), *(part(b" " * 10_000) for _ in range(20)), hang()])
    async with asking(kind, raw.base_url, max_response_bytes=20_000) as asker:
        with pytest.raises(InvalidResponseError, match="larger than"):
            await asker.ask(timeout=8.0)
    assert len(raw.seen().requests) == 1


async def test_a_request_larger_than_allowed_is_never_sent(kind, raw):
    raw.script(answer(completion()))
    async with asking(kind, raw.base_url, max_request_bytes=1_000) as asker:
        with pytest.raises(
            OpenRouterConfigurationError, match=r"mostly of messages.*max_request_bytes"
        ):
            await asker.ask("x" * 2_000)
        with pytest.raises(OpenRouterConfigurationError, match="mostly of blob"):
            await asker.run("request", "POST", "workspaces", body={"blob": "x" * 2_000})
    assert raw.seen().connections == 0


ECHO = f"you sent {KEY}: Authorization: Bearer {KEY}; {{'key': '{KEY}'}}"
EVIL = {
    "error text": answer({"error": {"code": 401, "message": ECHO, "metadata": {"raw": ECHO}}}, status=401),
    "error fields": answer({"error": {"code": ECHO, "message": "no", KEY: KEY, "deep": [{"x": ECHO}]}}, status=400),
    "error html": answer(ECHO, status=502, content_type="text/html"),
    "error in 200": answer({"error": {"code": 402, "message": ECHO}}),
    "no completion": answer(ECHO, content_type=KEY),
    "status line": [send(f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode()), drop()],
    "no http": [send(f"{KEY}\r\n\r\n".encode()), drop()],
    "header name": [send(f"HTTP/1.1 200 OK\r\n{KEY} x\r\n\r\n".encode()), drop()],
    "chunk size": [send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()), drop()],
    "coding": packed(b"x", KEY),
    "redirect": answer(b"", status=307, headers={"Location": f"https://{KEY}.example/{KEY}"}),
    "dropped": [drop()],
    "cut": [send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), drop()],
    "event": stream(f"data: {ECHO}", done=False),
    "event error": stream({"error": {"code": 502, "message": ECHO}}),
    "late event error": stream(chunk("a"), {"error": {"code": 502, "message": ECHO}}),
}  # fmt: skip


@all_families
@pytest.mark.parametrize("name", EVIL)
async def test_the_key_is_in_no_error_no_repr_and_no_log(kind, family, name, raw, caplog):
    caplog.set_level(logging.DEBUG)
    raw.script(EVIL[name])
    async with asking(kind, raw.base_url, family=family, max_retries=1) as asker:
        assert KEY not in repr(asker.client)
        assert KEY not in repr(asker.client.config)
        with pytest.raises(MBXAIError) as caught:
            await asker.ask(stream="event" in name)
    error = caught.value
    copy = pickle.loads(pickle.dumps(error))
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("mbxai")
    )
    assert "Attempt 1" in logged
    shown = "".join(traceback.format_exception(error))
    for text in (shown, f"{error} {error!r} {error.__dict__}", f"{copy!r} {copy.__dict__}", logged):
        assert KEY not in text
        assert PROMPT not in text


@families
@pytest.mark.parametrize(
    "fields",
    [
        '{"code": "%s", "message": "m"}' % ("7" * 5000),
        '{"code": %s, "message": "m"}' % ("7" * 4000),
        '{"code": 1e400, "message": %s}' % ("7" * 4000),
        '{"code": NaN, "message": "m", "metadata": {"raw": %s}}' % ("[" * 400 + "]" * 400),
        '{"code": 400, "message": "%s"}' % ("m" * 100_000),
        '{"code": true, "message": ["m"], "metadata": "x", "availability": [1]}',
        '{"code": 400, "message": "\\ud800"}',
    ],
    ids=["long digits", "long number", "endless", "deep", "long text", "other types", "surrogate"],
)
async def test_an_error_of_impossible_values_is_an_error_all_the_same(kind, family, fields, raw):
    raw.script(answer(f'{{"error": {fields}}}', status=400))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(BadRequestError) as caught:
            await asker.ask()
    shown = f"{caught.value!r} {caught.value.__dict__}"
    assert len(shown) < 10_000
    assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)


@families
@pytest.mark.parametrize(
    "reply",
    [[drop()], answer(b"", status=401), answer(b"{"), answer(b"", status=307)],
    ids=["dropped", "401", "cut", "circle"],
)
async def test_the_key_is_in_no_variable_of_a_frame_that_an_error_reporter_shows(
    kind, family, reply, raw
):
    raw.script(reply)
    async with asking(kind, raw.base_url, family=family, max_retries=1) as asker:
        with pytest.raises(MBXAIError) as caught:
            await asker.ask()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    variables = []
    while shown is not None:
        variables.extend(
            f"{frame.filename}:{frame.lineno} {name} = {value}"
            for frame in shown.stack
            for name, value in (frame.locals or {}).items()
        )
        shown = shown.__cause__
    assert variables
    assert [line for line in variables if KEY in line] == []

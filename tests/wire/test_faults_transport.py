"""Faults T1 to T3, T5 to T9 and T12: what goes wrong on one connection."""

import asyncio
import contextlib
import socket
import time

import pytest
from support.fault_clients import KINDS, asking
from support.raw_server import (
    RawServer,
    answer,
    chunk,
    completion,
    drop,
    events,
    hang,
    part,
    send,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import (
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    StreamInterruptedError,
)
from mbxai.openrouter import _engine as engine
from mbxai.openrouter import _transport as transport

pytestmark = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [None, "httpx"], ids=str)
all_families = pytest.mark.parametrize("family", [None, "httpx", "httpx2"], ids=str)
modes = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

OK = answer(completion("fine"))
OK_STREAM = stream(chunk("fine"), chunk(finish="stop"))


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def quick_connect(monkeypatch):
    parts = {**transport._TIMEOUT_PARTS, "connect": 0.2}
    monkeypatch.setattr(transport, "_TIMEOUT_PARTS", parts)


@pytest.fixture
def black_hole():
    """The address of a socket whose queue is full, so that nobody gets a connection."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@all_families
@modes
async def test_t01_a_refused_connection_is_tried_again_and_every_attempt_is_listed(
    kind, family, is_stream
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        async with asking(kind, address, family=family) as asker:
            with pytest.raises(
                OpenRouterConnectionError, match="No connection to the server"
            ) as caught:
                await asker.ask(stream=is_stream)
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == 3
    history = caught.value.history
    assert [attempt.number for attempt in history] == [1, 2, 3]
    assert {attempt.outcome for attempt in history} == {"OpenRouterConnectionError"}
    assert {attempt.status for attempt in history} == {None}
    assert history[-1].wait == 0.0


@pytest.mark.parametrize("family", [None, "httpx"], ids=str)
async def test_t02_a_name_that_nobody_knows_is_tried_again(kind, family):
    async with asking(kind, "https://no.such.host.invalid/", family=family) as asker:
        with pytest.raises(
            OpenRouterConnectionError, match="No connection to the server"
        ) as caught:
            await asker.ask(timeout=8.0)
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == 3


async def test_t02_a_name_server_that_is_silent_takes_no_longer_than_a_connection_may(
    kind, monkeypatch
):
    asked = []

    def silent(host, *_args, **_kwargs):
        asked.append(host)
        time.sleep(1.0)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(engine, "RESOLVE_SECONDS", 0.1)
    async with asking(kind, "https://silent.invalid/", max_retries=0) as asker:
        with pytest.raises(OpenRouterTimeoutError, match="did not answer in time"):
            await asker.ask(timeout=8.0)
    assert asked


async def test_t03_a_black_hole_ends_each_attempt_after_the_time_for_connecting(
    kind, black_hole, quick_connect
):
    async with asking(kind, black_hole, max_retries=1) as asker:
        with pytest.raises(OpenRouterTimeoutError, match="Check base_url") as caught:
            await asker.ask(timeout=8.0)
    assert caught.value.attempts == 2
    assert {attempt.outcome for attempt in caught.value.history} == {"OpenRouterTimeoutError"}


def test_t03_a_connection_may_take_five_seconds(kind):
    assert transport._TIMEOUT_PARTS["connect"] == 5.0


@families
async def test_t03_the_time_of_the_call_bounds_the_wait_for_a_black_hole(kind, family, black_hole):
    async with asking(kind, black_hole, family=family) as asker:
        with pytest.raises(OpenRouterTimeoutError, match=r"within 0\.2 s") as caught:
            await asker.ask(timeout=0.2)
    assert caught.value.attempts == 1


@families
@modes
async def test_t05_a_server_that_never_answers_is_asked_once(kind, family, is_stream, raw):
    raw.script([hang()])
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(OpenRouterTimeoutError, match="attempt_timeout") as caught:
            await asker.ask(stream=is_stream, attempt_timeout=0.15)
        await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)
    assert caught.value.attempts == 1
    assert [attempt.outcome for attempt in caught.value.history] == ["OpenRouterTimeoutError"]
    assert len(raw.seen().requests) == 1


@modes
async def test_t05_a_timeout_is_tried_again_where_the_caller_allows_it(kind, is_stream, raw):
    raw.script([hang()], OK_STREAM if is_stream else OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask(stream=is_stream, attempt_timeout=0.3, retry_on_timeout=True)
    assert result.choices[0].message.content == "fine"
    assert result.attempts == 2


@modes
async def test_t06_a_dropped_idle_connection_is_replaced_without_a_wait(kind, is_stream, raw):
    good = OK_STREAM if is_stream else OK
    raw.script(good, [drop()], good)
    async with asking(kind, raw.base_url, retry_initial_delay=30.0, max_retries=0) as asker:
        await asker.ask(stream=is_stream)
        result = await asker.ask(stream=is_stream, timeout=5.0)
    assert result.attempts == 1
    assert [request["connection"] for request in raw.seen().requests] == [1, 1, 2]


async def test_t06_the_replacement_is_a_new_connection_though_more_idle_ones_are_there(kind, raw):
    together = [wait(0.3), *OK]
    raw.script(together, together, together, [drop()], OK)
    async with asking(kind, raw.base_url, max_retries=0) as asker:
        await asyncio.gather(*(asker.ask() for _ in range(3)))
        assert (await asker.ask()).attempts == 1
    connections = [request["connection"] for request in raw.seen().requests]
    assert sorted(connections[:3]) == [1, 2, 3]
    assert connections[3] in {1, 2, 3}
    assert connections[4] == 4


async def test_t06_an_idle_connection_that_the_server_closed_meanwhile_is_not_used(kind, raw):
    raw.script([*OK, drop()], OK)
    async with asking(kind, raw.base_url, max_retries=0) as asker:
        await asker.ask()
        await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)
        await asyncio.sleep(0.05)
        assert (await asker.ask()).attempts == 1
    assert len(raw.seen().requests) == 2


@all_families
async def test_t06_a_drop_is_recovered_from_with_any_http_client(kind, family, raw):
    raw.script(OK, [drop()], OK)
    async with asking(kind, raw.base_url, family=family) as asker:
        await asker.ask()
        assert (await asker.ask()).choices[0].message.content == "fine"
    assert len(raw.seen().requests) == 3


@all_families
@modes
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_t07_a_drop_on_a_new_connection_is_an_attempt_with_a_wait(
    kind, family, is_stream, is_reset, raw
):
    raw.script([drop(reset=is_reset)], OK_STREAM if is_stream else OK)
    async with asking(kind, raw.base_url, family=family) as asker:
        result = await asker.ask(stream=is_stream)
    assert result.attempts == 2
    first, second = result.history
    assert (first.outcome, first.status) == ("OpenRouterConnectionError", None)
    assert 0.0 < first.wait <= 0.01
    assert (second.outcome, second.status, second.wait) == ("ok", 200, 0.0)


@families
@modes
@pytest.mark.parametrize("place", ["head", "body"])
async def test_t08_t09_one_byte_at_a_time_does_not_outlast_the_call(
    kind, family, is_stream, place, raw
):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n"
    drops = [step for _ in range(200) for step in (send(b"x"), wait(0.03))]
    raw.script([send(head + (b"X-Slow: " if place == "head" else b"\r\n: ")), *drops])
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(OpenRouterTimeoutError) as caught:
            await asker.ask(stream=is_stream, timeout=0.3)
        await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)
    assert caught.value.attempts == 1
    assert [attempt.outcome for attempt in caught.value.history] == ["OpenRouterTimeoutError"]
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("family", [None, "httpx"], ids=str)
async def test_t09_the_slow_body_of_an_error_does_not_outlast_the_call(kind, family, raw):
    drops = [step for _ in range(200) for step in (send(b"x"), wait(0.03))]
    raw.script([send(b"HTTP/1.1 400 No\r\nContent-Length: 9999\r\n\r\n"), *drops])
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(OpenRouterTimeoutError):
            await asker.ask(timeout=0.3)
        await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)
    assert len(raw.seen().requests) == 1


@all_families
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_t12_an_answer_that_breaks_off_is_not_asked_for_twice(kind, family, is_reset, raw):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    raw.script([send(head + b'{"id": "gen-1", "cho'), wait(0.05), drop(reset=is_reset)])
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(OpenRouterConnectionError, match="broke in the middle") as caught:
            await asker.ask()
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == 1
    assert len(raw.seen().requests) == 1


@all_families
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_t12_a_stream_that_breaks_off_hands_over_what_came(kind, family, is_reset, raw):
    pieces = events(chunk("half an "), chunk("answer"), done=False)
    raw.script([sse_head(), part(pieces), wait(0.05), drop(reset=is_reset)])
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(StreamInterruptedError) as caught:
            await asker.ask(stream=True)
    assert caught.value.partial.choices[0].message.content == "half an answer"
    assert len(raw.seen().requests) == 1

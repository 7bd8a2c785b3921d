"""What a caller learns of each attempt: history on results and errors, and the observer."""

import asyncio
import logging
import threading

import anyio
import pytest
from support.fault_clients import KEY, KINDS, PROMPT, USER, asking
from support.raw_server import RawServer, answer, chunk, completion, drop, hang, stream

from mbxai.errors import (
    AuthenticationError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    ProviderUnavailableError,
)
from mbxai.openrouter import AsyncOpenRouterClient

kinds = pytest.mark.parametrize("kind", KINDS)
modes = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
OK = answer(completion("fine"), headers={"X-Request-Id": "req-3"})
OK_STREAM = stream(chunk("fine"), chunk(finish="stop"), headers={"X-Request-Id": "req-3"})
BUSY = answer(b"", status=503, headers={"X-Request-Id": "req-1"})


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


def good(is_stream: bool):
    return OK_STREAM if is_stream else OK


@kinds
@modes
async def test_a_result_lists_each_attempt_with_status_outcome_and_wait(kind, is_stream, raw):
    raw.script([drop()], BUSY, good(is_stream))
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask(stream=is_stream)
    assert [
        (attempt.number, attempt.status, attempt.outcome, attempt.request_id)
        for attempt in result.history
    ] == [
        (1, None, "OpenRouterConnectionError", None),
        (2, 503, "ProviderUnavailableError", "req-1"),
        (3, 200, "ok", "req-3"),
    ]
    assert result.attempts == 3
    assert {(attempt.method, attempt.path) for attempt in result.history} == {
        ("POST", "chat/completions")
    }
    assert all(attempt.wait > 0 for attempt in result.history[:2])
    assert result.history[2].wait == 0.0
    assert all(attempt.duration > 0 for attempt in result.history)
    starts = [attempt.started_at for attempt in result.history]
    assert starts == sorted(starts)


@kinds
@modes
async def test_an_error_lists_each_attempt_too(kind, is_stream, raw):
    raw.script(BUSY, answer({"error": {"code": 502, "message": "no"}}), answer(b"", status=401))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(AuthenticationError) as caught:
            await asker.ask(stream=is_stream)
    assert [(attempt.status, attempt.outcome) for attempt in caught.value.history] == [
        (503, "ProviderUnavailableError"),
        (502, "ProviderUnavailableError"),
        (401, "AuthenticationError"),
    ]
    assert caught.value.attempts == 3
    assert caught.value.history[-1].wait == 0.0


@kinds
async def test_each_call_has_a_history_of_its_own(kind, raw):
    raw.script(*([BUSY, OK] * 10), OK)
    async with asking(kind, raw.base_url, max_retries=9) as asker:
        results = await asyncio.gather(*(asker.ask() for _ in range(10)))
    assert sum(result.attempts for result in results) == len(raw.seen().requests) == 20
    for result in results:
        assert [attempt.number for attempt in result.history] == [*range(1, result.attempts + 1)]


class Observer:
    """Notes attempts, as a function or as a coroutine function."""

    def __init__(self) -> None:
        self.seen = []
        self.threads = set()

    def note(self, attempt) -> None:
        self.seen.append(attempt)
        self.threads.add(threading.current_thread())

    async def note_later(self, attempt) -> None:
        await anyio.sleep(0)
        self.note(attempt)


@kinds
@modes
@pytest.mark.parametrize("method", ["note", "note_later"])
async def test_the_observer_is_told_of_every_attempt_as_the_history_has_it(
    kind, is_stream, method, raw
):
    observer = Observer()
    async with asking(kind, raw.base_url, on_attempt=getattr(observer, method)) as asker:
        raw.script([drop()], BUSY, good(is_stream))
        result = await asker.ask(stream=is_stream)
        assert [(seen.number, seen.status, seen.outcome) for seen in observer.seen] == [
            (attempt.number, attempt.status, attempt.outcome) for attempt in result.history
        ]
        assert {seen.wait for seen in observer.seen} == {0.0}  # the wait is still to come
        observer.seen.clear()
        raw.script(BUSY)
        with pytest.raises(ProviderUnavailableError):
            await asker.ask(stream=is_stream)
        assert [seen.outcome for seen in observer.seen] == ["ProviderUnavailableError"] * 3


@kinds
async def test_the_observer_is_told_of_operations_that_are_no_chat(kind, raw):
    observer = Observer()
    raw.script(BUSY, answer({"data": []}))
    async with asking(kind, raw.base_url, on_attempt=observer.note) as asker:
        await asker.run("request", "GET", "workspaces")
    assert [(seen.method, seen.path, seen.status) for seen in observer.seen] == [
        ("GET", "workspaces", 503),
        ("GET", "workspaces", 200),
    ]


@kinds
@pytest.mark.parametrize(
    "limit", [{"timeout": 0.2}, {"attempt_timeout": 0.2}], ids=["call", "attempt"]
)
async def test_the_observer_is_told_of_the_attempt_that_ran_out_of_time(kind, limit, raw):
    observer = Observer()
    raw.script([hang()])
    async with asking(kind, raw.base_url, on_attempt=observer.note) as asker:
        with pytest.raises(OpenRouterTimeoutError) as caught:
            await asker.ask(**limit)
    assert [seen.outcome for seen in observer.seen] == ["OpenRouterTimeoutError"]
    assert caught.value.history == tuple(observer.seen)
    assert caught.value.attempts == 1


async def test_the_observer_is_not_told_of_a_call_that_the_program_cancelled(raw):
    observer = Observer()
    raw.script([hang()])
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, on_attempt=observer.note) as client:
        task = asyncio.create_task(client.create(USER))
        await asyncio.to_thread(raw.wait_for, lambda seen: len(seen.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert observer.seen == []


def _raise(attempt) -> None:
    raise ZeroDivisionError(f"the observer fails at {attempt.number}")


async def _raise_later(attempt) -> None:
    await anyio.sleep(0)
    _raise(attempt)


@kinds
@modes
@pytest.mark.parametrize("observer", [_raise, _raise_later])
async def test_an_observer_that_fails_is_logged_and_changes_nothing(
    kind, is_stream, observer, raw, caplog
):
    async with asking(kind, raw.base_url, on_attempt=observer) as asker:
        raw.script(BUSY, good(is_stream))
        result = await asker.ask(stream=is_stream)
        assert result.choices[0].message.content == "fine"
        assert result.attempts == 2
        raw.script(answer(b"", status=401))
        with pytest.raises(AuthenticationError) as caught:
            await asker.ask(stream=is_stream)
    assert caught.value.attempts == 1
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 3
    assert {record.name.partition(".")[0] for record in logged} == {"mbxai"}
    assert "the observer fails at 2" in caplog.text
    assert KEY not in caplog.text
    assert PROMPT not in caplog.text


@kinds
async def test_a_derived_client_may_observe_alone(kind, raw):
    observer = Observer()
    raw.script(OK)
    async with asking(kind, raw.base_url) as asker:
        derived = type(asker)(asker.client.with_options(on_attempt=observer.note))
        await asker.ask()
        assert observer.seen == []
        await derived.ask()
    assert len(observer.seen) == 1


@kinds
async def test_a_derived_client_shares_the_pool_and_closing_it_closes_nothing(kind, raw):
    raw.script(OK)
    async with asking(kind, raw.base_url) as asker:
        await asker.ask()
        derived = type(asker)(asker.client.with_options(model="c/d", timeout=9.0))
        await derived.ask()
        await derived.run("aclose" if asker.is_async else "close")
        await derived.ask()
        await asker.ask()
        seen = raw.seen()
        assert seen.connections == 1
        assert ['"model":"c/d"' in request["body"] for request in seen.requests] == [
            *(False, True, True, False)
        ]
        await asker.run("aclose" if asker.is_async else "close")
        with pytest.raises((OpenRouterConnectionError, ValueError), match="closed"):
            await derived.ask()
    await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)

"""Faults R1 to R5 and R7 to R9: what a status means, and how long to wait after it."""

import datetime as dt
from email.utils import format_datetime

import pytest
from support.fault_clients import KINDS, asking
from support.raw_server import RawServer, answer, chunk, completion, stream

from mbxai.errors import (
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    NotFoundError,
    OpenRouterAPIError,
    OpenRouterTimeoutError,
    PermissionDeniedError,
    ProviderUnavailableError,
    RateLimitError,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [None, "httpx"], ids=str)
modes = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

OK = answer(completion("fine"))
OK_STREAM = stream(chunk("fine"), chunk(finish="stop"))


def refused(status: int = 429, **headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer({"error": {"code": status, "message": "no"}}, status=status, headers=named)


def date(moment: dt.datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@families
@modes
async def test_r01_a_429_that_names_no_time_is_tried_again_at_a_random_moment(
    kind, family, is_stream, raw
):
    waits = []
    async with asking(kind, raw.base_url, family=family, retry_initial_delay=0.03) as asker:
        for _ in range(4):
            raw.script(refused(), refused(), OK_STREAM if is_stream else OK)
            result = await asker.ask(stream=is_stream)
            assert result.attempts == 3
            assert [attempt.status for attempt in result.history] == [429, 429, 200]
            waits.append([attempt.wait for attempt in result.history])
    assert all(0.0 <= first <= 0.03 and 0.0 <= second <= 0.06 for first, second, _ in waits)
    assert len({first for first, _, _ in waits}) == 4


@modes
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "0.25"}, 0.25),
        ({"retry_after_ms": "250"}, 0.25),
        ({"Retry_After": "50", "retry_after_ms": "250"}, 0.25),
    ],
    ids=["seconds", "milliseconds", "milliseconds first"],
)
async def test_r02_r05_the_wait_that_the_server_names_is_kept(
    kind, is_stream, headers, seconds, raw
):
    raw.script(refused(**headers), OK_STREAM if is_stream else OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask(stream=is_stream)
    assert result.attempts == 2
    assert seconds <= result.history[0].wait <= seconds * 1.1
    first, second = raw.seen().requests
    assert second["at"] - first["at"] >= seconds


async def test_r02_two_seconds_are_two_seconds(kind, raw):
    raw.script(refused(Retry_After="2"), OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask()
    assert 2.0 <= result.history[0].wait <= 2.2


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
async def test_r03_a_date_is_measured_by_the_clock_of_the_server(kind, skew, raw):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=skew)
    raw.script(refused(Retry_After=date(now + dt.timedelta(seconds=1)), Date=date(now)), OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask()
    assert 1.0 <= result.history[0].wait <= 1.1


async def test_r03_a_date_in_the_past_is_no_wait(kind, raw):
    now = dt.datetime.now(dt.UTC)
    raw.script(refused(Retry_After=date(now - dt.timedelta(seconds=90)), Date=date(now)), OK)
    async with asking(kind, raw.base_url) as asker:
        assert (await asker.ask()).history[0].wait <= 0.01


@families
@modes
async def test_r04_a_wait_of_a_day_ends_the_call_at_once(kind, family, is_stream, raw):
    raw.script(refused(Retry_After="86400"))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(RateLimitError) as caught:
            await asker.ask(stream=is_stream)
    assert caught.value.retry_after == 86400
    assert caught.value.attempts == 1
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("seconds", ["60.5", "61", "65"])
async def test_r04_more_than_a_minute_is_never_waited(kind, seconds, raw):
    raw.script(refused(Retry_After=seconds))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(RateLimitError) as caught:
            await asker.ask()
    assert caught.value.retry_after == float(seconds)
    assert caught.value.attempts == 1


@pytest.mark.parametrize(
    "value",
    [
        *("-5", "NaN", "1e999", "-1e999", "abc", "", "0", "0.0", "1e-320", "inf", "٣", "1_0 s"),
        *("0x10", "1;2", "9" * 5000, "Fri, 31 Feb 2025 00:00:00 GMT"),
        *("Mon, 01 Jan 99999 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"),
        "Mon, 01 Jan 2024 00:00:00 +99999999999999",
    ],
    ids=lambda value: value[:30] or "empty",
)
async def test_r04_a_wait_that_is_no_time_is_ignored_and_never_hides_the_429(kind, value, raw):
    text = value.encode().decode("latin-1")
    raw.script(refused(Retry_After=text), OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask()
        assert result.attempts == 2
        assert 0.0 <= result.history[0].wait <= 0.01
        raw.script(refused(Retry_After=text))
        with pytest.raises(RateLimitError) as caught:
            await asker.ask()
    assert not caught.value.retry_after or caught.value.retry_after < 0.01
    assert caught.value.attempts == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"X_RateLimit_Reset": "NaN"},
        {"X_RateLimit_Reset": "9" * 400},
        {"X_RateLimit_Reset": "-1"},
        {"X_RateLimit_Reset": "1"},
        {"retry_after_ms": "soon", "Retry_After": "later", "X_RateLimit_Reset": "never"},
        {"Retry_After": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "yesterday"},
    ],
)
async def test_r04_other_headers_that_name_no_time_are_ignored_too(kind, headers, raw):
    raw.script(refused(**headers), OK)
    async with asking(kind, raw.base_url) as asker:
        result = await asker.ask()
    assert result.attempts == 2
    assert 0.0 <= result.history[0].wait <= 0.01


@families
@modes
async def test_r07_two_503_and_then_an_answer_are_three_attempts(kind, family, is_stream, raw):
    raw.script(refused(503), refused(503), OK_STREAM if is_stream else OK)
    async with asking(kind, raw.base_url, family=family) as asker:
        result = await asker.ask(stream=is_stream)
    assert result.attempts == 3
    assert [attempt.outcome for attempt in result.history] == [
        "ProviderUnavailableError",
        "ProviderUnavailableError",
        "ok",
    ]
    assert len(raw.seen().requests) == 3


@modes
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524, 529])
async def test_r08_a_failure_that_stays_is_tried_as_often_as_said(kind, is_stream, status, raw):
    raw.script(refused(status))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(ProviderUnavailableError) as caught:
            await asker.ask(stream=is_stream)
    assert (caught.value.status, caught.value.attempts) == (status, 3)
    assert len(raw.seen().requests) == 3


async def test_r08_no_retry_begins_after_the_time_of_the_call(kind, raw):
    raw.script(refused(500))
    async with asking(
        kind, raw.base_url, max_retries=1000, retry_initial_delay=0.05, retry_max_delay=0.05
    ) as asker:
        with pytest.raises((ProviderUnavailableError, OpenRouterTimeoutError)) as caught:
            await asker.ask(timeout=0.4)
    assert 2 <= caught.value.attempts == len(raw.seen().requests)
    assert sum(attempt.wait for attempt in caught.value.history) < 0.4


@modes
@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (413, BadRequestError),
        (422, BadRequestError),
    ],
)
async def test_r09_what_cannot_pass_is_typed_and_sent_once(kind, is_stream, status, cls, raw):
    raw.script(refused(status, Retry_After="0.01"))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(OpenRouterAPIError) as caught:
            await asker.ask(stream=is_stream)
    assert type(caught.value) is cls
    assert (caught.value.status, caught.value.attempts) == (status, 1)
    assert [attempt.status for attempt in caught.value.history] == [status]
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("status", [408, 409, 425])
async def test_r09_but_three_of_their_kind_may_pass(kind, status, raw):
    raw.script(refused(status), OK)
    async with asking(kind, raw.base_url) as asker:
        assert (await asker.ask()).attempts == 2

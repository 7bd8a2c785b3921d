"""Faults R10 to R13: answers that are none, though the status says so."""

import pytest
from support.fault_clients import KINDS, asking
from support.raw_server import RawServer, answer, chunk, completion, stream

from mbxai.errors import (
    InsufficientCreditsError,
    InvalidResponseError,
    OpenRouterError,
    ProviderUnavailableError,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [None, "httpx"], ids=str)
modes = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])

OK = answer(completion("fine"))
OK_STREAM = stream(chunk("fine"), chunk(finish="stop"))


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


def told(code: object, *, in_event: bool = False):
    error = {"error": {"code": code, "message": "no", "metadata": {"provider_name": "Acme"}}}
    return stream(error, done=False) if in_event else answer(error)


@families
@pytest.mark.parametrize(
    ("is_stream", "in_event"), [(False, False), (True, False), (True, True)],
    ids=["whole", "stream", "first event"],
)  # fmt: skip
@pytest.mark.parametrize("code", [502, "502", "server_error"])
async def test_r10_a_failure_told_with_status_200_is_tried_again(
    kind, family, is_stream, in_event, code, raw
):
    raw.script(told(code, in_event=in_event), OK_STREAM if is_stream else OK)
    async with asking(kind, raw.base_url, family=family) as asker:
        result = await asker.ask(stream=is_stream)
        assert result.attempts == 2
        assert result.history[0].outcome == "ProviderUnavailableError"
        assert result.history[0].status in {500, 502}
        raw.script(told(code, in_event=in_event))
        with pytest.raises(ProviderUnavailableError) as caught:
            await asker.ask(stream=is_stream)
    assert caught.value.attempts == len(raw.seen().requests) == 3
    assert caught.value.provider == "Acme"


@families
@pytest.mark.parametrize(
    ("is_stream", "in_event"), [(False, False), (True, False), (True, True)],
    ids=["whole", "stream", "first event"],
)  # fmt: skip
async def test_r11_a_402_told_with_status_200_is_typed_and_sent_once(
    kind, family, is_stream, in_event, raw
):
    raw.script(told(402, in_event=in_event))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(InsufficientCreditsError, match="credits") as caught:
            await asker.ask(stream=is_stream)
    assert (caught.value.status, caught.value.attempts) == (402, 1)
    assert len(raw.seen().requests) == 1


PAGE = "<html><body>" + "please wait " * 1000 + "</body></html>"


@families
@modes
async def test_r12_a_page_with_status_200_is_no_answer(kind, family, is_stream, raw):
    raw.script(answer(PAGE, content_type="text/html; charset=utf-8"))
    async with asking(kind, raw.base_url, family=family, max_retries=5) as asker:
        with pytest.raises(OpenRouterError) as caught:
            await asker.ask(stream=is_stream)
    assert isinstance(caught.value, InvalidResponseError)
    assert "text/html" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert len(raw.seen().requests) == 2


@families
@modes
async def test_r12_a_page_with_status_502_is_a_failure_of_the_server(kind, family, is_stream, raw):
    raw.script(answer(PAGE, status=502, content_type="text/html; charset=utf-8"))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(ProviderUnavailableError) as caught:
            await asker.ask(stream=is_stream)
    assert caught.value.status == 502
    assert caught.value.attempts == 3
    assert "please wait" in caught.value.body["text"]
    assert len(caught.value.body["text"]) <= 2000


@families
@pytest.mark.parametrize("body", ['{"id": "gen-1", "choices": [{"mess', "[1,", '"half', "", "nul"])
async def test_r13_a_cut_body_is_asked_for_once_more(kind, family, body, raw):
    async with asking(kind, raw.base_url, family=family, max_retries=5) as asker:
        raw.script(answer(body), OK)
        assert (await asker.ask()).attempts == 2
        raw.script(answer(body))
        with pytest.raises(InvalidResponseError) as caught:
            await asker.ask()
    assert caught.value.attempts == len(raw.seen().requests) == 2
    assert {attempt.outcome for attempt in caught.value.history} == {"InvalidResponseError"}


async def test_r13_an_unreadable_answer_between_failures_counts_all_the_same(kind, raw):
    cut, busy = answer("{"), answer(b"", status=503)
    raw.script(cut, busy, cut, OK)
    async with asking(kind, raw.base_url, max_retries=5) as asker:
        with pytest.raises(InvalidResponseError):
            await asker.ask()
    assert len(raw.seen().requests) == 3

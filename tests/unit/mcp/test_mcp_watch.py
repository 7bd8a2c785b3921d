from types import SimpleNamespace

import anyio
import pytest

from mbxai.mcp.connection._watch import CallNote, ConnectionWatch, current_call, note_failure

REQUEST = SimpleNamespace(message=SimpleNamespace(id=1, method="tools/call"))
NOTICE = SimpleNamespace(message=SimpleNamespace(method="notifications/cancelled"))


def watching() -> ConnectionWatch:
    return ConnectionWatch(on_end=lambda: None)


def test_a_call_that_was_not_handed_over_never_ran() -> None:
    assert CallNote().never_ran


def test_a_call_that_was_handed_over_may_have_run() -> None:
    assert not CallNote(written=1).never_ran


def test_a_call_never_ran_only_if_none_of_its_requests_arrived() -> None:
    assert CallNote(written=1, unsent=1).never_ran
    assert CallNote(written=1, refused=1).never_ran
    assert not CallNote(written=2, unsent=1).never_ran


def test_notes_belong_to_the_call_of_the_context() -> None:
    watch, call = watching(), CallNote()
    token = current_call.set(call)
    watch.note_request(1, "tools/call")
    note_failure(ConnectionError(), REQUEST, was_sent=False)
    current_call.reset(token)
    watch.note_request(2, "tools/call")
    note_failure(ConnectionError(), REQUEST, was_sent=False)
    assert (call.written, call.unsent) == (1, 1)
    assert watch.requests == {1: ("tools/call", call)}


def test_only_a_request_can_fail_to_be_sent() -> None:
    call = CallNote(written=1)
    token = current_call.set(call)
    note_failure(ConnectionError(), NOTICE, was_sent=False)
    assert not call.never_ran
    note_failure(ConnectionError(), REQUEST, was_sent=True)
    current_call.reset(token)
    assert not call.never_ran
    assert isinstance(call.cause, ConnectionError)


def test_requests_without_an_answer_are_not_kept_for_ever() -> None:
    watch = watching()
    token = current_call.set(CallNote())
    for ident in range(10_005):
        watch.note_request(ident, "tools/call")
    current_call.reset(token)
    assert len(watch.requests) == 10_000
    assert 4 not in watch.requests


def test_a_missing_session_is_noted_and_a_missing_page_is_none() -> None:
    watch = watching()
    watch.is_connected = True
    watch.note_status(404, of_session=False)
    assert (watch.status, watch.is_lost) == (404, False)
    watch.note_status(200, of_session=True)
    assert (watch.status, watch.is_lost) == (0, False)
    watch.note_status(404, of_session=True)
    assert watch.is_lost


def test_every_status_counts_until_there_is_a_connection() -> None:
    watch = watching()
    watch.note_status(200, of_session=False, media_type="text/html")
    assert (watch.status, watch.media_type) == (200, "text/html")


async def test_the_end_of_a_stream_is_told_once() -> None:
    ends: list[str] = []
    watch = ConnectionWatch(on_end=lambda: ends.append("end"))
    for _ in range(2):
        watch.end()
    assert ends == ["end"]


async def test_a_stream_that_is_cut_ends_for_whoever_reads_it() -> None:
    watch = watching()
    read: list[str] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def reads() -> None:
                with watch.reading():
                    await anyio.sleep_forever()
                read.append("cut")

            group.start_soon(reads)
            await anyio.wait_all_tasks_blocked()
            watch.cut("it was too large")
        with watch.reading():  # whoever comes later is not left waiting either
            await anyio.sleep_forever()
    assert read == ["cut"]
    assert watch.problem == "it was too large"


@pytest.mark.parametrize("problem", ["", "why"])
def test_the_first_reason_of_a_cut_is_kept(problem: str) -> None:
    watch = watching()
    watch.cut(problem)
    watch.cut("later")
    assert watch.problem == (problem or "later")

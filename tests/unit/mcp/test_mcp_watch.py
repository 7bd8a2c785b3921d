import anyio
import pytest

from mbxai.mcp._watch import (
    CallNote,
    ConnectionWatch,
    current_call,
    note_unsent,
    note_written,
)


def test_a_call_that_was_not_handed_over_never_ran() -> None:
    assert CallNote().never_ran


def test_a_call_that_was_handed_over_may_have_run() -> None:
    assert not CallNote(written=1).never_ran


def test_a_call_never_ran_only_if_none_of_its_requests_arrived() -> None:
    assert CallNote(written=1, unsent=1).never_ran
    assert CallNote(written=1, refused=1).never_ran
    assert not CallNote(written=2, unsent=1).never_ran


def test_notes_belong_to_the_call_of_the_context() -> None:
    first, second = CallNote(), CallNote()
    token = current_call.set(first)
    note_written()
    current_call.reset(token)
    note_written()
    token = current_call.set(second)
    note_written()
    note_unsent()
    current_call.reset(token)
    assert (first.never_ran, second.never_ran) == (False, True)


def test_a_missing_session_is_noted_and_a_missing_page_is_none() -> None:
    watch = ConnectionWatch(on_end=lambda: None)
    watch.note_status(404, of_session=False)
    assert (watch.status, watch.is_lost) == (404, False)
    watch.note_status(200, of_session=True)
    assert (watch.status, watch.is_lost) == (0, False)
    watch.note_status(404, of_session=True)
    assert watch.is_lost


async def test_the_end_of_a_stream_is_told_once() -> None:
    ends: list[str] = []
    watch = ConnectionWatch(on_end=lambda: ends.append("end"))
    send, receive = anyio.create_memory_object_stream[int](1)
    await send.send(1)
    assert await watch.read(receive.receive) == 1
    await send.aclose()
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await watch.read(receive.receive)
    assert ends == ["end"]
    receive.close()


async def test_a_stream_that_is_cut_ends_for_whoever_reads_it() -> None:
    watch = ConnectionWatch(on_end=lambda: None)
    send, receive = anyio.create_memory_object_stream[int](1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def read() -> None:
                with pytest.raises(anyio.EndOfStream):
                    await watch.read(receive.receive)

            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            watch.cut()
        with pytest.raises(anyio.EndOfStream):
            await watch.read(receive.receive)
    assert watch.has_ended
    send.close()
    receive.close()

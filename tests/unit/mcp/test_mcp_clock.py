import anyio
import pytest

from mbxai.mcp.connection._clock import Alarm, CallClock, Clocks

BOUND = 5.0


async def test_a_clock_that_is_not_stopped_ends_its_block() -> None:
    clocks = Clocks()
    with anyio.fail_after(BOUND), pytest.raises(TimeoutError), CallClock(0.02, clocks):
        await anyio.sleep_forever()
    assert not clocks._running


async def test_a_clock_without_a_limit_never_ends_its_block() -> None:
    with CallClock(None, Clocks()) as clock:
        with clock.paused():
            await anyio.sleep(0.02)
        done = True
    assert done


async def test_a_clock_stands_still_while_it_is_paused_and_goes_on_then() -> None:
    passed: list[str] = []

    async def pause(clock: CallClock) -> None:
        with clock.paused(), clock.paused():
            await anyio.sleep(0.15)
        passed.append("pause")
        await anyio.sleep_forever()

    with anyio.fail_after(BOUND), pytest.raises(TimeoutError), CallClock(0.05, Clocks()) as clock:
        await pause(clock)
    assert passed == ["pause"]


async def test_waiting_stops_the_clocks_that_run_and_those_that_begin() -> None:
    clocks = Clocks()
    passed: list[str] = []

    async def timed(name: str) -> None:
        with pytest.raises(TimeoutError), CallClock(0.05, clocks):
            await anyio.sleep_forever()
        passed.append(name)

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(timed, "early")
            await anyio.wait_all_tasks_blocked()
            with clocks.waiting():
                group.start_soon(timed, "late")
                with clocks.waiting():
                    await anyio.sleep(0.15)
                await anyio.sleep(0.05)
                assert passed == []
    assert sorted(passed) == ["early", "late"]


async def test_a_call_that_is_cancelled_is_not_late() -> None:
    with anyio.CancelScope() as scope:
        with CallClock(BOUND, Clocks()):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_alarm_rings_once_and_not_while_it_is_paused() -> None:
    clocks, rung = Clocks(), anyio.Event()
    rings: list[int] = []

    def ring() -> None:
        rings.append(1)
        rung.set()

    Alarm(0.02, ring, clocks)
    with clocks.waiting():
        await anyio.sleep(0.06)
        assert rings == []
    with anyio.fail_after(BOUND):
        await rung.wait()
    assert rings == [1]


async def test_an_alarm_that_is_cancelled_never_rings() -> None:
    clocks = Clocks()
    rings: list[int] = []
    alarm = Alarm(0.01, lambda: rings.append(1), clocks)
    with clocks.waiting():
        alarm.cancel()
    await anyio.sleep(0.03)
    assert rings == []

import asyncio
import contextvars
import functools
import sys
import threading
import time
import types
import warnings

import anyio
import anyio.to_thread
import pytest

from mbxai import portal
from mbxai.errors import BlockingCallError, RunningLoopWarning


class Library:
    async def echo(self, *args: object, **kwargs: object) -> object:
        return args, kwargs

    async def thread_name(self) -> str:
        return threading.current_thread().name


def test_arguments_go_in_and_the_result_comes_back():
    assert portal.run(Library().echo, 1, two=2) == ((1,), {"two": 2})


def test_every_call_runs_on_one_daemon_thread():
    names = {portal.run(Library().thread_name) for _ in range(3)}
    threads = [thread for thread in threading.enumerate() if thread.name == "mbxai-loop"]
    assert names == {"mbxai-loop"}
    assert [thread.daemon for thread in threads] == [True]


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException()]
)
def test_whatever_is_raised_arrives_and_the_loop_lives_on(error):
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        portal.run(fail)
    assert caught.value is error
    assert portal.run(Library().thread_name) == "mbxai-loop"


def test_a_background_task_that_exits_does_not_end_the_loop(caplog):
    async def leave_a_task_behind() -> asyncio.Task[None]:
        async def exit_soon() -> None:
            raise SystemExit(5)

        return asyncio.ensure_future(exit_soon())

    async def look_at(task: asyncio.Task[None]) -> BaseException | None:
        await asyncio.wait([task])
        return task.exception()

    task = portal.run(leave_a_task_behind)
    assert isinstance(portal.run(look_at, task), SystemExit)
    assert "disturbed the event loop" in caplog.text


def test_a_cancel_scope_left_open_does_not_harm_later_calls():
    async def enter_and_forget() -> anyio.CancelScope:
        scope = anyio.CancelScope()
        scope.__enter__()
        return scope

    scope = portal.run(enter_and_forget)
    assert portal.run(Library().thread_name) == "mbxai-loop"
    assert scope is not None


def test_context_variables_of_the_caller_are_seen_and_nothing_flows_back():
    name = contextvars.ContextVar[str]("name", default="nobody")

    async def read_and_change() -> str:
        seen = await anyio.to_thread.run_sync(name.get)
        name.set("changed")
        return seen

    token = name.set("caller")
    try:
        assert portal.run(read_and_change) == "caller"
        assert name.get() == "caller"
    finally:
        name.reset(token)


def test_twenty_threads_share_the_loop_and_their_calls_overlap():
    everybody = asyncio.Barrier(20)

    async def meet() -> int:
        async with asyncio.timeout(5):
            return await everybody.wait()

    places: list[int] = []
    threads = [threading.Thread(target=lambda: places.append(portal.run(meet))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(places) == list(range(20))


def test_a_blocking_call_on_the_loop_thread_is_refused_and_names_the_async_method():
    async def tool() -> object:
        return portal.run(Library().echo)

    with pytest.raises(BlockingCallError, match=r"Await Library\.echo there"):
        portal.run(tool)


def test_the_refusal_looks_through_partials_and_lambdas():
    async def call(function) -> object:
        return portal.run(function)

    with pytest.raises(BlockingCallError, match=r"Await Library\.echo there"):
        portal.run(call, functools.partial(Library().echo, 1))
    with pytest.raises(BlockingCallError, match="Await the method of the async client there"):
        portal.run(call, lambda: Library().echo(1))


def test_a_blocking_call_from_a_worker_thread_of_the_loop_works():
    async def sync_tool_that_uses_a_client() -> str:
        return await anyio.to_thread.run_sync(portal.run, Library().thread_name)

    assert portal.run(sync_tool_that_uses_a_client) == "mbxai-loop"


async def test_inside_another_loop_a_call_works_and_warns_once_for_each_line_of_the_user():
    def first() -> object:
        return portal.run(Library().echo, 1)

    def second() -> object:
        return portal.run(Library().echo, 2)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert [first(), first(), second()] == [((1,), {}), ((1,), {}), ((2,), {})]
    assert [warning.category for warning in heard] == [RunningLoopWarning] * 2
    assert {warning.filename for warning in heard} == {__file__}
    lines = [first.__code__.co_firstlineno + 1, second.__code__.co_firstlineno + 1]
    assert [warning.lineno for warning in heard] == lines
    assert "Await Library.echo" in str(heard[0].message)


async def test_the_warning_points_past_the_frames_of_mbxai():
    # A stand-in for a facade: a function whose module lies inside mbxai.
    inside: dict[str, object] = {"__name__": "mbxai.somewhere", "portal": portal, "lib": Library()}
    exec("def facade():\n    return portal.run(lib.echo)", inside)
    with pytest.warns(RunningLoopWarning) as heard:
        inside["facade"]()
    assert heard[0].filename == __file__


async def test_as_an_error_the_warning_comes_each_time_and_nothing_runs():
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    for _ in range(2):
        with pytest.raises(RunningLoopWarning):
            portal.run(work)
    assert ran == []


async def test_in_a_notebook_nothing_is_said(monkeypatch):
    notebook = types.ModuleType("IPython")
    notebook.get_ipython = object  # returns something, as it does inside a kernel
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert portal.run(Library().echo, 1) == ((1,), {})


async def test_imported_but_idle_ipython_does_not_hide_the_warning(monkeypatch):
    library = types.ModuleType("IPython")
    library.get_ipython = lambda: None
    monkeypatch.setitem(sys.modules, "IPython", library)
    with pytest.warns(RunningLoopWarning):
        portal.run(Library().echo)


def test_names_are_resolved_on_daemon_threads_that_do_not_hold_up_the_exit():
    async def resolve() -> object:
        return await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    assert portal.run(resolve)
    names = [thread.name for thread in threading.enumerate() if not thread.daemon]
    assert not [name for name in names if name.startswith("asyncio")]


def test_results_are_not_kept_alive_by_the_bridge():
    import weakref

    class Big:
        pass

    async def make() -> Big:
        return Big()

    watched = weakref.ref(portal.run(make))
    deadline = time.monotonic() + 5
    while watched() is not None and time.monotonic() < deadline:
        portal.run(anyio.sleep, 0)  # the loop lets go of the finished task
    assert watched() is None


def test_an_error_leaves_no_cycle_for_the_collector():
    import gc
    import weakref

    class MarkerError(Exception):
        pass

    async def fail() -> None:
        raise MarkerError

    def catch() -> "weakref.ref[MarkerError]":
        try:
            portal.run(fail)
        except MarkerError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        watched = catch()
        deadline = time.monotonic() + 5
        while watched() is not None and time.monotonic() < deadline:
            portal.run(anyio.sleep, 0)
        assert watched() is None
    finally:
        gc.enable()

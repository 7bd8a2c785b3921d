"""Exit, fork and Ctrl-C, each in a process of its own."""

import pytest
from support.scripts import run_script

# A client as users have it: in a module global, never closed, with something open on the loop.
CLIENT = """
import asyncio, atexit, os, signal, sys, threading, time
from mbxai import portal

class Core:
    opened = closed = 0
    async def echo(self, value):
        return value
    async def aclose(self):
        await asyncio.sleep(0)
        Core.closed += 1
        print("closed", flush=True)

class Facade:
    def __init__(self):
        self.core = Core()
        portal.register(self.core.aclose)
    def echo(self, value):
        return portal.run(self.core.echo, value)

async def endless():
    number = 0
    try:
        while True:
            number += 1
            yield number
            await asyncio.sleep(0.01)
    finally:
        print("source closed", flush=True)

def interrupt_soon():
    def send():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()
"""


def test_an_open_client_in_a_module_global_is_closed_at_exit():
    outcome = run_script(CLIENT + "client = Facade(); print(client.echo(1)); print('exiting')")
    assert outcome.check() == "1\nexiting\nclosed\n"
    assert outcome.seconds < 2


def test_a_client_that_was_collected_is_not_closed_at_exit():
    outcome = run_script(CLIENT + "Facade().echo(1)")
    assert outcome.check() == ""


def test_an_open_stream_is_closed_at_exit():
    outcome = run_script(
        CLIENT + "stream = portal.StreamPump(endless); print(next(stream)); print('exiting')"
    )
    assert outcome.check() == "1\nexiting\nsource closed\n"
    assert outcome.seconds < 2


def test_a_suspended_generator_over_a_stream_does_not_hold_up_the_exit():
    outcome = run_script(
        CLIENT
        + """
def numbers():
    with portal.StreamPump(endless) as stream:
        yield from stream
held = numbers()
print(next(held)); print('exiting')
"""
    )
    assert outcome.check() == "1\nexiting\nsource closed\n"
    assert outcome.seconds < 2


def test_what_never_ends_does_not_hold_up_the_exit():
    outcome = run_script(
        CLIENT
        + """
class Stubborn(Core):
    async def aclose(self):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
client = Facade(); stubborn = Stubborn(); portal.register(stubborn.aclose)
async def block_a_thread():
    import anyio.to_thread
    await anyio.to_thread.run_sync(time.sleep, 60)
threading.Thread(target=portal.run, args=(block_a_thread,), daemon=True).start()
client.echo(1); time.sleep(0.2); print('exiting')
""",
        warnings="default",
    )
    assert outcome.code == 0
    assert "closed" in outcome.out
    assert outcome.seconds < 2.5


def test_a_closer_that_fails_does_not_show_at_exit():
    outcome = run_script(
        CLIENT
        + """
class Broken(Core):
    async def aclose(self):
        raise ValueError("no")
broken = Broken(); portal.register(broken.aclose)
client = Facade(); client.echo(1)
"""
    )
    assert outcome.check() == "closed\n"


def test_a_users_own_exit_function_still_finds_the_loop():
    outcome = run_script(
        CLIENT + "client = Facade(); atexit.register(lambda: print(client.echo(2))); client.echo(1)"
    )
    assert outcome.check() == "2\nclosed\n"


def test_an_exit_code_is_kept():
    assert run_script(CLIENT + "client = Facade(); client.echo(1); sys.exit(7)").code == 7


def test_without_a_call_nothing_is_started():
    outcome = run_script(
        CLIENT + "client = Facade(); print([t.name for t in threading.enumerate()])"
    )
    assert outcome.check() == "['MainThread']\n"


FORK = """
import warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
"""


def test_a_forked_child_has_a_loop_of_its_own_and_the_parent_goes_on():
    outcome = run_script(
        CLIENT
        + FORK
        + """
client = Facade()
client.echo(1)
parent = portal.run(Core().echo, 1)
child = os.fork()
if child == 0:
    print("child", client.echo(2), flush=True)
    sys.exit(0)
_, status = os.waitpid(child, 0)
print("parent", client.echo(3), os.waitstatus_to_exitcode(status), flush=True)
"""
    )
    assert outcome.check().splitlines() == ["child 2", "closed", "parent 3 0", "closed"]


def test_a_child_forked_with_a_busy_loop_and_an_open_stream_works_and_hurts_nobody():
    outcome = run_script(
        CLIENT
        + FORK
        + """
from mbxai.errors import BlockingCallError

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def dial():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, *await asyncio.open_connection(*server.sockets[0].getsockname())

async def ask(reader, writer):
    writer.write(b"hello\\n")
    async with asyncio.timeout(5):
        return (await reader.readline()).decode().strip()

async def drop(server, writer):
    writer.close()
    await writer.wait_closed()
    server.close()
    await asyncio.sleep(0.05)

server, reader, writer = portal.run(dial)
stream = portal.StreamPump(endless)
next(stream)
child = os.fork()
if child == 0:
    try:
        while True:
            next(stream)
    except BlockingCallError as refused:
        print("child:", type(refused).__name__, flush=True)
    stream.close()
    writer.transport.abort()  # what a finalizer in the child might do
    print("child", portal.run(Core().echo, 2), flush=True)
    del stream, server, reader, writer
    import gc; gc.collect()
    os._exit(0)
os.waitpid(child, 0)
print("parent", portal.run(ask, reader, writer), next(stream) > 1, flush=True)
stream.close()
portal.run(drop, server, writer)
"""
    )
    assert outcome.check().splitlines() == [
        "child: BlockingCallError",
        "child 2",
        "parent HELLO True",
        "source closed",
    ]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_use_a_client_and_send_errors_back(method, tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        """
import multiprocessing, warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
from mbxai import portal
from mbxai.errors import RateLimitError

async def answer(value):
    if value == 2:
        raise RateLimitError("slow down", status=429, retry_after=1.5, request_id="r")
    return value

def work(value):
    return portal.run(answer, value)

if __name__ == "__main__":
    import sys
    portal.run(answer, 0)
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print(pool.apply(work, (1,)))
        try:
            pool.apply(work, (2,))
        except RateLimitError as error:
            print(error, error.status, error.retry_after, error.request_id)
""",
        encoding="utf-8",
    )
    outcome = run_script(
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], "
        "run_name='__main__')"
        if method == "fork"
        else "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
        str(script),
        method,
    )
    assert outcome.check() == "1\nslow down 429 1.5 r\n"


def test_ctrl_c_in_a_call_cancels_it_and_the_client_works_on():
    outcome = run_script(
        CLIENT
        + """
async def slow():
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        print("cleaned up", flush=True)
interrupt_soon()
try:
    portal.run(slow)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(portal.run(Core().echo, 1))
"""
    )
    assert outcome.check() == "cleaned up\ninterrupted\n1\n"


def test_ctrl_c_does_not_wait_for_a_call_that_resists():
    outcome = run_script(
        CLIENT
        + """
async def stubborn():
    end = time.monotonic() + 8
    while time.monotonic() < end:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass
interrupt_soon()
try:
    portal.run(stubborn)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(portal.run(Core().echo, 1))
os._exit(0)
"""
    )
    assert outcome.check() == "interrupted\n1\n"
    assert outcome.seconds < 6


def test_ctrl_c_in_a_stream_closes_the_source():
    outcome = run_script(
        CLIENT
        + """
interrupt_soon()
try:
    for number in portal.StreamPump(endless):
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(portal.run(Core().echo, 1))
"""
    )
    assert outcome.check() == "source closed\ninterrupted\n1\n"


def test_ctrl_c_in_a_call_that_nobody_catches_ends_the_program_quickly():
    outcome = run_script(
        CLIENT
        + """
client = Facade()
interrupt_soon()
print("exiting", flush=True)
portal.run(asyncio.sleep, 60)
"""
    )
    assert outcome.code != 0
    assert outcome.err.endswith("KeyboardInterrupt\n")
    assert "closed" in outcome.out
    assert outcome.seconds < 4

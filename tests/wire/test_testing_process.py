"""The life of the fake server's process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

import mbxai.errors
from mbxai.errors import ConfigurationError
from mbxai.testing import FakeOpenRouter, Reply

pytest_plugins = ["pytester"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # an orphan that ended may wait for its new parent to collect it
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int) -> bool:
    for _ in range(450):
        try:
            if not is_alive(pid):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_the_process_is_gone_after_the_block() -> None:
    with FakeOpenRouter() as fake:
        pid = fake.pid
        assert is_alive(pid)
        assert pid != os.getpid()
        assert fake.env() == {
            "OPENROUTER_API_KEY": fake.api_key,
            "OPENROUTER_BASE_URL": fake.base_url,
        }
    assert not is_alive(pid)


def test_the_process_is_gone_after_an_error_and_with_open_connections(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pids: list[int] = []

    def fail() -> None:
        with FakeOpenRouter(latency=30) as fake, httpx.Client() as client:
            pids.append(fake.pid)
            headers = {"Authorization": "Bearer x"}
            with pytest.raises(httpx.ReadTimeout):
                client.get(f"{fake.base_url}/key", headers=headers, timeout=0.1)
            host, _, port = fake.base_url[7:].partition("/")[0].partition(":")
            with socket.create_connection((host, int(port))):
                raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert not is_alive(pids[0])
    assert capfd.readouterr().err == ""


async def test_it_starts_and_stops_in_a_coroutine_and_can_be_used_again() -> None:
    fake = FakeOpenRouter()
    for _ in range(2):
        async with fake as same:
            assert same is fake
            assert fake.requests() == []
            pid = fake.pid
        assert not is_alive(pid)


async def test_a_cancelled_start_leaves_no_process() -> None:
    fake = FakeOpenRouter()
    task = asyncio.create_task(fake.__aenter__())
    await asyncio.sleep(0)
    pid = fake.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(pid)


def test_outside_the_block_it_says_that_it_does_not_run() -> None:
    fake = FakeOpenRouter()
    for question in (fake.requests, fake.verify, fake.reset, fake.env, lambda: fake.pid):
        with pytest.raises(ConfigurationError, match="not running"):
            question()
    with fake, pytest.raises(ConfigurationError, match="already"):
        fake.__enter__()


def test_a_dead_server_is_reported() -> None:
    with FakeOpenRouter() as fake:
        os.kill(fake.pid, signal.SIGKILL)
        wait_until_gone(fake.pid)
        with pytest.raises(ConfigurationError, match="gone"):
            fake.requests()


@pytest.mark.long
def test_a_server_that_does_not_react_is_killed() -> None:
    with FakeOpenRouter() as fake:
        pid = fake.pid
        os.kill(pid, signal.SIGSTOP)
    assert not is_alive(pid)


def test_a_step_that_is_no_json_is_refused_and_the_server_lives_on() -> None:
    with FakeOpenRouter() as fake:
        with pytest.raises(TypeError):
            fake.script(Reply(json=object()))
        assert fake.requests() == []


def test_a_script_that_cannot_be_sent_starts_nothing() -> None:
    fake = FakeOpenRouter([Reply(json=object())])
    with pytest.raises(TypeError):
        fake.__enter__()
    with pytest.raises(ConfigurationError, match="not running"):
        assert fake.pid


def test_a_taken_port_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="did not start"):
            FakeOpenRouter(port=port).__enter__()
    assert f"could not listen on port {port}" in capfd.readouterr().err
    with FakeOpenRouter(port=port) as fake:
        assert fake.base_url == f"http://127.0.0.1:{port}/api/v1"


PARENT = textwrap.dedent(
    """
    import os, sys, time
    from mbxai.testing import FakeOpenRouter, Reply

    with FakeOpenRouter() as fake:
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(60)
        print(fake.pid, os.getpid(), flush=True)
        time.sleep(60)
    """
)


@pytest.mark.parametrize("words", [[], ["fork"]], ids=["alone", "with a fork that holds the pipe"])
def test_the_process_ends_when_its_parent_is_killed(words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *words], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        assert is_alive(pid)
        parent.kill()
        parent.wait()
        try:
            assert wait_until_gone(pid)
        finally:
            try:
                os.killpg(parent.pid, signal.SIGKILL)
            except ProcessLookupError:
                assert not words


def test_the_module_runs_in_the_foreground_until_ctrl_c() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mbxai.testing", "--port", "0", "--model", "mine/model"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        models = httpx.get(f"{base_url}/models").json()["data"]
        assert models[0]["id"] == "mine/model"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_the_fixture_leads_the_environment_to_the_server_and_checks_the_script(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(mbxai.errors.__file__).parent.parent.resolve()))
    pytester.makeconftest('pytest_plugins = ["mbxai.testing.pytest_plugin"]')
    pytester.makepyfile(
        """
        import os
        from mbxai.testing import Reply

        def test_passes(fake_openrouter):
            assert os.environ["OPENROUTER_BASE_URL"] == fake_openrouter.base_url
            assert os.environ["OPENROUTER_API_KEY"] == fake_openrouter.api_key

        def test_leaves_a_step(fake_openrouter):
            fake_openrouter.script(Reply("never asked for"))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*unused step: Reply*"])

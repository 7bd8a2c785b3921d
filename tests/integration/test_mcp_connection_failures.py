"""What is said, logged and left behind when a connection fails or its client is dropped."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.mcp_http_fault_server import answering
from support.mcp_processes import SOURCES, SUPPORT, children, is_alive
from support.mcp_reach_faults import command, reach, until

from mbxai.errors import MCPAuthError, MCPConnectionError, MCPError, MCPToolError
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import ServerTarget, read_target

BOUND = 5.0
LIMIT = 200_000
SDK_LOG = "mcp.client.streamable_http"

DROPS = """
import sys, time
from mbxai import OpenRouterClient
from mbxai.mcp import MCPClient
from support.mcp_processes import children

def use():
    client = MCPClient(OpenRouterClient(token="sk-or-x"))
    client.register_mcp_server("w", command=sys.argv[1:])

use()
print(*children(), time.time(), flush=True)
"""
FEW_RIGHTS = (
    'text/plain\r\nWWW-Authenticate: Bearer error="insufficient_scope", scope="files:write"'
)


@asynccontextmanager
async def opened(url: str | None = None, **options: Any) -> AsyncIterator[ServerConnection]:
    own = {key: options.pop(key) for key in ("max_message_bytes",) if key in options}
    target = read_target("s", url, **{"timeout": BOUND, **options})
    fields = {name: getattr(target, name) for name in ServerTarget.__slots__}
    connection = ServerConnection(ServerTarget(**{**fields, **own}))
    try:
        yield connection
    finally:
        async with asyncio.timeout(BOUND * 2):
            await connection.aclose()


async def refusal(**options: Any) -> str:
    async with opened(**options) as connection:
        with pytest.raises(MCPConnectionError) as caught:
            await connection.connect()
    return str(caught.value)


@pytest.mark.parametrize("words", [(), ("deaf",)], ids=str)
def test_a_client_that_was_dropped_ends_with_the_interpreter_in_silence(
    words: tuple[str, ...],
) -> None:
    strict = [sys.executable, "-X", "dev", "-W", "error", "-c", DROPS]
    done = subprocess.run(
        [*strict, *command(*words)],
        capture_output=True,
        env={**os.environ, **SOURCES},
        text=True,
        timeout=9,
        check=False,
    )
    ended = time.time()
    child, last = done.stdout.split()
    # -X dev also tells of slow steps of the event loop, as any busy machine has.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])
    assert ended - float(last) < 2.0
    assert not is_alive(int(child))


async def test_each_line_of_a_living_server_s_standard_error_is_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = (
        "import runpy, sys\n"
        "sys.stderr.write('loading \\033[31mhidden-value-1\\n' + 'x' * 9000 + '\\nhalf')\n"
        "sys.stderr.flush()\n"
        f"runpy.run_path({str(SUPPORT / 'mcp_modern_fault_server.py')!r}, run_name='__main__')\n"
    )
    words = [sys.executable, "-S", "-E", "-c", program]
    caplog.set_level(logging.DEBUG, "mbxai.mcp.stderr")
    async with opened(command=words, env={"API_KEY": "hidden-value-1"}) as connection:
        await connection.call_tool("good", {})
        said = [r.getMessage() for r in caplog.records if r.name == "mbxai.mcp.stderr"]
    assert said[0] == "s: loading  [31m[redacted]"
    assert said[1].startswith("s: xxx")
    assert len(said[1]) < 1100
    assert len(said) == 2, "a line without its end waits for it"
    assert [r.getMessage() for r in caplog.records if r.name == "mbxai.mcp.stderr"][2] == "s: half"


async def test_a_working_directory_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    program = [sys.executable, "-c", ""]
    assert "no such directory '/nope'" in await refusal(command=program, cwd="/nope")
    assert f"{str(file)!r}, to run it in, is no" in await refusal(command=program, cwd=str(file))
    assert "no such program '/nope'" in await refusal(command=["/nope"], cwd=str(tmp_path))


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("raise SystemExit(7)", "it ended at once with exit status 7"),
        ("import os; os.kill(os.getpid(), 9)", "it ended at once by SIGKILL"),
    ],
)
async def test_how_a_program_has_ended_is_told(program: str, how: str) -> None:
    said = await refusal(command=[sys.executable, "-S", "-E", "-c", program], mode="legacy")
    assert how in said


async def test_how_a_server_has_ended_during_a_call_is_told() -> None:
    async with opened(command=command()) as connection:
        with pytest.raises(MCPConnectionError, match="it ended with exit status 3"):
            await connection.call_tool("vanish", {})


@pytest.mark.alone
@pytest.mark.parametrize("word", ["lingers", "deaf"])
async def test_nobody_waits_longer_than_said_for_a_silent_child_nor_is_it_left(word: str) -> None:
    before, began = children(), time.monotonic()
    said = await refusal(command=command("silent", word), connect_timeout=0.5)
    assert time.monotonic() - began < 1.5
    assert "within 0.5 s" in said
    assert children() <= before


async def test_a_defect_of_ours_is_not_blamed_on_the_server() -> None:
    class Faulty:
        is_faulty = True

        async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
            if self.is_faulty:
                raise NameError("a name that is a secret")
            yield request

    import httpx2

    class Signs(Faulty, httpx2.Auth): ...

    signs = Signs()
    async with reach("http modern") as server, opened(server.http.url, auth=signs) as connection:
        with pytest.raises(MCPConnectionError) as caught:
            await connection.connect()
        assert "failed with an internal error (NameError)" in str(caught.value)
        assert "report" in (caught.value.hint or "")
        assert not {"secret", "reached", "runs"} & set(str(caught.value).split())
        assert isinstance(caught.value.__cause__, NameError)
        signs.is_faulty = False
        await connection.connect()
        signs.is_faulty = True
        with pytest.raises(MCPError, match=r"'good' failed with an internal error \(NameError\)"):
            await connection.call_tool("good", {})


async def test_who_may_not_do_something_is_told_which_right_it_takes() -> None:
    why = r"the token may not do this \(scope files:write\)"
    async with reach("http modern") as server:
        fault = ("403 Forbidden", FEW_RIGHTS, b"no")
        async with opened(server.http.url, token="a-token") as connection:
            await connection.connect()
            server.http.faults["tools/call"] = fault
            with pytest.raises(MCPAuthError, match=why) as caught:
                await connection.call_tool("good", {})
            assert "who we are" not in str(caught.value)
        server.http.faults[""] = fault
        async with opened(server.http.url, token="a-token") as connection:
            with pytest.raises(MCPAuthError, match=why) as caught:
                await connection.connect()
            assert "who we are" not in str(caught.value)


def test_a_token_for_a_far_server_without_tls_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for url, options in [
        ("http://127.0.0.1:1/mcp", {"token": "value-one"}),
        ("https://example.invalid/mcp", {"token": "value-one"}),
        ("http://example.invalid/mcp", {}),
    ]:
        ServerConnection(read_target("near", url, **options))
    assert not caplog.records
    ServerConnection(read_target("far", "http://example.invalid/mcp", token="value-one"))
    ServerConnection(read_target("signed", "HTTP://example.invalid/mcp", auth=object()))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "MCP server far is spoken to over plain http" in caplog.text
    assert "value-one" not in caplog.text


async def test_a_dead_http_server_is_left_without_a_word_of_the_package(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with reach("http legacy") as server, opened(server.http.url) as connection:
        await connection.connect()
        server.http.faults["tools/call"] = ("200 OK", "application/json", b"{no")
        with pytest.raises(MCPError):
            await connection.call_tool("good", {})
        await server.http.stop()
        await connection.aclose()
    said = [record for record in caplog.records if record.name.startswith("mcp")]
    assert not [record.getMessage() for record in said if record.levelno >= logging.WARNING]


async def test_of_the_package_s_warnings_that_of_the_farewell_is_silenced() -> None:
    async with answering("404 Not Found") as seen:
        await refusal(url=f"http://127.0.0.1:{seen.port}/mcp")  # the filter is in place
    log = logging.getLogger(SDK_LOG)
    kept = log.makeRecord(log.name, logging.WARNING, "", 0, "Unknown SSE event: x", (), None)
    gone = log.makeRecord(
        log.name, logging.WARNING, "", 0, "Session termination failed: x", (), None
    )
    assert (bool(log.filter(kept)), bool(log.filter(gone))) == (True, False)


@pytest.mark.parametrize(("word", "starts"), [("version=1999-01-01", 1), ("old", 2)])
async def test_a_child_is_started_again_only_if_it_died_of_the_probe(
    tmp_path: Path, word: str, starts: int
) -> None:
    counted = tmp_path / "starts"
    words = [word, f"starts={counted}", *([] if word == "old" else ["legacy"])]
    async with opened(command=command(*words)) as connection:
        if word == "old":
            await connection.connect()
        else:
            with pytest.raises(MCPConnectionError, match="1999-01-01"):
                await connection.connect()
    assert counted.read_text().count("started") == starts


async def test_an_event_above_the_limit_is_told_as_that() -> None:
    async with (
        reach("http modern", "sse") as server,
        opened(server.http.url, max_message_bytes=LIMIT) as connection,
    ):
        with pytest.raises(MCPToolError, match=f"more than {LIMIT} bytes") as caught:
            await connection.call_tool("large", {"bytes": LIMIT * 4}, may_resend=True)
        assert "went away" not in str(caught.value)
        assert server.http.calls("large") == 1


@pytest.mark.parametrize("kind", ["sse legacy", "sse modern"])
async def test_a_stream_that_ends_for_its_size_is_told_as_that(kind: str) -> None:
    async with reach(kind) as server:
        url = server.options["base_url"]
        async with opened(url, max_message_bytes=LIMIT, transport="sse") as connection:
            with pytest.raises(MCPConnectionError, match=f"more than {LIMIT} bytes") as caught:
                await connection.call_tool("large", {"bytes": LIMIT * 4}, may_resend=True)
            assert "went away" not in str(caught.value)
            assert server.http.calls("large") == 1
            await until(lambda: connection.state != "connected")

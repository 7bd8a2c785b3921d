"""The blocking MCP client: without an event loop, inside one, and at the interpreter's end."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import SOURCES, children, fault_server, free_port, is_alive

from mbxai.errors import ConfigurationError, MCPConnectionError
from mbxai.mcp import MCPClient


def run_program(body: str) -> str:
    program = f"""
import sys
from support.mcp_model import NoModel
from support.mcp_processes import children, fault_server
{textwrap.dedent(body)}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **SOURCES},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_server_is_registered_and_used_without_an_event_loop() -> None:
    before = children()
    with MCPClient(NoModel()) as client:
        assert client.register_mcp_server("fault", command=fault_server()) == ["good"]
        result = client.call_tool("good", '{"x": 1}', call_id="c")
        assert (result.content, result.is_error, result.call_id) == ('{"x": 1}', False, "c")
        assert [info.source for info in client.tool_infos()] == ["fault"]
        assert client.async_client.registry is client.registry
    assert children() <= before


def test_many_threads_share_one_connection() -> None:
    results: list[str] = []
    with MCPClient(NoModel()) as client:
        client.register_mcp_server("fault", command=fault_server())
        before = children()

        def use() -> None:
            results.append(client.call_tool("good", "{}").content)

        threads = [threading.Thread(target=use) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert results == ["{}"] * 10
        assert children() == before


def test_what_cannot_work_is_a_typed_error() -> None:
    with MCPClient(NoModel()) as client:
        with pytest.raises(MCPConnectionError, match="could not be reached"):
            client.register_mcp_server("gone", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ConfigurationError, match="not one string"):
            client.register_mcp_server("gone", command="python server.py")


def test_importing_loads_neither_the_protocol_nor_its_http_client() -> None:
    output = run_program(
        """
        import mbxai.mcp
        import mbxai.mcp.client
        import mbxai.mcp.server
        slow = {"mcp", "mcp_types", "httpx2", "starlette", "fastapi", "uvicorn", "jsonschema"}
        print(sorted(slow & set(sys.modules)))
        """
    )
    assert output == "[]\n"


def test_a_client_that_is_never_closed_leaves_no_child_and_does_not_hang() -> None:
    started = time.monotonic()
    output = run_program(
        """
        from mbxai.mcp import MCPClient
        client = MCPClient(NoModel())
        client.register_mcp_server("fault", command=fault_server())
        print(*children())
        """
    )
    assert time.monotonic() - started < 20
    (pid,) = map(int, output.split())
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_without_fastapi_the_error_names_the_extra_and_the_other_way() -> None:
    output = run_program(
        """
        from mbxai.errors import ConfigurationError
        from mbxai.mcp import MCPServer
        sys.modules["fastapi"] = None
        server = MCPServer("s")
        server.asgi_app()
        try:
            server.app
        except ConfigurationError as error:
            print(error)
        """
    )
    assert "mbxai[fastapi]" in output
    assert "asgi_app" in output


def test_a_forked_child_makes_a_connection_of_its_own() -> None:
    output = run_program(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork
        from mbxai.mcp import MCPClient
        client = MCPClient(NoModel())
        client.register_mcp_server("fault", command=fault_server())
        (server,) = children()
        pid = os.fork()
        if pid == 0:
            result = client.call_tool("good", '{"x": 1}')
            client.close()
            own = len(children())
            os._exit(0 if result.content == '{"x": 1}' and own == 0 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(client.call_tool("good", '{"x": null}').content)
        print(server in children())
        client.close()
        print(children())
        """
    )
    assert output == '0\n{"x": null}\nTrue\nset()\n'

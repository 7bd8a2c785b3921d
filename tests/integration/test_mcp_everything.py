"""The reference server of the protocol, on Node, over all of its transports."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import children, free_port, wait_for_port
from support.node_servers import everything_command

from mbxai.mcp import AsyncMCPClient


@pytest.fixture(scope="module")
def everything() -> list[str]:
    return everything_command()


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    before = children()
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened
    assert children() <= before, "a child process was left behind"


@contextmanager
def served(command: list[str], transport: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [*command, transport],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


async def call(client: AsyncMCPClient, name: str, /, **arguments: Any) -> str:
    result = await client.call_tool(name, json.dumps(arguments))
    assert not result.is_error, result.content
    return result.content


async def use(client: AsyncMCPClient) -> None:
    assert await call(client, "echo", message="hi") == "Echo: hi"
    assert await call(client, "get-sum", a=1, b=2) == "The sum of 1 and 2 is 3."


@pytest.mark.timeout(330)  # the first run installs the server
async def test_it_is_used_over_stdio(client: AsyncMCPClient, everything: list[str]) -> None:
    names = await client.register_mcp_server("everything", command=[*everything, "stdio"])
    assert {"echo", "get-sum", "get-tiny-image", "get-structured-content"} <= set(names)
    await use(client)


@pytest.mark.timeout(330)
async def test_it_is_used_over_streamable_http(
    client: AsyncMCPClient, everything: list[str]
) -> None:
    with served(everything, "streamableHttp") as port:
        await client.register_mcp_server("everything", f"http://127.0.0.1:{port}")
        await use(client)
        await client.aclose()


@pytest.mark.timeout(330)
async def test_it_is_used_over_the_older_transport(
    client: AsyncMCPClient, everything: list[str]
) -> None:
    with served(everything, "sse") as port:
        await client.register_mcp_server("everything", f"http://127.0.0.1:{port}")
        await use(client)
        await client.aclose()


@pytest.mark.timeout(330)
async def test_every_kind_of_content_becomes_text(
    client: AsyncMCPClient, everything: list[str]
) -> None:
    await client.register_mcp_server("everything", command=[*everything, "stdio"])
    assert "[image, image/png, " in await call(client, "get-tiny-image")
    links = await call(client, "get-resource-links", count=2)
    assert "<demo://resource/dynamic/text/2>" in links
    reference = await call(client, "get-resource-reference", resourceType="Text", resourceId=1)
    assert "This is a plaintext resource" in reference
    result = await client.call_tool("get-structured-content", '{"location": "New York"}')
    assert isinstance(result.value, dict)
    assert set(result.value) == {"temperature", "conditions", "humidity"}


@pytest.mark.timeout(330)
async def test_its_environment_holds_no_key_of_ours(
    client: AsyncMCPClient, everything: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-not-for-you")
    await client.register_mcp_server("everything", command=[*everything, "stdio"])
    assert "OPENROUTER" not in await call(client, "get-env")

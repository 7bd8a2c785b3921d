"""A client of the protocol that is not ours: the protocol package's own, and raw JSON-RPC."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.mcp_processes import SOURCES, free_port, wait_for_port

PROGRAM = [sys.executable, str(Path(__file__).resolve().parent / "mcp_served_program.py")]
MODERN = "2026-07-28"


@asynccontextmanager
async def stdio_peer(
    *,
    mode: str = "auto",
    elicit: Callable[[str], dict[str, Any]] | None = None,
    sample: str = "",
    roots: str = "",
    told: Callable[[Any], Awaitable[None]] | None = None,
    flavour: str = "stdio",
) -> AsyncIterator[Any]:
    """A client of `mcp_served_program.py stdio`; answers what it is given answers for."""
    from mcp.client.stdio import StdioServerParameters

    command, *arguments = [*PROGRAM, flavour]
    server = StdioServerParameters(command=command, args=arguments, env=SOURCES)
    async with peer(
        server, mode=mode, elicit=elicit, sample=sample, roots=roots, told=told
    ) as client:
        yield client


@asynccontextmanager
async def peer(
    server: Any,
    *,
    mode: str = "auto",
    elicit: Callable[[str], dict[str, Any]] | None = None,
    sample: str = "",
    roots: str = "",
    told: Callable[[Any], Awaitable[None]] | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A client of any server."""
    import mcp_types as types
    from mcp import Client

    async def elicited(context: Any, params: Any) -> Any:
        assert elicit is not None
        return types.ElicitResult(action="accept", content=elicit(params.message))

    async def sampled(context: Any, params: Any) -> Any:
        content = types.TextContent(text=f"{sample} ({params.system_prompt})")
        return types.CreateMessageResult(role="assistant", model="m", content=content)

    async def listed(context: Any) -> Any:
        return types.ListRootsResult(roots=[types.Root(uri=roots)])

    async with Client(
        server,
        mode=mode,
        read_timeout_seconds=20.0,
        elicitation_callback=elicited if elicit else None,
        sampling_callback=sampled if sample else None,
        list_roots_callback=listed if roots else None,
        message_handler=told,
        **options,
    ) as client:
        yield client


@contextmanager
def served(flavour: str = "http") -> Iterator[str]:
    """The base URL of `mcp_served_program.py http`."""
    port = free_port()
    process = subprocess.Popen(
        [*PROGRAM, flavour, str(port)],
        env={**os.environ, **SOURCES},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process, 30.0)
        yield f"http://localhost:{port}"
    finally:
        process.kill()
        process.wait()


async def post(url: str, method: str, params: dict[str, Any], **headers: str) -> httpx.Response:
    """One request of the newest version of the protocol."""
    capabilities = params.pop("capabilities", {})
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        **params.pop("_meta", {}),
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    named = params.get("name") or params.get("uri")
    routing = {"mcp-name": named} if named else {}
    async with httpx.AsyncClient(timeout=10.0) as client:
        return await client.post(
            url,
            json=body,
            headers={
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": MODERN,
                "mcp-method": method,
                **routing,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )


async def call(url: str, tool: str, params: dict[str, Any] | None = None, **headers: str) -> Any:
    """Call a tool in the newest version; returns the JSON of the answer."""
    given = {"name": tool, "arguments": {}, **(params or {})}
    return (await post(url, "tools/call", given, **headers)).json()

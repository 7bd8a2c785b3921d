"""HTTP servers that misbehave, in this process; plain sockets of asyncio, no framework."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What a server was asked.

    Attributes:
        port: Where it listens.
        requests: First line and headers of each request, in lower case.
    """

    port: int
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def answering(status: str | None, body: bytes = b"no") -> AsyncIterator[Seen]:
    """A server that gives every request the same answer.

    Args:
        status: Status line, for example "404 Not Found"; None never answers.
        body: The body of the answer.
    """
    seen = Seen(0)
    waiting: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        waiting.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            seen.requests.append(head)
            if status is None:
                await asyncio.Event().wait()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            waiting.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def dying_in_a_resumable_answer() -> AsyncIterator[Seen]:
    """A server of the older protocol that dies while it answers the first call of a tool.

    The answer has begun with an event id, so the client may ask for the rest of it.
    """
    seen = Seen(0)
    tool = {"name": "good", "inputSchema": {"type": "object"}}
    results = {
        "initialize": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "dying", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
            message = json.loads(await reader.readexactly(length) or b"{}")
            method = message.get("method", "")
            seen.requests.append(method or head.split()[0])
            if method == "tools/call":
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                    b"id: 1\nretry: 10\ndata:\n\n"
                )
                await writer.drain()
                server.close()
                return
            status, body = "202 Accepted", b""
            if "id" in message:
                answer = {"jsonrpc": "2.0", "id": message["id"], "result": results[method]}
                status, body = "200 OK", json.dumps(answer).encode()
            elif not message:
                status = "405 Method Not Allowed"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Mcp-Session-Id: s1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()

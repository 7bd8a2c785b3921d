"""HTTP servers that misbehave, in this process; plain sockets of asyncio, no framework."""

import asyncio
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

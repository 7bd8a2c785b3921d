"""HTTP servers that misbehave, in this process; plain sockets of asyncio, no framework."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from support.mcp_modern_fault_server import Peer

PIECE_BYTES = 1024 * 1024


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


@dataclass(frozen=True)
class _Head:
    method: str
    path: str
    headers: dict[str, str]


class Site:
    """A server of either era that misbehaves, may be killed and comes back on its port.

    It speaks streamable HTTP at `/mcp` and the older SSE at `/sse`. What it says is up to
    `mcp_modern_fault_server.Peer`; of its words these are for HTTP:

        sse             answers in server-sent events, not in JSON
        sessionless     gives no session id in the older protocol

    Attributes:
        port: Where it listens.
        words: How it misbehaves; may be changed before it comes back.
        log: All messages that it got, in all its lives.
        heads: Method, path and lower-case headers of all requests.
        faults: What to answer requests of these methods of the protocol with, under "" all the
            others: a status line, or status line, media type and body.
    """

    def __init__(self, *words: str) -> None:
        self.port = 0
        self.words = list(words)
        self.log: list[dict[str, Any]] = []
        self.heads: list[_Head] = []
        self.faults: dict[str, str | tuple[str, str, bytes]] = {}
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._waiting: dict[Any, asyncio.Queue[dict[str, Any]]] = {}
        self._peers: dict[str, Peer] = {}

    @property
    def url(self) -> str:
        """Where it speaks streamable HTTP."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def calls(self, name: str) -> int:
        """How often a tool was called, in all its lives."""
        return sum((m.get("params") or {}).get("name") == name for m in self.log)

    def methods(self) -> list[str]:
        """The methods of all messages, in all its lives."""
        return [str(m.get("method", "")) for m in self.log]

    async def start(self) -> None:
        """Listen, at the port of its former life if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Die like a killed process: all connections are reset, all sessions forgotten."""
        if self._server is not None:
            self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        self.forget()

    def forget(self) -> None:
        """Forget all sessions."""
        self._peers.clear()

    async def stop(self) -> None:
        """Die, and wait for it."""
        self.kill()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _new_peer(self, session: str) -> Peer:
        def send(message: dict[str, Any], related: Any) -> None:
            queue = self._waiting.get((session, related)) or self._waiting.get((session, None))
            if queue is not None:
                queue.put_nowait(message)

        peer = self._peers[session] = Peer(self.words, send, self.kill)
        peer.seen = self.log
        return peer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self._serving[task]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = _read_head((await reader.readuntil(b"\r\n\r\n")).decode())
        body = await reader.readexactly(int(head.headers.get("content-length", 0)))
        self.heads.append(head)
        message = json.loads(body) if body else {}
        fault = self.faults.get(message.get("method", head.method), self.faults.get(""))
        if fault is not None:
            plain = (fault, "text/plain", b"no") if isinstance(fault, str) else fault
            status, kind, body = plain
            return await _write(writer, status, body, kind=kind)
        if head.method == "GET":
            return await self._push(head, reader, writer)
        if head.method == "DELETE":
            self._peers.pop(head.headers.get("mcp-session-id", ""), None)
            return await _write(writer, "200 OK")
        if head.path.startswith("/sse/"):
            peer = self._peers.get(head.path)
            status = "202 Accepted" if peer is not None else "404 Not Found"
            await _write(writer, status)
            if peer is not None:
                peer.receive(message)
            return True
        return await self._post(head, message, reader, writer)

    async def _post(
        self,
        head: _Head,
        message: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        peer, session = self._peer_of(head, message)
        if peer is None:
            return await _write(writer, "404 Not Found")
        ident = message.get("id")
        if ident is None or "method" not in message:
            peer.receive(message)
            return await _write(writer, "202 Accepted")
        queue = self._waiting[session, ident] = asyncio.Queue()
        peer.receive(message)
        try:
            is_new = message["method"] == "initialize" and "sessionless" not in self.words
            name = f"Mcp-Session-Id: {session}\r\n" if is_new else ""
            return await self._reply(queue, ident, name, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            peer.abandon(ident)
            raise
        finally:
            self._waiting.pop((session, ident), None)

    def _peer_of(self, head: _Head, message: dict[str, Any]) -> tuple[Peer | None, str]:
        session = head.headers.get("mcp-session-id", "")
        if session:
            return self._peers.get(session), session
        if message.get("method") == "initialize" and "sessionless" not in self.words:
            session = f"s{len(self.heads)}"
        return self._peers.get(session) or self._new_peer(session), session

    async def _reply(
        self,
        queue: "asyncio.Queue[dict[str, Any]]",
        ident: Any,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        message = await _next(queue, reader)
        if message.get("id") == ident and "method" not in message and "sse" not in self.words:
            return await _write(writer, "200 OK", json.dumps(message).encode(), name=name)
        await _begin_events(writer, name)
        while True:
            await _write_pieces(writer, f"data: {json.dumps(message)}\n\n".encode())
            if message.get("id") == ident and "method" not in message:
                return False
            message = await _next(queue, reader)

    async def _push(
        self, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Keep a stream open for what the server says by itself."""
        session = head.headers.get("mcp-session-id", "")
        is_old = head.path == "/sse"
        if is_old:
            session = f"/sse/{len(self.heads)}"
            self._new_peer(session)
        elif session not in self._peers:
            return await _write(writer, "405 Method Not Allowed")
        queue = self._waiting[session, None] = asyncio.Queue()
        try:
            await _begin_events(writer, "")
            if is_old:
                writer.write(f"event: endpoint\ndata: {session}\n\n".encode())
            await writer.drain()
            while True:
                message = json.dumps(await _next(queue, reader))
                await _write_pieces(writer, f"event: message\ndata: {message}\n\n".encode())
        finally:
            if self._waiting.get((session, None)) is queue:
                del self._waiting[session, None]


@asynccontextmanager
async def site(*words: str) -> AsyncIterator[Site]:
    """A running `Site`."""
    server = Site(*words)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _read_head(text: str) -> _Head:
    first, *lines = text.split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    method, path, _ = first.split()
    return _Head(method, path, {key.lower(): value.strip() for key, _, value in pairs})


async def _next(
    queue: "asyncio.Queue[dict[str, Any]]", reader: asyncio.StreamReader
) -> dict[str, Any]:
    """The next message to send, unless the client hangs up first."""
    message = asyncio.ensure_future(queue.get())
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({message, gone}, return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            return message.result()
        raise ConnectionResetError
    finally:
        for task in (message, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await gone


async def _begin_events(writer: asyncio.StreamWriter, name: str) -> None:
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{name}"
        "Connection: close\r\n\r\n".encode()
    )
    await writer.drain()


async def _write(
    writer: asyncio.StreamWriter,
    status: str,
    body: bytes = b"",
    *,
    kind: str = "application/json",
    name: str = "",
) -> bool:
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{name}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    await _write_pieces(writer, body)
    return True


async def _write_pieces(writer: asyncio.StreamWriter, body: bytes) -> None:
    for start in range(0, len(body), PIECE_BYTES):
        writer.write(body[start : start + PIECE_BYTES])
        await writer.drain()
    await writer.drain()

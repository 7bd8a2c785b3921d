"""An HTTP server that says whatever a test wants in the middle of a call; plain sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

SESSION = "s1"
MODERN = "2026-07-28"
_WORDS = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_INFO = {"capabilities": {"tools": {}}, "serverInfo": {"name": "asking", "version": "1"}}


def question(ident: str, text: str) -> Message:
    """A question to a person, with one field `ok`."""
    form = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    params = {"message": text, "requestedSchema": form}
    return {"jsonrpc": "2.0", "id": ident, "method": "elicitation/create", "params": params}


def ping(ident: str) -> Message:
    """A request that is answered at once."""
    return {"jsonrpc": "2.0", "id": ident, "method": "ping"}


def withdrawn(ident: str) -> Message:
    """Word that the answer to a question is wanted no more."""
    params = {"requestId": ident}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


class Exchange:
    """One message of the client and the way to answer it."""

    def __init__(self, writer: asyncio.StreamWriter, message: Message) -> None:
        self.writer = writer
        self.message = message
        self.tool = str((message.get("params") or {}).get("name", ""))

    def answer(self, status: str, body: bytes = b"", headers: str = "") -> None:
        """Answer with a whole body."""
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def result(self, result: Message, headers: str = "") -> None:
        """Answer a request."""
        self.answer("200 OK", self._encoded({"result": result}), headers)

    def error(self, code: int, text: str, status: str = "200 OK") -> None:
        """Refuse a request."""
        self.answer(status, self._encoded({"error": {"code": code, "message": text}}))

    def done(self) -> None:
        """Answer a call."""
        self.result({**_WORDS, "content": [{"type": "text", "text": "done"}]})

    async def tell(self, *messages: Message) -> None:
        """Send events; the first ones begin the answer."""
        if not hasattr(self, "_has_begun"):
            self._has_begun = True
            self.writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
        for message in messages:
            event = f"event: message\ndata: {json.dumps(message)}\n\n".encode()
            self.writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        await self.writer.drain()

    async def end(self, result: Message | None = None) -> None:
        """End the events, with the answer or without."""
        if result is not None:
            await self.tell({"jsonrpc": "2.0", "id": self.message["id"], "result": result})
        self.writer.write(b"0\r\n\r\n")

    def _encoded(self, said: Message) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": self.message["id"], **said}).encode()


Act: TypeAlias = Callable[["AskingServer", Exchange], Awaitable[None]]


class AskingServer:
    """A server that speaks streamable HTTP of both eras.

    Attributes:
        port: Where it listens.
        log: The methods of all messages that it got; empty for an answer.
        calls: All calls of tools.
        answers: All answers to its own requests.
        at_answer: What is done with an answer; None accepts it.
    """

    def __init__(self, at_call: Act) -> None:
        self.port = 0
        self.log: list[str] = []
        self.calls: list[Message] = []
        self.answers: list[Message] = []
        self.at_answer: Act | None = None
        self._at_call = at_call
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._news = asyncio.Condition()

    async def answered(self, count: int) -> None:
        """Wait until it has got so many answers."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.answers) >= count)

    async def start(self) -> None:
        """Listen, at the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self, but: asyncio.StreamWriter | None = None) -> None:
        """Take no more connections, and leave only one of those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            if writer is not but:
                writer.close()

    async def stop(self) -> None:
        """End."""
        tasks = [task for task in self._writers.values() if task is not None]
        self.shut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = asyncio.current_task()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
                body = await reader.readexactly(length)
                exchange = Exchange(writer, json.loads(body) if body else {})
                if head.startswith("post"):
                    await self._answer(exchange)
                else:
                    exchange.answer("405 Method Not Allowed")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    async def _answer(self, exchange: Exchange) -> None:
        message = exchange.message
        method = str(message.get("method", ""))
        self.log.append(method)
        if method == "tools/call":
            self.calls.append(message)
            await self._at_call(self, exchange)
        elif method == "initialize":
            given = {"protocolVersion": "2025-11-25", **_INFO}
            exchange.result(given, f"Mcp-Session-Id: {SESSION}\r\n")
        elif method == "server/discover":
            exchange.result({**_WORDS, **_INFO, "supportedVersions": [MODERN]})
        elif not method:
            async with self._news:
                self.answers.append(message)
                self._news.notify_all()
            if self.at_answer is not None:
                await self.at_answer(self, exchange)
            else:
                exchange.answer("202 Accepted")
        elif "id" in message:
            exchange.result({})
        else:
            exchange.answer("202 Accepted")


@asynccontextmanager
async def asking(at_call: Act) -> AsyncIterator[AskingServer]:
    """A server that does this at a call."""
    server = AskingServer(at_call)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

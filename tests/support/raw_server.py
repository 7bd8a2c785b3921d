"""A raw server in a process of its own, with scripted answers: bytes, waits, drops, garbage.

It speaks just enough HTTP/1.1 to read a request. What it answers is up to the script, byte by byte,
so that it can be as wrong as a test needs. Being another process, it sees connections close.
"""

import asyncio
import base64
import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Self

HEAD = "HTTP/1.1 {status} {reason}\r\n"


def answer(
    body: "bytes | str | dict[str, Any] | list[Any]" = b"",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> list[dict[str, Any]]:
    """Steps of a well-formed answer."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    raw = body.encode() if isinstance(body, str) else body
    head = HEAD.format(status=status, reason="X") + "".join(
        f"{name}: {value}\r\n"
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(raw)),
            **(headers or {}),
        }.items()
    )
    return [send(head.encode() + b"\r\n" + raw)]


def completion(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A whole completion."""
    message = {"role": "assistant", "content": text} | fields.pop("message", {})
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": "openai/gpt-4.1",
        "provider": "OpenAI",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "stop"} | fields.pop("choice", {})
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost": 0.001},
        **fields,
    }


def chunk(text: str | None = None, *, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    delta: dict[str, Any] = fields.pop("delta", {} if text is None else {"content": text})
    return {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "openai/gpt-4.1",
        "provider": "OpenAI",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **fields,
    }


USAGE_CHUNK = {
    "id": "gen-1",
    "model": "openai/gpt-4.1",
    "choices": [],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost": 0.001},
}


def events(*payloads: "dict[str, Any] | str", done: bool = True) -> bytes:
    """Server-sent events; a string is a raw line (a comment)."""
    blocks = [item if isinstance(item, str) else f"data: {json.dumps(item)}" for item in payloads]
    if done:
        blocks.append("data: [DONE]")
    return "".join(f"{block}\n\n" for block in blocks).encode()


def sse_head(headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The head of a chunked event stream; follow with `part` and `end`."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return send(
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{extra}"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )


def part(data: bytes) -> dict[str, Any]:
    """One HTTP chunk."""
    return send(b"%x\r\n%s\r\n" % (len(data), data))


def end() -> dict[str, Any]:
    """The end of a chunked body."""
    return send(b"0\r\n\r\n")


def stream(
    *payloads: "dict[str, Any] | str", done: bool = True, **kwargs: Any
) -> list[dict[str, Any]]:
    """Steps of a well-formed streamed answer."""
    return [sse_head(**kwargs), part(events(*payloads, done=done)), end()]


def send(data: bytes) -> dict[str, Any]:
    """Write bytes."""
    return {"send": base64.b64encode(data).decode()}


def repeat(data: bytes, times: int) -> dict[str, Any]:
    """Write the same bytes again and again, as fast as the client takes them."""
    return {**send(data), "times": times}


def wait(seconds: float) -> dict[str, Any]:
    """Do nothing for a while."""
    return {"wait": seconds}


def drop(*, reset: bool = False) -> dict[str, Any]:
    """Close the connection now."""
    return {"drop": "reset" if reset else "close"}


def hang() -> dict[str, Any]:
    """Do nothing until the client goes away."""
    return {"hang": True}


@dataclass
class Seen:
    """What the server saw."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    disconnects: int = 0  # clients that left during `hang` or `wait`
    sent_bytes: int = 0  # handed to the operating system, which holds a few megabytes back


class RawServer:
    """Starts the process; a script is a list of answers, an answer a list of steps.

    The last answer of the script is repeated for all further requests.
    """

    def __init__(self, *script: list[dict[str, Any]], tls: "tuple[str, str] | None" = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *(tls or ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._process.stdout.readline())
        self.scheme = "https" if tls else "http"
        if script:
            self.script(*script)

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/api/v1"

    def script(self, *script: list[dict[str, Any]]) -> None:
        """Replace the script and forget what was seen."""
        self._command({"script": list(script)})

    def seen(self) -> Seen:
        return Seen(**self._command({"seen": True}))

    def wait_for(self, condition, seconds: float = 5.0) -> Seen:
        """Poll what was seen until the condition holds."""
        until = time.monotonic() + seconds
        while not condition(seen := self.seen()):
            if time.monotonic() > until:
                raise AssertionError(f"not seen within {seconds} s: {seen}")
            time.sleep(0.01)
        return seen

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _command(self, command: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class _Server:
    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: list[list[dict[str, Any]]] = []
        self.seen = Seen()
        self.context = context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.connections += 1
        self.seen.open_connections += 1
        connection = self.seen.connections
        try:
            if self.context is not None:
                # Not by the listener, which would count only those that trust the certificate.
                await writer.start_tls(self.context)
            while await self._answer_one(reader, writer, connection):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self.seen.open_connections -= 1
            writer.close()

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name:
                headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        number = len(self.seen.requests)
        self.seen.requests.append(
            {
                "start": start,
                "headers": headers,
                "body": body.decode("utf-8", "replace"),
                "connection": connection,  # 1 for the first one since the script was set
                "at": time.monotonic(),
            }
        )
        for step in self.answers[min(number, len(self.answers) - 1)] if self.answers else ():
            if "send" in step:
                data = base64.b64decode(step["send"])
                for _ in range(step.get("times", 1)):
                    writer.write(data)
                    await writer.drain()
                    self.seen.sent_bytes += len(data)
            elif "drop" in step:
                if step["drop"] == "reset":
                    writer.transport.abort()
                return False
            elif await self._gone(reader, step.get("wait", 3600.0)):
                self.seen.disconnects += 1
                return False
        return True

    async def _gone(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Wait; true if the client closed the connection meanwhile."""
        try:
            return await asyncio.wait_for(reader.read(1), seconds) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def obey(self, command: dict[str, Any]) -> Any:
        if "script" in command:
            self.answers = command["script"]
            open_now = self.seen.open_connections
            self.seen = Seen(open_connections=open_now)
            return True
        return vars(self.seen)


async def _main(tls: list[str]) -> None:
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    server = _Server(context)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**22, backlog=1000)
    print(listener.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        print(json.dumps(server.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))

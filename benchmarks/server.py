"""A fast loopback server; it speaks just enough HTTP/1.1 and has all its answers ready.

The model named in a request chooses the answer:

    bench/call            a completion of 1 KB
    bench/call-50         the same 50 ms later
    bench/typed           a completion with 4 KB of JSON
    bench/stream-200-one  200 chunks in one write
    bench/stream-200-sep  200 chunks, a write each
    bench/stream-100-5    100 chunks, one every 5 ms
    bench/tools           eight tool calls, then eight others, then text; streamed on request

`GET /stats` tells how many connections and requests are open now, and the most requests at a time
since the last `GET /stats`.

    python benchmarks/server.py    prints its port and serves until its input ends
"""

import asyncio
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from answers import (
    REPORT,
    TEXT,
    completion,
    events,
    rounds_done,
    tool_call_events,
    tool_calls,
)
from lookups import ROUNDS

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\nX-Generation-Id: gen-1751000000-benchmark\r\n\r\n"
)


class Server:
    """Starts the server in a process of its own."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()


class Connection(asyncio.Protocol):
    """Answers one request after the other and keeps the connection."""

    open_connections = 0
    open_requests = 0
    most_requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Connection.open_connections += 1
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._received = b""
        self._is_answering = False

    def connection_lost(self, _error: Exception | None) -> None:
        Connection.open_connections -= 1
        self._end_request()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            start = self._received.find(b"content-length:", 0, end)
            if start < 0:
                start = self._received[:end].lower().find(b"content-length:")
            length = 0 if start < 0 else int(self._received[start + 15 : end].split(b"\r", 1)[0])
            end += 4 + length
            if len(self._received) < end:
                return
            request, self._received = self._received[:end], self._received[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        start = request.find(b"bench/")
        if start < 0:
            self._transport.write(_whole(self._stats()))
            return
        self._is_answering = True
        Connection.open_requests += 1
        Connection.most_requests = max(Connection.most_requests, Connection.open_requests)
        kind, *numbers = request[start + 6 : request.index(b'"', start)].split(b"-")
        if kind == b"stream":
            self._stream(int(numbers[0]), numbers[1])
        elif kind == b"tools":
            self._end_request()
            self._transport.write(_tool_answer(request.partition(b"\r\n\r\n")[2]))
        elif numbers:
            self._loop.call_later(int(numbers[0]) / 1000, self._write_whole, kind)
        else:
            self._write_whole(kind)

    def _write_whole(self, kind: bytes) -> None:
        self._end_request()
        if not self._transport.is_closing():
            self._transport.write(_ANSWERS[kind])

    def _stream(self, chunks: int, manner: bytes) -> None:
        pieces = _stream_pieces(chunks)
        if manner == b"one":
            self._end_request()
            self._transport.write(_stream_at_once(chunks))
        elif manner == b"sep":
            self._end_request()
            for piece in pieces:
                self._transport.write(piece)
        else:
            self._write_next(pieces, 0, self._loop.time(), int(manner) / 1000)

    def _write_next(self, pieces: list[bytes], place: int, began: float, pause: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(pieces[place])
        if place + 1 == len(pieces):
            self._end_request()
            return
        due = began + pause * (place + 1)
        self._loop.call_at(due, self._write_next, pieces, place + 1, began, pause)

    def _end_request(self) -> None:
        if self._is_answering:
            self._is_answering = False
            Connection.open_requests -= 1

    def _stats(self) -> bytes:
        most, Connection.most_requests = Connection.most_requests, Connection.open_requests
        stats = {
            "open_connections": Connection.open_connections - 1,  # without the one that asks
            "open_requests": Connection.open_requests,
            "most_requests": most,
        }
        return json.dumps(stats).encode()


def _whole(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _tool_answer(body: bytes) -> bytes:
    """What comes next in a tool loop: the conversation that the client has sent decides."""
    request = json.loads(body)
    number = rounds_done(request["messages"])
    if number is None or len(request["tools"]) != len(ROUNDS[0]):
        refusal = {"error": {"code": 400, "message": "Results or tools are missing or wrong."}}
        return _whole(json.dumps(refusal).encode(), b"400 Bad Request")
    return _tool_answers(is_streamed=bool(request.get("stream")))[number]


@functools.cache
def _stream_pieces(chunks: int) -> list[bytes]:
    return _pieces(events(chunks))


def _pieces(streamed: list[bytes]) -> list[bytes]:
    # The head goes with the comment that OpenRouter sends first, the end with `[DONE]`.
    first, *between, last = (b"%x\r\n%s\r\n" % (len(event), event) for event in streamed)
    return [_STREAM_HEAD + first, *between, last + b"0\r\n\r\n"]


@functools.cache
def _stream_at_once(chunks: int) -> bytes:
    return b"".join(_stream_pieces(chunks))


@functools.cache
def _tool_answers(*, is_streamed: bool) -> list[bytes]:
    numbers = range(len(ROUNDS))
    if not is_streamed:
        calls = [_whole(completion(None, tool_calls(number))) for number in numbers]
        return [*calls, _ANSWERS[b"call"]]
    rounds = [tool_call_events(number) for number in numbers]
    return [b"".join(_pieces(each)) for each in rounds] + [_stream_at_once(20)]


_ANSWERS = {
    b"call": _whole(completion(TEXT)),
    b"typed": _whole(completion(json.dumps(REPORT))),
}


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())

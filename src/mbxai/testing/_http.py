"""HTTP/1.1 on asyncio streams, as much as the fake server needs; knows nothing of OpenRouter."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
_SLICE_SECONDS: Final = 0.02


class MalformedRequestError(ValueError):
    """The client sent no HTTP request."""


class ClientGoneError(ConnectionError):
    """The client closed the connection before it had the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: In upper case.
        target: Path and query as sent.
        headers: Names in lower case; repeated ones joined by a comma.
        body: Bytes; empty if there is none.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client will send another request."""
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer.

    Attributes:
        status: HTTP status.
        headers: Headers, framing excepted.
        pieces: The body, written piece by piece.
        chunked: Whether it is sent with chunked framing, else with a length.
        piece_delay: Seconds between two pieces.
        stall_after: Bytes of the body before the silence; None for no silence.
        stall_seconds: How long the silence is.
        cut_after: Bytes of the body after which the connection is closed; None sends all.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    pieces: Iterable[bytes] = ()
    chunked: bool = False
    piece_delay: float = 0.0
    stall_after: int | None = None
    stall_seconds: float = 0.0
    cut_after: int | None = None


class Connection:
    """One client's connection: requests in, answers out, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the two ends."""
        self._reader = reader
        self._writer = writer

    async def receive(self) -> Request | None:
        """Return the next request; None when the client is done.

        Raises:
            MalformedRequestError: What came is no request, or is too large.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise MalformedRequestError("The head of the request is too large.") from error
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3:
            raise MalformedRequestError("The first line is no request line.")
        headers: dict[str, str] = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._body(headers)
        return Request(method=words[0].upper(), target=words[1], headers=headers, body=body)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self._chunked_body()
        length = _number(headers.get("content-length", "0"), base=10)
        if not 0 <= length <= MAX_BODY_BYTES:
            raise MalformedRequestError("The body is too large.")
        return await self._reader.readexactly(length)

    async def _chunked_body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            line = await self._line()
            length = _number(line.partition(b";")[0].decode("latin-1"), base=16)
            size += length
            if size > MAX_BODY_BYTES:
                raise MalformedRequestError("The body is too large.")
            if length == 0:
                break
            parts.append((await self._reader.readexactly(length + 2))[:-2])
        while await self._line() != b"\r\n":
            pass  # trailers
        return b"".join(parts)

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            raise MalformedRequestError("A line of the body is too long.") from error

    async def send(self, response: Response, *, body_wanted: bool = True) -> None:
        """Write the answer.

        Args:
            response: What to write.
            body_wanted: False answers a HEAD request.

        Raises:
            ClientGoneError: The client left before the end, or the answer says to cut it.
        """
        pieces = response.pieces
        if not response.chunked:
            pieces = [b"".join(pieces)]
        if response.stall_after == 0:
            await self.pause(response.stall_seconds)
        if response.cut_after == 0:
            raise ClientGoneError
        await self._write(_head(response, pieces))
        sent = 0
        for at, piece in enumerate(pieces if body_wanted else ()):
            if at:
                await self.pause(response.piece_delay)
            await self._write_piece(piece, sent, response)
            sent += len(piece)
        if response.chunked and body_wanted:
            await self._write(b"0\r\n\r\n")

    async def _write_piece(self, piece: bytes, sent: int, response: Response) -> None:
        def frame(data: bytes) -> bytes:
            return b"%x\r\n%s\r\n" % (len(data), data) if response.chunked and data else data

        cut, stall = response.cut_after, response.stall_after
        if cut is not None and sent + len(piece) >= cut:
            await self._write(frame(piece[: cut - sent]))
            raise ClientGoneError
        if stall and sent < stall <= sent + len(piece):
            await self._write(frame(piece[: stall - sent]))
            await self.pause(response.stall_seconds)
            piece = piece[stall - sent :]
        await self._write(frame(piece))

    async def _write(self, data: bytes) -> None:
        if self._reader.at_eof() or self._writer.is_closing():
            raise ClientGoneError
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise ClientGoneError from error

    async def pause(self, seconds: float) -> None:
        """Wait, but not for a client that has gone.

        Raises:
            ClientGoneError: The client closed the connection meanwhile.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0:
            if self._reader.at_eof() or self._writer.is_closing():
                raise ClientGoneError
            # This process has its own loop and nothing but the standard library.
            await asyncio.sleep(min(left, _SLICE_SECONDS))  # noqa: TID251

    def abort(self) -> None:
        """Break the connection off; what was not sent is lost."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what is written and close the connection."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _number(text: str, *, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise MalformedRequestError("The length of the body is no number.") from error


def _head(response: Response, pieces: Iterable[bytes]) -> bytes:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.chunked:
        lines.append("Transfer-Encoding: chunked")
    elif response.status not in {204, 304}:
        lines.append(f"Content-Length: {sum(map(len, pieces))}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

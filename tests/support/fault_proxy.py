"""A real HTTP proxy in a process of its own: it opens tunnels for CONNECT, or refuses."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Tunnelled:
    """What the proxy saw.

    Attributes:
        heads: Heads of requests, line by line.
        opened: Tunnels that it opened.
    """

    heads: list[list[str]] = field(default_factory=list)
    opened: int = 0


class ConnectProxy:
    """Starts the process; tunnels lead where the client asks."""

    def __init__(self, *, status: int = 200) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(status)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._process.stdout.readline())

    def seen(self) -> Tunnelled:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Tunnelled(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()


class _Proxy:
    def __init__(self, status: int) -> None:
        self.status = status
        self.seen = Tunnelled()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self.seen.heads.append(head)
            method, target, _ = head[0].split(" ")
            if self.status != 200 or method != "CONNECT":
                writer.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % self.status)
                await writer.drain()
                return
            host, _, port = target.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self.seen.opened += 1
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_relay(reader, far_writer), _relay(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two left
        finally:
            writer.close()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


async def _main(status: int) -> None:
    proxy = _Proxy(status)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while await commands.readline():
        print(json.dumps(vars(proxy.seen)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))

"""A model that always knows what comes next and takes the same time for every answer.

A server in a process of its own on the loopback address; what it says stands in `script`. The model
named in a request chooses the time and the manner: `plans/300` answers after 300 ms,
`plans/300-filled` also fills in the arguments of a merged plan's calls.

`GET /records` gives each case's requests since the last time, in the order of their answers:
`[arrived, answered, bytes]`, in seconds of the server's clock.

    python -m plans.oracle    prints its port and serves until its input ends; run in `benchmarks`
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self
from urllib.request import urlopen

from answers import completion
from plans.graphs import plans
from plans.script import UnansweredError, answer, case_of

ROOT = Path(__file__).resolve().parent.parent
"""Where `plans` is found as a package."""

_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Record(NamedTuple):
    """One request.

    Attributes:
        arrived: When all of it was there, in seconds of the server's clock.
        answered: When the answer was written.
        size_bytes: Size of the request's body.
    """

    arrived: float
    answered: float
    size_bytes: int


class Oracle:
    """Starts the server in a process of its own."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plans.oracle"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()


def fetched_records(port: int) -> dict[str, list[Record]]:
    """Return each case's requests since the last time.

    Args:
        port: Where the server listens.

    Returns:
        Case to its requests, in the order of their answers.
    """
    with urlopen(f"http://127.0.0.1:{port}/records") as response:
        found: dict[str, list[list[float]]] = json.load(response)
    return {case: [Record(*each) for each in records] for case, records in found.items()}


class Connection(asyncio.Protocol):
    """Answers one request after the other and keeps the connection."""

    records: dict[str, list[Record]] = {}  # noqa: RUF012  # of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            start = head.find(b"content-length:")
            length = 0 if start < 0 else int(head[start + 15 :].split(b"\r", 1)[0])
            start, end = end + 4, end + 4 + length
            if len(self._received) < end:
                return
            body, self._received = self._received[start:end], self._received[end:]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        arrived = self._loop.time()
        if head.startswith(b"get /records"):
            taken, Connection.records = Connection.records, {}
            self._write(json.dumps(taken).encode())
            return
        request = json.loads(body)
        pause, _, manner = request["model"].removeprefix("plans/").partition("-")
        try:
            case = case_of(body.decode())
            said = completion(*answer(request, is_filled=manner == "filled"))
        except UnansweredError as error:
            refusal = {"error": {"code": 400, "message": str(error)}}
            self._write(json.dumps(refusal).encode(), b"400 Bad Request")
            return
        place = (case, arrived, len(body))
        # With no time to pass the answer goes out at once: a timer would take a turn of the loop.
        if due := float(pause) / 1000:
            self._loop.call_at(arrived + due, self._finish, said, place)
        else:
            self._finish(said, place)

    def _finish(self, said: bytes, place: tuple[str, float, int]) -> None:
        case, arrived, size = place
        self._write(said)
        record = Record(arrived, self._loop.time(), size)
        Connection.records.setdefault(case, []).append(record)

    def _write(self, body: bytes, status: bytes = b"200 OK") -> None:
        if not self._transport.is_closing():
            self._transport.write(_HEAD % (status, len(body), body))


async def main() -> None:
    plans()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())

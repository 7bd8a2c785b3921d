"""The model as a server in a thread of this process, with a hold on any of its answers.

The model's name says what it does: `effects/run` answers, `effects/wordy` at length, and
`effects/hold-3` never gives the third answer of a case. `GET /gate/NAME` answers when a second one
has asked for the same name, so that two processes begin together.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self
from urllib.request import urlopen
from uuid import uuid4

from answers import completion
from effects.script import UnansweredError, answer, job_of, unknown_items

_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_START_SECONDS = 10.0

WORDY = "effects/wordy"


class Oracle:
    """Starts the server, and knows what was asked.

    Attributes:
        url: The address for a client's `base_url`.
    """

    url: str

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.held: set[str] = set()
        self.unknown: dict[str, set[str]] = {}
        self.refused: Counter[str] = Counter()
        self.gates: dict[str, list[Connection]] = {}
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise SystemExit("the server of the model did not start")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reply(self, body: bytes) -> bytes | None:
        """Return the answer to a request; None if it is held.

        Raises:
            UnansweredError: No provider would answer it.
        """
        request: dict[str, Any] = json.loads(body)  # Any: JSON
        case = job_of(body.decode()).case
        try:
            said = completion(*answer(request, is_wordy=request["model"] == WORDY))
            if unknown := unknown_items(request):
                self.unknown.setdefault(case, set()).update(unknown)
        except UnansweredError:
            self.refused[case] += 1
            raise
        self.calls[case] += 1
        model: str = request["model"]
        self._numbers[case, model] += 1
        if model == f"effects/hold-{self._numbers[case, model]}":
            self.held.add(case)
            return None
        # A real one never gives two answers the same id, and some take it as a message's own.
        return said.replace(b"gen-1751000000-benchmark", f"gen-{uuid4().hex}".encode())

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        server = self._loop.run_until_complete(serving)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        self._started.set()
        self._loop.run_forever()
        server.close()


class Connection(asyncio.Protocol):
    """Answers one request after the other and keeps the connection."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

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

    def write(self, body: bytes, status: bytes = b"200 OK") -> None:
        """Send an answer, if the client is still there."""
        if not self._transport.is_closing():
            self._transport.write(_HEAD % (status, len(body), body))

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /gate/"):
            self._wait(head.split()[1].decode())
            return
        try:
            said = self._oracle.reply(body)
        except UnansweredError as error:
            refusal = {"error": {"code": 400, "message": str(error)}}
            self.write(json.dumps(refusal).encode(), b"400 Bad Request")
            return
        if said is not None:
            self.write(said)

    def _wait(self, gate: str) -> None:
        waiting = self._oracle.gates.setdefault(gate, [])
        waiting.append(self)
        if len(waiting) == 2:
            _open(waiting)
            del self._oracle.gates[gate]


def _open(waiting: Iterable[Connection]) -> None:
    for connection in waiting:
        connection.write(b"{}")


def pass_gate(url: str, name: str) -> None:
    """Wait until another process has come to the same gate.

    Args:
        url: The server's address, as clients have it.
        name: Name of the gate.
    """
    with urlopen(f"{url.removesuffix('/api/v1')}/gate/{name}") as response:
        response.read()

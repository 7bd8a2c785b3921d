"""A proxy between a client and a server on loopback that loses an answer when it is told to."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self


class LosingProxy:
    """Passes everything on. While `lose` is set, the next answer is lost with its connection.

    Attributes:
        port: Where clients connect.
        lose: Cleared when an answer was lost.
    """

    def __init__(self, port: int) -> None:
        self.lose = threading.Event()
        self._server_port = port
        self._ends = [socket.create_server(("127.0.0.1", 0))]
        self._threads: list[threading.Thread] = []
        self.port: int = self._ends[0].getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._serve)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for end in self._ends:
            _shut_down(end)
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._ends[0].accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._ends += [client, server]
                self._start(self._pump, client, server, False)
                self._start(self._pump, server, client, True)

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self.lose.is_set():
                    self.lose.clear()
                    break
                target.sendall(data)
        for end in (source, target):
            _shut_down(end)


def _shut_down(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)

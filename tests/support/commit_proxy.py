"""A proxy to Postgres that loses the answer to a commit, which the server has done by then."""

import socket
from collections.abc import Callable
from contextlib import suppress

from support.losing_proxy import LosingProxy

COMMITTED = b"COMMIT\0"


class CommitProxy(LosingProxy):
    """Passes everything on. While `lose` is set, the next answer to a commit is lost.

    Attributes:
        meanwhile: Called between the commit and the loss of the connection.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.meanwhile: Callable[[], None] = lambda: None

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_answer and COMMITTED in data and self.lose.is_set():
                    self.lose.clear()
                    self.meanwhile()
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

"""What happens on the wire of one connection, and to one call; plain notes, no I/O.

The protocol's package reports a dead server, a cut answer and a closed session by the same error.
These notes tell them apart.
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import anyio


@dataclass(slots=True)
class CallNote:
    """What is known of one call.

    Attributes:
        written: How many requests of this call were handed to the transport.
        unsent: How many of them the transport could not even connect to send.
        refused: How many the server did not run, since it does not know the session.
        status: The last HTTP status of this call that tells of an error; 0 if there was none.
    """

    written: int = 0
    unsent: int = 0
    refused: int = 0
    status: int = 0

    @property
    def never_ran(self) -> bool:
        """Whether the server provably did not run the tool."""
        return self.unsent + self.refused >= self.written


current_call: Final[ContextVar[CallNote | None]] = ContextVar("mbxai_mcp_call", default=None)
"""The call that a request belongs to; the transports carry a caller's context to its POST."""


is_probing: Final[ContextVar[bool]] = ContextVar("mbxai_mcp_probing", default=False)
"""Whether a way to a server is being tried; what fails then is told in one error at the end."""


@dataclass(slots=True)
class ConnectionWatch:
    """What is known of one connection.

    Attributes:
        on_end: Called once, when the server's side of the stream has ended.
        has_streams: The transport is open.
        has_ended: The server's side of the stream has ended.
        is_lost: The server has forgotten the session.
        status: The last HTTP status that tells of an error; 0 if there was none.
        requests: Method and protocol version of the requests that wait for an answer, by id.
    """

    on_end: Callable[[], None]
    has_streams: bool = False
    has_ended: bool = False
    is_lost: bool = False
    status: int = 0
    requests: dict[Any, tuple[str, str]] = field(default_factory=dict[Any, tuple[str, str]])
    _was_cut: bool = False
    _read: anyio.CancelScope | None = None

    def cut(self) -> None:
        """Make the client's side see the end of the stream, whatever the server does.

        This is how an owner that waits inside the package is brought home: cancelling its task
        could defeat the shutdown of a child process.
        """
        self._was_cut = True
        if self._read is not None:
            self._read.cancel()

    async def read(self, receive: Callable[[], Any]) -> Any:
        """Await one message.

        Args:
            receive: Reads from the transport.

        Raises:
            EndOfStream: The stream has ended, or was cut.
        """
        try:
            with anyio.CancelScope() as scope:
                self._read = scope
                if self._was_cut:
                    scope.cancel()
                return await receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._end()
            raise
        self._end()
        raise anyio.EndOfStream

    def note_status(self, status: int, *, of_session: bool) -> None:
        """Note the status of an HTTP answer to a message.

        Args:
            status: The status.
            of_session: Whether the message named a session.
        """
        call = current_call.get()
        self.status = status if status >= 400 else 0
        if call is not None:
            call.status = self.status
        if status == 404 and of_session:  # the protocol's word for it
            self.is_lost = True
            if call is not None:
                call.refused += 1

    def _end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            with suppress(RuntimeError):  # the loop is being torn down
                self.on_end()


def note_written() -> None:
    """Note that a request of the current call has been handed to the transport."""
    call = current_call.get()
    if call is not None:
        call.written += 1


def note_unsent() -> None:
    """Note that a request of the current call could not be sent at all."""
    call = current_call.get()
    if call is not None:
        call.unsent += 1

"""What happens on the wire of one connection, and to one call; plain notes, no I/O.

The protocol's package reports a dead server, a cut answer and a closed session by the same error.
These notes tell them apart.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

_MAX_WAITING: Final = 10_000


@dataclass(slots=True, eq=False)
class CallNote:
    """What is known of one call.

    Attributes:
        written: How many requests of this call were handed to the transport.
        unsent: How many of them the transport could not even connect to send.
        refused: How many the server did not run, since it does not know the session.
        accepted: How many the server has begun to answer with anything but an error.
        status: The last HTTP status of this call that tells of an error; 0 if there was none.
        challenge: What a server that wants credentials says of them.
        cause: Why the transport could not carry the call.
        raw: The last result, as it came.
        pause: Stops the call's clock while a block runs; None where it has none.
    """

    written: int = 0
    unsent: int = 0
    refused: int = 0
    accepted: int = 0
    status: int = 0
    challenge: str = ""
    cause: BaseException | None = None
    raw: dict[str, Any] | None = None
    pause: Callable[[], AbstractContextManager[None]] | None = None

    @property
    def never_ran(self) -> bool:
        """Whether the server provably did not run the tool."""
        return not self.accepted and self.unsent + self.refused >= self.written


current_call: Final[ContextVar[CallNote | None]] = ContextVar("mbxai_mcp_call", default=None)
"""The call that a request belongs to; the transports carry a caller's context to its POST."""


is_reply: Final[ContextVar[bool]] = ContextVar("mbxai_mcp_reply", default=False)
"""Whether what is sent is no request: an answer to the server, or a notice.

It is sent in the context of the call that the server asked in, and says nothing of that call's own
request, which runs.
"""


is_probing: Final[ContextVar[bool]] = ContextVar("mbxai_mcp_probing", default=False)
"""Whether a way to a server is being tried; what fails then is told in one error at the end."""


@dataclass(slots=True, eq=False)
class ConnectionWatch:
    """What is known of one connection.

    Attributes:
        on_end: Called once, when the server's side of the stream has ended.
        has_streams: The transport is open.
        is_connected: A version of the protocol is agreed on.
        has_ended: The server's side of the stream has ended.
        has_hung_up: It was the server that has ended it.
        is_lost: The server has forgotten the session.
        has_session: The server has given a session id.
        status: The last HTTP status; below 400 it is kept only until a connection is made.
        media_type: What kind of content the last HTTP answer had.
        challenge: What a server that wants credentials says of them.
        problem: Why the connection was ended by us; empty if it was not.
        is_too_large: It was ended by us for a message above the limit.
        is_late: The time to connect is over, and somebody waits for the end.
        exit_status: With what a child has ended by itself; negative for a signal, None if unknown.
        version: The version of the protocol that was agreed on.
        skipped: How many lines of a child's standard output were no messages.
        requests: Method and call of the requests that wait for an answer, by id.
    """

    on_end: Callable[[], None]
    has_streams: bool = False
    is_connected: bool = False
    has_ended: bool = False
    has_hung_up: bool = False
    is_lost: bool = False
    has_session: bool = False
    status: int = 0
    media_type: str = ""
    challenge: str = ""
    problem: str = ""
    is_too_large: bool = False
    is_late: bool = False
    exit_status: int | None = None
    version: str = "2025-11-25"
    skipped: int = 0
    requests: dict[Any, tuple[str, CallNote]] = field(
        default_factory=dict[Any, tuple[str, CallNote]]
    )
    _was_cut: bool = False
    _read: anyio.CancelScope | None = None

    def cut(self, problem: str = "") -> None:
        """Make the client's side see the end of the stream, whatever the server does.

        This is how an owner that waits inside the package is brought home: cancelling its task
        could defeat the shutdown of a child process.

        Args:
            problem: Why; empty where it is no problem.
        """
        self._was_cut = True
        self.problem = self.problem or problem
        if self._read is not None:
            self._read.cancel()

    def reading(self) -> anyio.CancelScope:
        """Return a scope for whoever reads the stream; it is cancelled when the stream is cut."""
        self._read = anyio.CancelScope()
        if self._was_cut:
            self._read.cancel()
        return self._read

    def end(self) -> None:
        """Note that the server's side of the stream has ended."""
        if not self.has_ended:
            self.has_ended = True
            with suppress(RuntimeError):  # the loop is being torn down
                self.on_end()

    def note_request(self, ident: object, method: str) -> None:
        """Note that a request of the current call is being handed to the transport."""
        call = current_call.get()
        if call is None:
            return
        call.written += 1
        if len(self.requests) >= _MAX_WAITING:
            # The oldest; cancelled requests get no answer that would remove them.
            del self.requests[next(iter(self.requests))]
        self.requests[ident] = method, call

    def note_status(
        self, status: int, *, of_session: bool, media_type: str = "", challenge: str = ""
    ) -> None:
        """Note the status of an HTTP answer to a message.

        Args:
            status: The status.
            of_session: Whether the message named a session.
            media_type: What kind of content the answer has.
            challenge: What the server says of the credentials that it wants.
        """
        call = own_call()
        is_bad = status >= 400
        self.status = status if is_bad or not self.is_connected else 0
        self.media_type, self.challenge = media_type, challenge
        self.has_session = of_session
        if call is not None:
            call.status = status if is_bad else 0
            call.challenge = challenge
            call.accepted += 200 <= status < 300
        if status == 404 and of_session:  # the protocol's word for it
            self.is_lost = True
            if call is not None:
                call.refused += 1


def own_call() -> CallNote | None:
    """Return the call whose own request is being sent, or None where it is no call's request."""
    return None if is_reply.get() else current_call.get()


def note_failure(cause: BaseException, item: Any, *, was_sent: bool) -> None:
    """Note that the transport could not carry a message of the current call, or its answer.

    Args:
        cause: Why.
        item: The message; only a request counts.
        was_sent: Whether it may have reached the server.
    """
    call = current_call.get()
    message = getattr(item, "message", None)
    if call is not None and hasattr(message, "method") and hasattr(message, "id"):
        call.cause = cause
        if not was_sent:
            call.unsent += 1

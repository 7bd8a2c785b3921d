"""Bytes to server-sent events, by the rules of the HTML standard; no I/O.

Lines are split on bytes and never on text: `str.splitlines` and what builds on it also split at
U+2028, which JSON allows inside a string.
"""

from typing import NamedTuple

MAX_EVENT_BYTES = 1024 * 1024
"""Largest event that is accepted unless the caller says otherwise."""

_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """One event holds more bytes than allowed."""


class ServerSentEvent(NamedTuple):
    """One event.

    Attributes:
        data: The data lines, joined by newlines.
        event: Name of the event; empty where none was sent.
        id: The last id that the stream has named.
    """

    data: bytes
    event: bytes = b""
    id: bytes = b""


class SSEDecoder:
    """Turns pieces of a body, cut anywhere, into events.

    An event without data, or with empty data, is none: the standard gives the latter to the page,
    but servers send it only to keep a connection open.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start before the first byte.

        Args:
            max_event_bytes: Most bytes of one event or of one line, 1 or more.
        """
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._at_start = True
        self._after_cr = False
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = b""
        self._id = b""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take the next piece of the body.

        Args:
            piece: Bytes as they came.

        Returns:
            The events that this piece completes, often none.

        Raises:
            EventTooLargeError: An event or a line is larger than allowed.
        """
        if self._after_cr and piece:
            # The LF of a CRLF that was cut in two; its CR has ended the line already.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = piece.split(b"\n")
        if ended and self._line:
            ended[0] = bytes(self._line) + ended[0]
            self._line.clear()
        events: list[ServerSentEvent] = []
        data, limit = self._data, self._max_event_bytes
        for line in ended:
            # Nearly every line is one of the first two: all of an event's data, or its end.
            if line.startswith(b"data: ") and not data and not self._at_start:
                if len(line) > limit:
                    self._check_size(len(line))
                data.append(line[6:])
                self._data_bytes = len(line)
            elif not line and len(data) == 1 and data[0]:
                events.append(ServerSentEvent(data.pop(), self._event, self._id))
                self._event = b""
                self._data_bytes = 0
            elif (event := self._end_line(line)) is not None:
                events.append(event)
        if rest:
            self._line += rest
            self._check_size(len(self._line))
        return events

    def finish(self) -> ServerSentEvent | None:
        """Return what stands at the end of the body without its closing blank line.

        The standard drops it. Servers that leave the last newline out exist, so the caller gets
        it and decides.
        """
        event = self._end_line(bytes(self._line)) if self._line else None
        self._line.clear()
        return event or self._end_event()

    def _end_line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._end_event()
        self._check_size(len(line))
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._id = value
        return None

    def _end_event(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            data = b"\n".join(self._data)
            if data:
                event = ServerSentEvent(data, self._event, self._id)
            self._data.clear()
            self._data_bytes = 0
        self._event = b""
        return event

    def _check_size(self, line_bytes: int) -> None:
        if self._data_bytes + line_bytes > self._max_event_bytes:
            raise EventTooLargeError(f"An event is larger than {self._max_event_bytes} bytes.")

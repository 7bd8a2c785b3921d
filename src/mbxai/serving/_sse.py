"""Events of a session as server-sent events; no I/O."""

from typing import Final

from mbxai.agent.events import AgentEvent

SSE_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold them back
}
"""Headers of a response that streams events."""

RETRY_MILLISECONDS: Final = 2000
"""After how long a browser is to connect again."""


def encode_event(event: AgentEvent) -> bytes:
    """Return an event of a session on the wire.

    Its name is the event's `type`, its data the event as JSON. Its id is the event's number, which
    a browser sends back as `Last-Event-ID`; one that is not counted, as a piece of text, has none.

    Args:
        event: What happened.
    """
    number = f"id: {event.seq}\n" if is_counted(event) else ""
    return f"{number}event: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()


def is_counted(event: AgentEvent) -> bool:
    """Say whether an event has a number of its own, and is kept in the log.

    Args:
        event: What happened.
    """
    return event.type not in _UNCOUNTED


def encode_end(name: str) -> bytes:
    """Return the last event of a stream.

    Args:
        name: "done": nothing more will happen; "reconnect": connect again.
    """
    return f"event: {name}\nretry: {RETRY_MILLISECONDS}\ndata: {{}}\n\n".encode()


def encode_comment(text: str = "") -> bytes:
    """Return a comment, which keeps a connection open and is no event.

    Args:
        text: One line.
    """
    return f": {' '.join(text.splitlines())}\n\n".encode()


def last_event_number(header: str | None) -> int:
    """Return the number of the last event that a client has.

    Args:
        header: `Last-Event-ID`, as a client sent it; None: it sent none.

    Returns:
        The number; 0 where there is none, or one that this service never gave.
    """
    digits = (header or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0


_UNCOUNTED: Final = frozenset({"response_delta", "tool_progressed"})

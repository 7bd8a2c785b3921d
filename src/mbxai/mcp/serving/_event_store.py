"""What clients may come back for: the last events of their streams, bounded, in memory."""

import secrets
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # slow to load
    from mcp.server.streamable_http import EventStore
    from mcp_types import JSONRPCMessage

_MAX_EVENTS: Final = 1_000
"""Of one stream."""
_MAX_STREAMS: Final = 1_000
_MAX_BYTES: Final = 32 * 1_048_576
"""Of all streams together."""


def make_event_store() -> "EventStore":
    """Return a store of events for one serving.

    The oldest events go first, whole streams of them when there are too many.
    """
    from mcp.server.streamable_http import EventMessage, EventStore

    class MemoryEvents(EventStore):
        def __init__(self) -> None:
            self._events = _Events()

        async def store_event(self, stream_id: str, message: "JSONRPCMessage | None") -> str:
            size = 0 if message is None else len(message.model_dump_json())
            return self._events.add(stream_id, message, size)

        async def replay_events_after(
            self, last_event_id: str, send_callback: "object"
        ) -> str | None:
            found = self._events.after(last_event_id)
            if found is None:
                return None
            stream_id, events = found
            for event_id, message in events:
                await send_callback(EventMessage(message, event_id))  # type: ignore[operator]
            return stream_id

    return MemoryEvents()


class _Events:
    """Events by stream, the stream that was used longest ago first."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, deque[tuple[int, JSONRPCMessage | None, int]]] = (
            OrderedDict()
        )
        self._names: dict[str, str] = {}  # of event ids' first halves
        self._ids: dict[str, str] = {}
        self._bytes = 0
        self._last = 0

    def add(self, stream: str, message: "JSONRPCMessage | None", size: int) -> str:
        events = self._streams.get(stream)
        if events is None:
            events = self._streams[stream] = deque()
            # Streams of different sessions must not be found by guessing.
            self._ids[stream] = secrets.token_hex(8)
            self._names[self._ids[stream]] = stream
        self._streams.move_to_end(stream)
        self._last += 1
        events.append((self._last, message, size))
        self._bytes += size
        if len(events) > _MAX_EVENTS:
            self._bytes -= events.popleft()[2]
        while len(self._streams) > _MAX_STREAMS or (
            self._bytes > _MAX_BYTES and len(self._streams) > 1
        ):
            self._forget()
        return f"{self._ids[stream]}-{self._last}"

    def after(self, event_id: str) -> tuple[str, list[tuple[str, "JSONRPCMessage"]]] | None:
        name, _, number = event_id.partition("-")
        stream = self._names.get(name)
        if stream is None or not number.isdecimal():
            return None
        kept = [
            (f"{name}-{at}", message)
            for at, message, _ in self._streams[stream]
            if at > int(number) and message is not None
        ]
        return stream, kept

    def _forget(self) -> None:
        stream, events = self._streams.popitem(last=False)
        self._bytes -= sum(size for _, _, size in events)
        del self._names[self._ids.pop(stream)]

"""Server-sent events of an open answer, with limits on how long to wait for them."""

import asyncio
import weakref
from collections import deque
from typing import Final, cast

import anyio
import anyio.lowlevel

from mbxai.openrouter._answer import Answer
from mbxai.openrouter._transport_error import TransportError
from mbxai.wire import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder

_FOREVER: Final = float("inf")
_DRAIN_SECONDS: Final = 0.1
# A compressed body can grow a thousandfold: what one read gives is then neither taken apart in one
# go nor without letting the timer look at the clock.
_MAX_BITE_BYTES: Final = 256 * 1024


class EventReader:
    """Reads events one by one.

    A limit is watched by one timer of the event loop that breaks the connection: a cancel scope
    around each read would cost more than the read.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        deadline: float = _FOREVER,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """Take over an open answer.

        Args:
            answer: Closed by `aclose`.
            deadline: Moment of the event loop's clock at which the whole time is up.
            first_token_timeout: Seconds until the first event with data; comments are none.
            idle_timeout: Seconds to wait for any later one.
            max_event_bytes: Most bytes of one event.
        """
        self.answer: Answer = answer
        self.events: deque[ServerSentEvent] = deque()
        self.is_at_end: bool = False
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)
        self._rest = b""
        self._rest_from = 0
        self._deadline = deadline
        self._first_token_timeout = first_token_timeout
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._has_data = False
        self._expected_by = self._loop.time() + (first_token_timeout or _FOREVER)
        self._is_waiting = False
        self._is_expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _FOREVER

    async def next(self) -> ServerSentEvent | None:
        """Return the next event, or None at the end of the body.

        Raises:
            TransportError: The connection broke.
            TimeoutError: A limit was reached; the message says which.
            EventTooLargeError: An event is larger than allowed.
        """
        if self.events:
            return self.events.popleft()
        if self.is_at_end:
            return None
        if self._has_data:
            self._expected_by = self._loop.time() + (self._idle_timeout or _FOREVER)
        self._is_waiting = True
        try:
            await self._fill()
        except TimeoutError:
            raise TimeoutError(self._what_is_over()) from None
        except TransportError:
            if self._is_expired:
                raise TimeoutError(self._what_is_over()) from None
            raise
        finally:
            self._is_waiting = False
        if not self.events:
            return None
        self._has_data = True
        return self.events.popleft()

    async def next_batch(self, most: int) -> list[ServerSentEvent]:
        """Return the events that are there, waiting for one; none at the end of the body.

        Args:
            most: How many at most, 1 or more.

        Raises:
            TransportError: As for `next`.
            TimeoutError: As for `next`.
            EventTooLargeError: As for `next`.
        """
        first = await self.next()
        if first is None:
            return []
        events = self.events
        batch = [first]
        if len(events) < most:
            batch += events
            events.clear()
        else:
            batch += [events.popleft() for _ in range(most - 1)]
        return batch

    async def drain(self) -> None:
        """Read the last bytes of the body, without which the connection cannot be reused."""
        with anyio.move_on_after(_DRAIN_SECONDS):
            try:
                while await self.answer.next_piece() is not None:
                    await anyio.lowlevel.checkpoint()  # what grows without end never waits
            except TransportError:
                pass  # all that matters has arrived

    async def aclose(self) -> None:
        """Free the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.answer.aclose()

    async def _fill(self) -> None:
        limit = min(self._deadline, self._expected_by)
        if limit < self._timer_at:
            self._watch(limit)
        events, decoder, answer = self.events, self._decoder, self.answer
        while not events:
            if self._is_expired:
                raise TimeoutError
            piece = await (self._next_bite() if self._rest else answer.next_piece(limit))
            if piece is not None:
                if len(piece) > _MAX_BITE_BYTES:
                    self._rest, self._rest_from = piece, 0
                else:
                    events.extend(decoder.feed(piece))
            elif self._is_expired:
                raise TimeoutError
            else:
                self.is_at_end = True
                last = decoder.finish()
                events.extend(() if last is None else (last,))
                return

    async def _next_bite(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        start, self._rest_from = self._rest_from, self._rest_from + _MAX_BITE_BYTES
        bite = self._rest[start : self._rest_from]
        if self._rest_from >= len(self._rest):
            self._rest = b""
        return bite

    def _watch(self, limit: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = limit
        self._timer = self._loop.call_at(limit, _check, self._weak_self())

    def check(self, *, is_second_look: bool = False) -> None:
        """Break the connection if a limit has passed; called by the timer.

        Args:
            is_second_look: Whether the loop has been round since the timer fired. What arrived
                while something blocked the loop is read first.
        """
        if self._timer is None:  # closed meanwhile
            return
        now = self._loop.time()
        limit = min(self._deadline, self._expected_by if self._is_waiting else _FOREVER)
        if now >= limit:
            if is_second_look:
                self._is_expired = True
                self.answer.abort()
            else:
                self._loop.call_soon(_check_again, self._weak_self())
            return
        later = min(limit, now + (self._idle_timeout or _FOREVER))
        self._timer_at = _FOREVER
        if later != _FOREVER:
            self._watch(later)

    def _weak_self(self) -> "weakref.ref[EventReader]":
        # The loop holds its timers, and a stream that is dropped shall be closed.
        return cast("weakref.ref[EventReader]", weakref.ref(self))

    def _what_is_over(self) -> str:
        if self._deadline <= self._expected_by:
            return "The time for the call was up in the middle of the answer."
        if not self._has_data:
            return f"No chunk came within {self._first_token_timeout} s."
        return f"No further chunk came within {self._idle_timeout} s."


def _check(reader: "weakref.ref[EventReader]") -> None:
    if (alive := reader()) is not None:
        alive.check()


def _check_again(reader: "weakref.ref[EventReader]") -> None:
    if (alive := reader()) is not None:
        alive.check(is_second_look=True)

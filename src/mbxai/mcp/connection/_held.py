"""Calls of the older protocol that go on while their callers fetch a person's answer.

There, a server asks in the middle of a call and waits. The call is run by a task of its own, so
that its caller can leave with the question and come back with the answer. All of it lives in this
process: a restart ends the call.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, cast

import anyio

from mbxai.mcp.connection._watch import CallNote
from mbxai.wire import ToolAnswer, ToolQuestion

_KEY: Final = "held"
_NONCE: Final = "question"
_CANCEL_SECONDS: Final = 6.0
"""How long the notice of a cancelled call may take to be written."""


class CallGoneError(Exception):
    """The call has ended without a result, or there is none that waits for an answer."""


class HeldCall:
    """A call, its task and its questions."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, dict[str, Any]]], note: CallNote):
        """Begin the call; must be called on the loop, in the context of the call.

        Args:
            run: Makes the call and returns its result.
            note: What is known of the call.
        """
        self.id = secrets.token_hex(16)
        self.is_awaited = False
        self.note = note
        self._loop = asyncio.get_running_loop()
        self._asked: list[tuple[ToolQuestion, asyncio.Future[ToolAnswer]]] = []
        self._turn: asyncio.Future[None] = self._loop.create_future()
        self._expiry: asyncio.TimerHandle | None = None
        self.task = self._loop.create_task(run())

    async def ask(self, question: ToolQuestion) -> ToolAnswer:
        """Wait until the caller has come back with the answer to a question."""
        future: asyncio.Future[ToolAnswer] = self._loop.create_future()
        state = json.dumps({_KEY: self.id, _NONCE: secrets.token_hex(8)})
        entry = replace(question, state=state), future
        self._asked.append(entry)
        if not self._turn.done():
            self._turn.set_result(None)
        try:
            return await future
        finally:
            with suppress(ValueError):
                self._asked.remove(entry)

    def take(self, answer: ToolAnswer) -> None:
        """Pass on the answer to the question that it names, and to no other.

        The server may have withdrawn that question, or it is answered already; then the answer is
        dropped, and who waits for the call gets what is open now.

        Raises:
            CallGoneError: Somebody else waits for the call, since the question was answered.
        """
        named = [entry for entry in self._asked if entry[0].state == answer.state]
        if not named and not self._asked and self.is_awaited:
            raise CallGoneError
        for entry in named:
            self._asked.remove(entry)
            if not entry[1].done():
                entry[1].set_result(answer)

    async def wait(
        self, held_seconds: float, forget: Callable[[], object]
    ) -> dict[str, Any] | ToolQuestion:
        """Wait for the result, or for a question.

        Whoever is cancelled here cancels the call.

        Args:
            held_seconds: How long the call is kept after it has returned a question.
            forget: Is called when it has been ended after that time.

        Raises:
            CallGoneError: The call was ended meanwhile.
        """
        if self._expiry is not None:
            self._expiry.cancel()
        self.is_awaited = True
        try:
            while not self.task.done() and not self._asked:
                self._turn = self._loop.create_future()
                await asyncio.wait({self.task, self._turn}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self.cancel()
            raise
        finally:
            self.is_awaited = False
        if self.task.cancelled():  # its connection was closed, or its time is up
            raise CallGoneError
        if self.task.done():
            return self.task.result()
        self._expiry = self._loop.call_later(held_seconds, self._expire, forget)
        return self._asked[0][0]

    def _expire(self, forget: Callable[[], object]) -> None:
        def ended(task: asyncio.Task[dict[str, Any]]) -> None:
            if not task.cancelled():
                task.exception()  # somebody has looked
            forget()

        self.task.cancel()
        self.task.add_done_callback(ended)

    async def cancel(self) -> None:
        """End the call and wait for it."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=_CANCEL_SECONDS)
        if self.task.done() and not self.task.cancelled():
            self.task.exception()  # somebody has looked


class HeldCalls:
    """The calls of one connection that can be held, oldest first.

    Attributes:
        on_empty: Is called when the last of them has ended.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.on_empty: Callable[[], object] = _nothing
        self._calls: dict[str, HeldCall] = {}
        self._others = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no call whose caller may come back."""
        return not self._calls

    @property
    def in_flight(self) -> int:
        """How many requests run in which the server may ask."""
        return self._others + sum(not call.task.done() for call in self._calls.values())

    @contextmanager
    def other(self) -> Generator[None]:
        """Count a request that cannot be held, while the block runs."""
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1

    def begin(
        self, run: Callable[[], Coroutine[Any, Any, dict[str, Any]]], note: CallNote
    ) -> HeldCall:
        """Begin a call; see `HeldCall`."""
        call = HeldCall(run, note)
        self._calls[call.id] = call
        return call

    def end(self, call: HeldCall) -> None:
        """Forget a call whose outcome is known."""
        if self._calls.pop(call.id, None) is not None and not self._calls:
            self.on_empty()

    def find(self, state: str) -> HeldCall | None:
        """Return the call that a question's state names, or None.

        Args:
            state: What `ToolQuestion.state` said.
        """
        ident = held_id(state)
        return self._calls.get(ident) if ident else None

    def asker(self, note: CallNote | None) -> HeldCall | None:
        """Return the call that a question of the server belongs to, or None.

        Args:
            note: The call that the transport names; None where it does not say, and then it can
                only be known if a single one runs.
        """
        for call in self._calls.values():
            if call.note is note:
                return call
            if note is None and not call.task.done() and self.in_flight == 1:
                return call
        return None

    async def aclose(self) -> None:
        """End all calls and wait for them."""
        calls = list(self._calls.values())
        self._calls.clear()
        for call in calls:
            call.task.cancel()
        for call in calls:
            await call.cancel()


def _nothing() -> None:
    pass


def held_id(state: str) -> str:
    """Return the id in the state of a held call, or an empty text for any other state."""
    try:
        read: object = json.loads(state)
    except ValueError:
        return ""
    ident = cast("dict[str, object]", read).get(_KEY) if isinstance(read, dict) else None
    return ident if isinstance(ident, str) else ""

"""What a listener is told while a call runs, and what the running function is told: to stop.

Listeners are called on the event loop; functions may run on any thread.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from mbxai._redaction import get_logger
from mbxai.wire import ToolEvent, ToolProgressed

logger = get_logger(__name__)

ToolListener: TypeAlias = Callable[[ToolEvent], object]
"""Gets each event on the event loop; it must not block, and what it raises is only logged."""

_MAX_MESSAGE_CHARS: Final = 1_000


def emit(listener: ToolListener, event: ToolEvent) -> None:
    """Tell a listener; a listener that fails changes nothing for the tool.

    Args:
        listener: Whoever wants to know.
        event: What happened.
    """
    try:
        listener(event)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException:  # the application's own function; SystemExit would end the loop
        logger.exception("on_event= failed for a %s", event.type)


class RunControl:
    """The wire between one run of a function and whoever waits for it.

    Attributes:
        is_begun: Whether the function was called; a blocking one may wait for a free thread.
    """

    __slots__ = (
        *("_begun", "_call_id", "_clean", "_ended", "_listener", "_loop", "_name", "_stopped"),
        "_waiting",
        "is_begun",
    )

    def __init__(
        self,
        call_id: str,
        name: str,
        listener: ToolListener | None,
        clean: Callable[[str], str],
        begun: set[str] | None = None,
    ) -> None:
        """Lay the wire; on the event loop.

        Args:
            call_id: The call's id.
            name: The tool's name.
            listener: Gets the progress.
            clean: Takes credentials out of a message.
            begun: Gets the call's id once the function is called.
        """
        self._begun = begun
        self._call_id = call_id
        self._name = name
        self._listener = listener
        self._clean = clean
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._ended = False
        self._waiting: list[Callable[[], object]] = []
        self.is_begun: bool = False

    def begin(self) -> None:
        """Note that the function is called; from any thread."""
        self.is_begun = True
        if self._begun is not None:
            self._begun.add(self._call_id)

    @property
    def is_stopped(self) -> bool:
        """Whether nobody waits for the function any more."""
        return self._stopped

    def stop(self) -> None:
        """Tell the function that nobody waits for it any more."""
        self._stopped = True
        for give_up in tuple(self._waiting):
            give_up()

    def on_stop(self, give_up: Callable[[], object]) -> None:
        """Call something once nobody waits for the function any more; from the function's thread.

        Args:
            give_up: Called from any thread, perhaps twice; at once if it is so already.
        """
        self._waiting.append(give_up)
        if self._stopped:  # perhaps between the two lines
            give_up()

    def no_longer_on_stop(self, give_up: Callable[[], object]) -> None:
        """Forget what `on_stop` was given; from the function's thread.

        Args:
            give_up: What it was given.
        """
        self._waiting.remove(give_up)

    def end(self) -> None:
        """Let no more progress through; called on the event loop."""
        self._ended = True

    def report(self, message: str, fraction: float | None) -> None:
        """Pass progress on, in its order; from any thread.

        Args:
            message: What the function is doing.
            fraction: How much is done; values outside of 0 to 1 are moved to the nearest bound.
        """
        if self._stopped:
            return
        event = (str(message), _bounded(fraction))
        try:
            if asyncio.get_running_loop() is self._loop:
                self._deliver(*event)
                return
        except RuntimeError:  # a worker thread
            pass
        with suppress(RuntimeError):  # the loop has ended without a word
            self._loop.call_soon_threadsafe(self._deliver, *event)

    def _deliver(self, message: str, fraction: float | None) -> None:
        if self._ended or self._listener is None:
            return
        text = self._clean(message)
        if len(text) > _MAX_MESSAGE_CHARS:
            text = f"{text[:_MAX_MESSAGE_CHARS]}…"
        event = ToolProgressed(
            call_id=self._call_id, name=self._name, message=text, fraction=fraction
        )
        emit(self._listener, event)


def _bounded(fraction: float | None) -> float | None:
    if fraction is None or math.isnan(fraction):
        return None
    return min(1.0, max(0.0, float(fraction)))

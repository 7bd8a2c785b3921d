"""An event loop that stops a run before the n-th of its steps, whatever task makes that step."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any


class CancellingLoop(asyncio.SelectorEventLoop):
    """Stops a run at any point where something can come in: between two callbacks.

    That is more than every await of one task: child tasks have steps of their own, and a result may
    be there that its task has not seen yet.

    Attributes:
        steps: Callbacks that were run since `arm`.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._at = 0
        self._stop: Callable[[], object] = bool
        super().__init__()

    def arm(self, stop: Callable[[], object], at: int) -> None:
        """Call `stop` before the callback of this number, counted from now; 0: never."""
        self.steps, self._at, self._stop = 0, at, stop

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._counted(callback), *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._counted(callback), *args, context=context)

    def _counted(self, callback: Callable[..., object]) -> Callable[..., object]:
        def run(*args: Any) -> None:
            self.steps += 1
            if self.steps == self._at:
                self._stop()
            callback(*args)

        return run

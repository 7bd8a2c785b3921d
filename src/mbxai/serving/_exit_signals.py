"""Hears that the process is asked to end, before the server waits for its open connections."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_exit_signal(callback: Callable[[], object]) -> Generator[None]:
    """Call a function when SIGTERM or SIGINT comes, and then whoever else waits for it.

    Servers such as uvicorn wait for open responses before they end an application's lifespan. A
    stream of events that only ends with the lifespan would keep them waiting for ever. Outside of
    the main thread, where no signal comes, nothing happens.

    Args:
        callback: Called in the signal's handler; it must do next to nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        former = before[signal.Signals(number)]
        if callable(former):
            former(number, frame)
        elif former == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, former in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, former if former is not None else signal.SIG_DFL)

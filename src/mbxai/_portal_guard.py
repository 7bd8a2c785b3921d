"""Where a blocking call may be made: refused on the loop's thread, warned about in another loop."""

import asyncio
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from types import CoroutineType
from typing import NoReturn, cast

from mbxai._portal_loop import is_loop_thread
from mbxai.errors import BlockingCallError, ConfigurationError, RunningLoopWarning

_warned: set[tuple[str, int]] = set()


def check_caller(function: Callable[..., object]) -> None:
    """Refuse a blocking call on the loop's own thread and warn about one inside another loop.

    Args:
        function: The asynchronous twin of the blocking call, for the messages.

    Raises:
        BlockingCallError: Waiting here would be waiting for oneself.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    twin = _name_of(function)
    if is_loop_thread():
        raise BlockingCallError(
            "A blocking call was made on the thread of mbxai's event loop.",
            hint=f"Await {twin} there.",
        )
    _warn_once(twin)


def check_arguments(
    function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> None:
    """Refuse a coroutine where its result is wanted.

    Args:
        function: The asynchronous twin of the blocking call, for the message.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        ConfigurationError: One of them is a coroutine; it is closed, since nobody will await it.
    """
    for place, value in enumerate(args):
        if _is_coroutine(value):
            _refuse(function, list(inspect.signature(function).parameters)[place], value)
    for name, value in kwargs.items():
        if _is_coroutine(value):
            _refuse(function, name, value)


def _is_coroutine(value: object) -> bool:
    return type(value) is CoroutineType


def _refuse(function: Callable[..., object], parameter: str, given: object) -> NoReturn:
    coroutine = cast("CoroutineType[object, object, object]", given)
    coroutine.close()
    made_by = coroutine.__qualname__
    blocking = made_by.removeprefix("Async")
    ways = f"Await it, or call {blocking}." if blocking != made_by else "Await it first."
    raise ConfigurationError(
        f"{_name_of(function).removeprefix('Async')}: {parameter} is the coroutine of {made_by}"
        " and not its result.",
        hint=ways,
    )


def _name_of(function: Callable[..., object]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__qualname__", "")
    return name if name and "<" not in name else "the method of the async client"


def _warn_once(twin: str) -> None:
    """Warn about the line outside mbxai that made the call, the first time it does."""
    if _in_notebook():
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    site = ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    if site in _warned:
        return
    warnings.warn(
        f"A blocking call of mbxai stops the event loop that runs in this thread. Await {twin}.",
        RunningLoopWarning,
        stacklevel=level,
    )
    _warned.add(site)


def _is_ours(module: str) -> bool:
    return module == "mbxai" or module.startswith("mbxai.")


def _in_notebook() -> bool:
    """Whether IPython runs this code; a cell has a loop, and blocking it is what people expect."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell is not None and shell() is not None

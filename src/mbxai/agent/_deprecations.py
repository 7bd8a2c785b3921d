"""Warnings about arguments of earlier versions; they point at the caller's own line.

A blocking agent runs on another thread, where no frame of the caller is left to point at: so it
warns before it goes there, and says so by a context variable, which travels along.
"""

import inspect
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_RENAMED: Final = {
    "ask_questions": "human_in_loop",
    "answers": "human_response",
    "max_iterations": "max_task_iterations",
}

_has_warned: ContextVar[bool] = ContextVar("mbxai_agent_has_warned", default=False)


def warn_of(where: str, **given: object) -> None:
    """Warn about each argument that has another name now.

    Args:
        where: What was called, such as "agent".
        **given: Values by the old names; None was not given.

    Warns:
        DeprecationWarning: For each value that is not None.
    """
    if _has_warned.get():
        _has_warned.set(False)  # a tool that calls an agent of its own is told again
        return
    for name, value in given.items():
        if value is not None:
            warnings.warn(
                f"{where}({name}=...) is now {_RENAMED[name]}",
                DeprecationWarning,
                stacklevel=_callers_level(),
            )


@contextmanager
def warned(where: str, **given: object) -> Generator[None]:
    """Warn now, and not again in what the block calls.

    Args:
        where: As for `warn_of`.
        **given: As for `warn_of`.
    """
    warn_of(where, **given)
    token = _has_warned.set(True)
    try:
        yield
    finally:
        _has_warned.reset(token)


def _callers_level() -> int:
    """Return how many frames, counted from `warn_of`, lie below the first that is not ours."""
    level, frame = 1, inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and _is_transparent(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level


def _is_transparent(module: str) -> bool:
    return module in ("mbxai", "contextlib") or module.startswith("mbxai.")

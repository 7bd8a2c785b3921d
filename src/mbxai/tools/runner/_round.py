"""What becomes of a round: what began, what ended, what waits; kept also where it is cut short."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from mbxai.tools._call import PendingCall, ToolApproval
from mbxai.wire import ToolResult


@dataclass(slots=True)
class RoundLog:
    """What has happened in a round so far.

    Attributes:
        begun: Ids of the calls whose function was started.
        results: Results, in the order in which they came.
        pending: Calls that wait for the application.
        stale: Approvals of calls of this round that do not fit what would be run.
    """

    begun: set[str] = field(default_factory=set[str])
    results: list[ToolResult] = field(default_factory=list[ToolResult])
    pending: list[PendingCall] = field(default_factory=list[PendingCall])
    stale: list[ToolApproval] = field(default_factory=list[ToolApproval])


async def together(works: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run several coroutine functions side by side until all have ended, or one has raised.

    Its tasks take a third of the time of a task group's, and short tools come in dozens. The others
    are cancelled then, and when the caller is; they are waited for in any case.

    Args:
        works: Take no arguments.

    Raises:
        BaseException: What the first of them raised, and not a group.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work()) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _end([task for task in tasks if not task.done()])
        _errors_of(tasks)  # read also where the caller is cancelled, or asyncio would report them
    errors = _errors_of(tasks)
    if errors:
        # Ctrl-C and the like go before a failure.
        raise next((error for error in errors if not isinstance(error, Exception)), errors[0])


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    left, again = set(tasks), False
    while left:
        try:
            # Shielded: a cancelled scope would cancel this wait again and again, in a busy loop.
            with anyio.CancelScope(shield=True):
                _, left = await asyncio.wait(left)
        except asyncio.CancelledError:
            again = True  # the tasks end within their grace, whoever asks once more
    if again:
        raise asyncio.CancelledError


def _errors_of(tasks: Sequence[asyncio.Task[None]]) -> list[BaseException]:
    found = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    return [error for error in found if error is not None]

"""Calls of the newer protocol that are answered with a question, and asked again with the answer.

There, a server ends the call with what it wants to know and a state of its own, and the client
calls again with both. Nothing is kept in this process: the state of a `ToolQuestion` holds all that
another process needs to go on.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast

import anyio

from mbxai.mcp.connection._asking import ELICIT, Asking, elicited
from mbxai.mcp.connection._clock import CallClock
from mbxai.wire import ToolAnswer, ToolQuestion

MAX_ROUNDS: Final = 10
"""How often a server may ask within one call."""

_FIRST_WAIT_SECONDS: Final = 0.05
_LONGEST_WAIT_SECONDS: Final = 0.25

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Makes the call with these parameters added, and returns its raw result."""


class RoundsError(Exception):
    """The conversation with the server cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What a server wants to know, and what of it is already answered.

    Attributes:
        state: The server's own state, if it gave one.
        answers: The results so far, by the server's keys.
        waiting: Keys and requests that a person has yet to answer, the next one first.
        rounds: How often the server has asked.
    """

    state: str | None
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    waiting: tuple[tuple[str, dict[str, Any]], ...] = ()
    rounds: int = 1

    def parameters(self) -> dict[str, Any]:
        """Return what the next call is given in addition."""
        given: dict[str, Any] = {} if self.state is None else {"requestState": self.state}
        return {**given, "inputResponses": self.answers} if self.answers else given

    def text(self) -> str:
        """Return all of it as one text."""
        return json.dumps(
            {
                "state": self.state,
                "answers": self.answers,
                "waiting": self.waiting,
                "rounds": self.rounds,
            }
        )

    def answered(self, answer: ToolAnswer) -> "Pending":
        """Return what is left once a person has answered the next question."""
        key, _ = self.waiting[0]
        return replace(
            self, answers={**self.answers, key: elicited(answer)}, waiting=self.waiting[1:]
        )


def read_pending(text: str) -> Pending:
    """Read what `Pending.text` wrote.

    Raises:
        RoundsError: It is something else.
    """
    try:
        read = json.loads(text)
        waiting = tuple((str(key), dict(request)) for key, request in read["waiting"])
        state, answers, rounds = read["state"], dict(read["answers"]), int(read["rounds"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RoundsError("the answer belongs to no question of this server") from error
    if not waiting or not (state is None or isinstance(state, str)):
        raise RoundsError("the answer belongs to no question of this server")
    return Pending(state=state, answers=answers, waiting=waiting, rounds=rounds)


async def converse(
    send: Send,
    asking: Asking,
    clock: CallClock,
    *,
    can_pause: bool = False,
    answer: ToolAnswer | None = None,
) -> dict[str, Any] | ToolQuestion:
    """Make a call and answer what the server wants to know, until there is a result.

    Args:
        send: Makes the call.
        asking: Answers.
        clock: The time of the call; it stands still while somebody answers.
        can_pause: Whether a person's questions are returned and not asked here.
        answer: The answer to the question that was returned before.

    Raises:
        RoundsError: The server asks without end or makes no sense, or the answer is foreign.
        RefusedError: It asked for something that it does not get.
    """
    pending: Pending | None = None
    if answer is not None:
        pending = read_pending(answer.state).answered(answer)
    pause_seconds = _FIRST_WAIT_SECONDS
    while True:
        if pending is not None and pending.waiting:  # only with can_pause
            _, request = pending.waiting[0]
            return replace(asking.question(request.get("params") or {}), state=pending.text())
        result = await send({} if pending is None else pending.parameters())
        if result.get("resultType", "complete") != "input_required":
            return result
        rounds = pending.rounds + 1 if pending is not None else 1
        if rounds > MAX_ROUNDS:
            raise RoundsError(f"it asked back more than {MAX_ROUNDS} times")
        pending = await _answered(result, rounds, asking, clock, can_pause=can_pause)
        if not pending.answers and not pending.waiting:
            await anyio.sleep(pause_seconds)  # it only wants to be asked again
            pause_seconds = min(pause_seconds * 2, _LONGEST_WAIT_SECONDS)


async def _answered(
    result: Mapping[str, Any], rounds: int, asking: Asking, clock: CallClock, *, can_pause: bool
) -> Pending:
    """Answer all that a server wants to know, or all but what a person must be asked."""
    requests: object = result.get("inputRequests") or {}
    state: object = result.get("requestState")
    if not isinstance(requests, Mapping) or not (state is None or isinstance(state, str)):
        raise RoundsError("what it asked back makes no sense")
    answers: dict[str, Any] = {}
    waiting: list[tuple[str, dict[str, Any]]] = []
    for key, request in cast("Mapping[str, Any]", requests).items():
        if not isinstance(request, Mapping):
            raise RoundsError("what it asked back makes no sense")
        given = cast("Mapping[str, Any]", request)
        method = str(given.get("method"))
        if can_pause and method == ELICIT:
            waiting.append((key, dict(given)))
            continue
        answers[key] = await asking.answer(method, given.get("params") or {}, clock.paused())
    return Pending(state=state, answers=answers, waiting=tuple(waiting), rounds=rounds)

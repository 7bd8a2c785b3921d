"""The bounds of a turn as callers give them, checked."""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import ValidationError

from mbxai.agent._events import AgentEvent
from mbxai.agent._human_models import AnswerDeadline
from mbxai.agent.machine._snapshot import Limits
from mbxai.errors import ConfigurationError
from mbxai.wire import Budget

_Check = Callable[[object], str | None]
"""Returns what a value must be, if it is something else."""


def limits_with(base: Limits, given: Mapping[str, object]) -> Limits:
    """Return bounds in which some are replaced.

    Args:
        base: The bounds that hold otherwise.
        given: Bounds by the names of the agent's arguments; all of them are checked.

    Raises:
        ConfigurationError: One is impossible; the message names it.
    """
    for name, value in given.items():
        must_be = _CHECKS[name](value)
        if must_be is not None:
            raise ConfigurationError(f"{name} must be {must_be}, not {value!r:.80}.")
    changes = {_FIELDS.get(name, name): value for name, value in given.items()}
    try:
        return Limits.model_validate({**dict(base), **changes})
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigurationError(f"{where}: {problem['msg']}.") from None


def checked_budget(name: str, budget: object) -> Budget | None:
    """Return a budget that a caller gave.

    Args:
        name: Name of the argument.
        budget: What was given.

    Raises:
        ConfigurationError: It is no `Budget`.
    """
    if budget is None or isinstance(budget, Budget):
        return budget
    raise ConfigurationError(
        f"{name} must be a Budget, not a {type(budget).__name__}.",
        hint="Write Budget(max_cost_usd=0.50), for example.",
    )


def checked_callback(callback: object) -> Callable[[AgentEvent], object] | None:
    """Return a function that a caller gave to be told of events.

    Args:
        callback: What was given as `on_event`.

    Raises:
        ConfigurationError: It is neither None nor callable.
    """
    if callback is not None and not callable(callback):
        raise ConfigurationError(
            f"on_event must be a function of one event, not a {type(callback).__name__}."
        )
    return callback


def _whole(least: int, *, or_none: bool = False) -> _Check:
    def check(value: object) -> str | None:
        if (or_none and value is None) or (
            isinstance(value, int) and not isinstance(value, bool) and value >= least
        ):
            return None
        return f"at least {least}{', or None' if or_none else ''}"

    return check


def _one_of(*words: str) -> _Check:
    return lambda value: None if value in words else " or ".join(map(repr, words))


def _deadline(value: object) -> str | None:
    if value is None or isinstance(value, AnswerDeadline):
        return None
    return "an AnswerDeadline, or None"


_FIELDS: Final = {"answer_deadline": "deadline"}
"""Arguments whose field in `Limits` has another name."""

_CHECKS: Final[Mapping[str, _Check]] = {
    "max_task_iterations": _whole(1),
    "max_replans": _whole(0),
    "max_parallel_tasks": _whole(1),
    "max_tool_rounds": _whole(1),
    "max_repeats": _whole(1),
    "approve_complexity": _whole(1, or_none=True),
    "planning": _one_of("stepwise", "merged"),
    "quality_iterations": _whole(0),
    "max_context_tokens": _whole(1, or_none=True),
    "unplanned_tools": _one_of("ask", "allow"),
    "on_changed_tools": _one_of("continue", "refuse"),
    "answer_deadline": _deadline,
}

"""Options that callers without a type checker may get wrong, told apart and checked; pure."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, cast

from mbxai.errors import ConfigurationError
from mbxai.tools._call import ToolApproval
from mbxai.tools._context import ToolContext
from mbxai.tools.loop._options import ToolClientOptions, ToolLoopOptions
from mbxai.wire import Budget, CompletionParams


def split_params(
    params: Mapping[str, Any],
) -> tuple[ToolLoopOptions, dict[str, Any]]:  # Any: open JSON of the wire
    """Return what the conversation is told, and what each request says.

    Args:
        params: Keyword arguments of `chat` or `parse`.

    Raises:
        ConfigurationError: An option cannot be, or looks misspelt.
    """
    names = ToolLoopOptions.__annotations__
    options: ToolLoopOptions = {}
    request: dict[str, Any] = {}
    for name, value in params.items():
        (options if name in names else request)[name] = value
    for name in request.keys() - CompletionParams.__annotations__.keys():
        check_spelling(name, names, "A conversation with tools")
    check_options(options)
    return options, request


def check_client_options(options: Mapping[str, Any]) -> None:
    """Refuse options that a client does not have.

    Args:
        options: Keyword arguments of a client.

    Raises:
        ConfigurationError: One of them is unknown.
    """
    known = ToolClientOptions.__annotations__
    for name in options.keys() - known.keys():
        check_spelling(name, known, "A tool client")
        hint = "Give it to chat() or parse()." if name in ToolLoopOptions.__annotations__ else ""
        raise ConfigurationError(f"A tool client has no option {name!r}.", hint=hint)


def check_spelling(name: str, known: Iterable[str], owner: str) -> None:
    """Refuse a name that is almost one of those known.

    Args:
        name: What the caller wrote.
        known: What there is.
        owner: What has these options.

    Raises:
        ConfigurationError: The name looks misspelt.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    if near:
        raise ConfigurationError(
            f"{owner} has no option {name!r}.", hint=f"Did you mean {near[0]!r}?"
        )


def check_options(options: ToolLoopOptions) -> None:
    """Refuse options that cannot be.

    Raises:
        ConfigurationError: One of them is of a wrong kind, or out of its range.
    """
    given: Mapping[str, Any] = cast("Mapping[str, Any]", options)
    for name in ("max_rounds", "max_repeats"):
        value = given.get(name, 1)
        if value is None and name == "max_repeats":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number from 1, not {value!r:.80}.")
    for name, kind, hint in (
        ("budget", Budget, "Write Budget(max_cost_usd=0.50), for example."),
        ("context", ToolContext, "Write ToolContext(session_id=...), for example."),
        ("tool_results", Mapping, "Write {call_id: result}."),
    ):
        if not isinstance(given.get(name), (kind, NoneType)):
            wrong = type(given[name]).__name__
            raise ConfigurationError(f"{name} must be a {kind.__name__}, not a {wrong}.", hint=hint)
    _check_functions(given)
    _check_approvals(given.get("approvals") or ())


def _check_functions(given: Mapping[str, Any]) -> None:
    wanted: Any = given.get("tool_filter")
    is_names = isinstance(wanted, (list, tuple, NoneType))
    if not (is_names or callable(wanted)):
        raise ConfigurationError("tool_filter must be a list of names or a function.")
    if not (given.get("on_event") is None or callable(given["on_event"])):
        raise ConfigurationError("on_event must be a function.")
    for name in ("tool_filter", "on_event"):
        function: Callable[..., object] | None = given.get(name)
        if inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"{name} is not awaited: it must be a plain function.")


def _check_approvals(approvals: object) -> None:
    if not isinstance(approvals, (list, tuple)):
        raise ConfigurationError("approvals must be a list of ToolApproval objects.")
    for approval in cast("Sequence[object]", approvals):
        if not isinstance(approval, ToolApproval):
            raise ConfigurationError(
                f"approvals must be ToolApproval objects, not {type(approval).__name__}.",
                hint="Use approve() or deny() of a pending call.",
            )

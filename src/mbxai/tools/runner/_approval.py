"""Whether a call may run: what a person has said, and whether one must be asked."""

import hmac
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from mbxai.tools._call import ToolApproval, ToolCall
from mbxai.tools._context import ToolContext
from mbxai.tools._tool import Tool
from mbxai.tools.runner._cleaning import Cleaner
from mbxai.tools.runner._hooks import CallbackFailedError, ask, log_failed
from mbxai.tools.runner._prepare import Prepared

Decision: TypeAlias = bool | Awaitable[bool | None] | None
"""True runs a call, False denies it, None has not decided yet."""

# Any: the application's own dependencies.
Approver: TypeAlias = (
    Callable[[ToolCall], Decision] | Callable[[ToolCall, ToolContext[Any]], Decision]
)
"""Says whether a call may run; with a second parameter it learns for whom, from the context.

It may ask a person, and may block.
"""


class Verdict(NamedTuple):
    """What becomes of a call.

    Attributes:
        word: Whether it runs now, is denied, or waits.
        reason: Why it was denied; may be empty.
        stale: Approvals of this call that were given for other arguments.
    """

    word: Literal["run", "deny", "wait"]
    reason: str = ""
    stale: tuple[ToolApproval, ...] = ()


async def judge(
    tool: Tool,
    ready: Prepared,
    approvals: Sequence[ToolApproval],
    approve: Approver | None,
    context: ToolContext[Any],  # Any: the application's own dependencies
    clean: Cleaner,
) -> Verdict:
    """Say whether a call may run.

    Args:
        tool: The tool.
        ready: The call as it would be run.
        approvals: Words of people; one counts only for the very call that it was given for.
        approve: Asked where nothing was said and approval is needed.
        context: What surrounds the call.
        clean: Knows whether a traceback may be shown.
    """
    call = ready.call
    said = [word for word in approvals if word.call_id == call.id]
    words = [word for word in said if _is_about(word, call)]
    stale = tuple(word for word in said if word not in words)
    denied = next((word for word in words if word.approved is not True), None)
    if denied is not None:
        return Verdict("deny", denied.reason, stale)
    if words:
        return Verdict("run", stale=stale)
    if stale:
        # A person has spoken, of something else: nobody but a person may go on from here.
        return Verdict("wait", stale=stale)
    if not await needs_approval(tool, ready, clean):
        return Verdict("run")
    if approve is None:
        return Verdict("wait")
    try:
        shown = (call, context) if takes_context(approve) else (call,)
        answer = await ask(approve, *shown)
    except CallbackFailedError as error:
        log_failed("approve", call, clean, error)
        return Verdict("deny")
    if answer is None:
        return Verdict("wait")
    return Verdict("run" if answer is True else "deny")


def takes_context(approve: Approver) -> bool:
    """Whether a function wants to know what surrounds the call that it decides.

    Args:
        approve: The application's function.
    """
    try:
        inspect.signature(approve).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


async def needs_approval(tool: Tool, ready: Prepared, clean: Cleaner) -> bool:
    """Say whether a person must agree to a call; if the tool's rule fails, one must.

    Args:
        tool: The tool.
        ready: The call as it would be run.
        clean: Knows whether a traceback may be shown.
    """
    rule = tool.requires_approval
    if not callable(rule):
        return rule is not False
    try:
        given, exact = _views(tool, ready)
        if await ask(rule, given) is not False:
            return True
        # Validation may have changed what the rule looked at, as by taking spaces off.
        return exact != given and await ask(rule, exact) is not False
    except Exception as error:  # noqa: BLE001  # the rule, or a value that has no JSON form
        log_failed("requires_approval", ready.call, clean, error)
        return True


def _views(tool: Tool, ready: Prepared) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments as the model wrote them, and as the function gets them; with defaults."""
    parameters = tool.signature.parameters if tool.signature is not None else ()
    defaults: dict[str, Any] = {
        parameter.name: _shown(parameter.default)
        for parameter in parameters
        if parameter.injection is None
        and not parameter.is_required
        and parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        and not isinstance(parameter.default, FieldInfo)
    }
    exact: dict[str, Any] = {}
    for name, value in ready.values.items():
        shown = _shown(value)
        alone = len(ready.values) == 1 and name not in ready.given
        # A lone model has taken the place of the arguments.
        exact |= shown if alone and isinstance(shown, dict) else {name: shown}
    filled = {**defaults, **exact}
    return {**filled, **ready.given}, {**defaults, **ready.given, **exact}


def _shown(value: object) -> Any:
    return to_jsonable_python(value, by_alias=True, fallback=str)


def _is_about(word: ToolApproval, call: ToolCall) -> bool:
    return hmac.compare_digest(word.digest.encode(), call.digest.encode())

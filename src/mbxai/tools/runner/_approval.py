"""Whether a call may run: what a person has said, and whether one must be asked."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from mbxai._redaction import get_logger
from mbxai.tools._call import ToolApproval, ToolCall
from mbxai.tools._tool import Tool
from mbxai.tools.runner._hooks import CallbackFailedError, ask

logger = get_logger(__name__)

Approver: TypeAlias = Callable[[ToolCall], bool | Awaitable[bool | None] | None]
"""Says whether a call may run: True runs it, False denies it, None has not decided yet.

It may ask a person, and may block.
"""


class Verdict(NamedTuple):
    """What becomes of a call.

    Attributes:
        word: Whether it runs now, is denied, or waits.
        reason: Why it was denied; may be empty.
    """

    word: Literal["run", "deny", "wait"]
    reason: str = ""


async def judge(
    tool: Tool,
    call: ToolCall,
    given: dict[str, Any],  # Any: JSON of the wire
    approvals: Sequence[ToolApproval],
    approve: Approver | None,
) -> Verdict:
    """Say whether a call may run.

    Args:
        tool: The tool.
        call: The call as it would be run.
        given: Its arguments.
        approvals: Words of people; one counts only for the very call that it was given for.
        approve: Asked where nothing was said and approval is needed.
    """
    words = [word for word in approvals if word.call_id == call.id and _is_about(word, call)]
    denied = next((word for word in words if word.approved is not True), None)
    if denied is not None:
        return Verdict("deny", denied.reason)
    if words or not await _needs_approval(tool, given):
        return Verdict("run")
    if approve is None:
        return Verdict("wait")
    try:
        answer = await ask(approve, call)
    except CallbackFailedError as error:
        logger.error("approve= failed for tool %s", call.name, exc_info=error.__cause__)  # noqa: TRY400  # the cause, not the wrapper
        return Verdict("deny")
    if answer is None:
        return Verdict("wait")
    return Verdict("run" if answer is True else "deny")


async def _needs_approval(tool: Tool, given: dict[str, Any]) -> bool:
    rule = tool.requires_approval
    if not callable(rule):
        return rule is not False
    try:
        return await ask(rule, given) is not False
    except CallbackFailedError as error:
        logger.error(  # noqa: TRY400  # the cause, not the wrapper
            "requires_approval= failed for tool %s", tool.name, exc_info=error.__cause__
        )
        return True


def _is_about(word: ToolApproval, call: ToolCall) -> bool:
    return hmac.compare_digest(word.digest.encode(), call.digest.encode())

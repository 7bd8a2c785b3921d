"""Which calls of tools a person must agree to, as the tools themselves say for their arguments."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import anyio.to_thread

import mbxai.agent.machine._permits as permits
import mbxai.agent.machine._references as references
from mbxai._redaction import get_logger
from mbxai.agent._ports import ClientPort
from mbxai.agent.machine._asked_calls import asked_calls
from mbxai.agent.machine._drafts import ToolCallDraft
from mbxai.agent.machine._inputs import ToolPolicy
from mbxai.agent.machine._plan_checks import MAX_TASKS
from mbxai.agent.machine._snapshot import ToolCall
from mbxai.wire import ToolInfo, call_digest

logger = get_logger(__name__)


def policies_of(infos: Sequence[ToolInfo]) -> dict[str, ToolPolicy]:
    """Return what the machine must know of tools before they run, by name.

    Args:
        infos: What the client says of its tools.
    """
    return {
        info.name: ToolPolicy(
            effect=info.effect,
            requires_approval=info.requires_approval,
            source=info.source,
            is_trusted=info.is_trusted,
            may_repeat=info.may_repeat,
        )
        for info in infos
    }


async def needing_approval(
    port: ClientPort, message: Mapping[str, Any], infos: Sequence[ToolInfo]
) -> tuple[str, ...]:
    """Return the ids of the calls in a message that a person must agree to.

    Args:
        port: The client with the tools.
        message: An assistant message as it goes back to the model.
        infos: What the client says of the tools that may be used.

    Returns:
        Ids in the order of the calls.
    """
    asking = {info.name for info in infos if info.requires_approval}
    return tuple(
        [
            call.call_id
            for call in asked_calls(message)
            if call.name in asking
            and not call.refusal
            and await _needs_approval(port, call.name, call.arguments)
        ]
    )


async def plan_needing_approval(
    port: ClientPort, calls: Sequence[ToolCallDraft], infos: Sequence[ToolInfo]
) -> tuple[str, ...]:
    """Return the digests of the calls in a plan that a person must agree to.

    Args:
        port: The client with the tools.
        calls: The calls. Of one that refers to results, the arguments are not known yet: if its
            tool wants approval at times, a person is asked.
        infos: What the client says of the tools that may be used.

    Returns:
        Digests in the order of the calls.
    """
    asking = {info.name for info in infos if info.requires_approval}
    return tuple(
        [
            call_digest(call.name, call.arguments)
            for number, call in enumerate(calls)
            if call.name in asking
            and (
                number >= MAX_TASKS  # such a plan is not carried out as it is
                or references.keys_in(call.arguments)
                or await _needs_approval(port, call.name, call.arguments)
            )
        ]
    )


def is_void(call: ToolCall, definitions: Mapping[str, str]) -> bool:
    """Say whether a person agreed to another call than the one that would be run.

    Args:
        call: The call.
        definitions: Fingerprints of the tools as they are now, by name.
    """
    return call.approved and permits.is_void(call.grant, call, definitions)


async def may_run(port: ClientPort, call: ToolCall) -> bool:
    """Say whether a call needs no approval, or has it.

    Args:
        port: The client with the tools.
        call: The call.
    """
    if call.approved:
        return True
    asking = {info.name for info in port.tool_infos() if info.requires_approval}
    return call.name not in asking or not await _needs_approval(port, call.name, call.arguments)


async def _needs_approval(port: ClientPort, name: str, arguments: str) -> bool:
    """Ask the client about a tool that wants approval; one that cannot say wants it always."""
    rule = getattr(port.client, "needs_approval", None)
    if not callable(rule):
        return True
    try:
        if inspect.iscoroutinefunction(rule):
            return await rule(name, arguments) is not False
        # It may block; its answer may still be awaitable.
        ask = partial(rule, name, arguments)
        answer: object = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        return (await answer if inspect.isawaitable(answer) else answer) is not False
    except Exception as error:  # noqa: BLE001  # the user's own client runs here
        logger.warning("Whether %.64s needs approval is not known: %s", name, type(error).__name__)
        return True

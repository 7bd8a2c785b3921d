"""Our own tools as an MCP server shows and runs them; plain data, no protocol here.

The registry and the runner are those of the tool clients. What differs is what a caller, who may be
a stranger, learns of a failure: a `ToolError` is meant to be read, anything else stays in our log.
"""

import copy
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
import pydantic_core
from pydantic import ValidationError

from mbxai._redaction import get_logger
from mbxai.errors import ToolError, ToolRetry
from mbxai.mcp.serving._blocks import shown_result
from mbxai.mcp.serving._context import MCPContext, note_missing
from mbxai.mcp.serving._exchange import MissingAbilityError, is_pause
from mbxai.mcp.serving._outputs import OutputShape, misfit, output_shape
from mbxai.tools import PendingCall, Tool, ToolCall, ToolRegistry
from mbxai.tools.runner._attempt import is_coroutine_function
from mbxai.tools.runner._failures import leaves_of
from mbxai.tools.runner._progress import ToolListener
from mbxai.tools.runner._results import is_light
from mbxai.tools.runner._runner import ToolRunner
from mbxai.tools.runner._threads import in_thread
from mbxai.tools.schema._signature import AnyFunction, innermost
from mbxai.wire import ToolResult

logger = get_logger(__name__)

Approve: TypeAlias = Callable[[PendingCall], Awaitable[str]]
"""Asks a person whether a call may run; returns why it may not, or nothing if it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is shown of a tool besides what it is.

    Attributes:
        title: Its name for people; empty for none.
        scopes: What a caller's token must allow.
        output: What it promises to return.
        may_ask: Whether its function may ask the client something, and then waits for a person.
    """

    title: str = ""
    scopes: Sequence[str] = ()
    output: OutputShape | None = None
    may_ask: bool = False


class ServedTools:
    """The tools of one server."""

    def __init__(self) -> None:
        """Start with no tools."""
        self.registry: ToolRegistry = ToolRegistry()
        self._runner = ToolRunner(self.registry)
        # A person takes as long as they take; the client says when it waits no longer.
        self._patient_runner = ToolRunner(self.registry, tool_timeout=None)
        self._shown: dict[str, Shown] = {}

    def add(self, tool: Tool, *, title: str = "", scopes: Sequence[str] = ()) -> None:
        """Serve a tool; one of the same name is replaced.

        Args:
            tool: The tool, with its function.
            title: Its name for people.
            scopes: What a caller's token must allow.
        """
        shape = output_shape(tool.function) if tool.function is not None else None
        self._shown = {
            **self._shown,
            tool.name: Shown(
                title=title, scopes=tuple(scopes), output=shape, may_ask=_takes_client(tool)
            ),
        }
        self.registry.add(_guarded(tool, shape), replace=True)

    def remove(self, name: str) -> bool:
        """Stop serving a tool; returns whether there was one."""
        is_known = name in self.registry
        self.registry.remove(name)
        return is_known

    def shown(self, name: str) -> Shown:
        """Return what is shown of a tool besides what it is."""
        return self._shown.get(name, _PLAIN)

    def all_scopes(self) -> list[str]:
        """Return every scope that some tool asks for."""
        names = self.registry.names()
        return sorted({scope for name in names for scope in self.shown(name).scopes})

    def schema(self, name: str) -> dict[str, Any] | None:
        """Return the JSON Schema of a tool's arguments, or None if there is no such tool."""
        tool = self.registry.get(name)
        return None if tool is None else tool_schema(tool)

    async def run(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        call_id: str = "",
        context: MCPContext[Any] | None = None,
        listener: ToolListener | None = None,
        approve: Approve | None = None,
    ) -> ToolResult:
        """Run a tool.

        Args:
            name: Its name; it must be there.
            arguments: Its arguments, not yet validated.
            call_id: The caller's id of the call.
            context: What surrounds the call.
            listener: Told of its progress.
            approve: Asked before a tool runs that a person must agree to; without it, it does not
                run.

        Returns:
            The result; wrong arguments, failures and what nobody agreed to are results with
            `is_error`.
        """
        call = ToolCall(call_id, name, pydantic_core.to_json(arguments).decode())
        runner = self._patient_runner if self.shown(name).may_ask else self._runner
        tool = self.registry.get(name)
        if tool is None or tool.function is None or tool.requires_approval is False:
            return await runner.run(call, context, listener=listener)
        settled = await runner.run_round([call], context, listener=listener)
        if settled.results:
            return settled.results[0]
        waiting = settled.pending[0]
        refusal = f"{name} needs a person's approval, and nobody can be asked here."
        if approve is not None:
            refusal = await approve(waiting)
        if refusal:
            return ToolResult(call_id=call_id, name=name, content=refusal, is_error=True)
        return await runner.run(waiting.call, context, listener=listener)

    def structured(self, result: ToolResult) -> dict[str, Any] | None:
        """Return the structured part of a result; None if it has none.

        Args:
            result: A result of `run`.
        """
        shape = self.shown(result.name).output
        if shape is None or result.is_error or result.is_cut:
            return structured_part(result)
        if isinstance(result.value, str):
            return shape.structured(result.content)
        try:
            # From the text, out of which credentials have been taken.
            return shape.structured(pydantic_core.from_json(result.content))
        except ValueError:
            return None

    def checked(self, result: ToolResult) -> ToolResult:
        """Return a result, or what is said instead of one that cannot keep the tool's promise.

        Args:
            result: A result of `run`.
        """
        shape = self.shown(result.name).output
        if shape is None or result.is_error or self.structured(result) is not None:
            return result
        why = (
            "The result is too large to be sent whole; this is its beginning:"
            if result.is_cut
            else f"{result.name} did not return what it promises to. The server's log says why."
        )
        if not result.is_cut:
            logger.error("Tool %s did not return what its annotation says", result.name)
        content = f"{why}\n{result.content}" if result.is_cut else why
        return ToolResult(call_id=result.call_id, name=result.name, content=content, is_error=True)

    async def aclose(self) -> None:
        """Cancel functions that ignored their time limit and still run."""
        with anyio.CancelScope(shield=True):
            await self._runner.aclose()
            await self._patient_runner.aclose()


_PLAIN = Shown()


def tool_schema(tool: Tool) -> dict[str, Any]:
    """Return a schema of a tool's arguments that the protocol allows: an object at its root.

    Args:
        tool: The tool.
    """
    return {**copy.deepcopy(tool.schema), "type": "object"}


def structured_part(result: ToolResult) -> dict[str, Any] | None:
    """Return a result as a JSON object, where it is one.

    Args:
        result: A result; it is read from its text, from which secrets have been taken.
    """
    if result.is_error or result.is_cut or isinstance(result.value, str):
        return None
    try:
        value: object = pydantic_core.from_json(result.content)
    except ValueError:  # no JSON
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _takes_client(tool: Tool) -> bool:
    parameters = tool.signature.parameters if tool.signature is not None else ()
    return any(p.injection is not None and p.injection.kind == "context" for p in parameters)


def _guarded(tool: Tool, shape: OutputShape | None) -> Tool:
    """Return the tool with a function that keeps the text of unforeseen errors to itself."""
    function = tool.function
    if function is None:
        return tool
    copied = copy.copy(tool)
    # The signature has been read from the original and stays; only what is called is replaced.
    object.__setattr__(copied, "function", _guard(function, tool.name, shape))
    object.__setattr__(copied, "on_error", "tell")  # there is no conversation that could end
    return copied


def _guard(function: AnyFunction, name: str, shape: OutputShape | None) -> AnyFunction:
    shaped = partial(_shaped, name=name, shape=shape)

    async def call_async(*positional: Any, **keywords: Any) -> Any:
        try:
            value: Any = function(*positional, **keywords)
            value = await value if inspect.isawaitable(value) else value
            return shaped(value) if is_light(value) else await in_thread(lambda: shaped(value))
        except BaseException as error:  # noqa: BLE001  # what is no answer is raised again
            return _told(error, name, (*positional, *keywords.values()))

    async def generate(*positional: Any, **keywords: Any) -> AsyncGenerator[Any]:
        try:
            async with aclosing(function(*positional, **keywords)) as items:
                async for item in items:
                    yield item
        except BaseException as error:  # noqa: BLE001  # what is no answer is raised again
            yield _told(error, name, (*positional, *keywords.values()))

    def call(*positional: Any, **keywords: Any) -> Any:
        try:
            return shaped(function(*positional, **keywords))
        except BaseException as error:  # noqa: BLE001  # what is no answer is raised again
            return _told(error, name, (*positional, *keywords.values()))

    if inspect.isasyncgenfunction(innermost(function)):
        return generate
    return call_async if is_coroutine_function(function) else call


def _shaped(value: Any, *, name: str, shape: OutputShape | None) -> Any:
    """What a function returned, as the runner is given it."""
    if isinstance(value, ToolResult) or inspect.isawaitable(value) or inspect.isgenerator(value):
        return value
    if shape is None:
        return shown_result(value) or value
    try:
        return shape.plain(value)
    except ValidationError as error:
        logger.error("Tool %s returned something else than it says: %s", name, misfit(error))  # noqa: TRY400  # the traceback may show the value
        raise ToolRetry(
            f"{name} did not return what it promises to. The server's log says why."
        ) from None


def _told(error: BaseException, name: str, arguments: Sequence[object]) -> ToolResult:
    """The result of a function that ended to wait for an answer; raises for any other end."""
    leaves = leaves_of(error)
    if is_pause(error):
        return ToolResult(call_id="", name=name, content=f"{name} waits for an answer.")
    first = leaves[0]
    if not isinstance(error, Exception) or isinstance(first, ToolRetry):
        raise error
    if isinstance(first, MissingAbilityError):
        for argument in arguments:
            if isinstance(argument, MCPContext):
                note_missing(cast("MCPContext[Any]", argument), first.ability)
        logger.info("Tool %s ended: %s", name, first)
        raise ToolRetry(first.message) from error
    if isinstance(first, ToolError) and len(leaves) == 1:
        raise ToolRetry(str(first)) from error
    logger.error("Tool %s failed", name, exc_info=error)
    raise ToolRetry(f"{name} failed. The server's log says why.") from error

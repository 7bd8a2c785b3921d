"""Our own tools as an MCP server shows and runs them; plain data, no protocol here.

The registry and the runner are those of the tool clients. What differs is what a caller, who may be
a stranger, learns of a failure: a `ToolError` is meant to be read, anything else stays in our log.
"""

import copy
import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import anyio
import pydantic_core

from mbxai._redaction import get_logger
from mbxai.errors import ToolError, ToolRetry
from mbxai.tools import Tool, ToolCall, ToolRegistry
from mbxai.tools.runner._attempt import is_coroutine_function
from mbxai.tools.runner._runner import ToolRunner
from mbxai.tools.schema._signature import AnyFunction, innermost
from mbxai.wire import ToolResult

logger = get_logger(__name__)


class ServedTools:
    """The tools of one server."""

    def __init__(self) -> None:
        """Start with no tools."""
        self.registry = ToolRegistry()
        self._runner = ToolRunner(self.registry)

    def add(self, tool: Tool) -> None:
        """Serve a tool; one of the same name is replaced.

        Args:
            tool: The tool, with its function.
        """
        self.registry.add(_guarded(tool), replace=True)

    def schema(self, name: str) -> dict[str, Any] | None:
        """Return the JSON Schema of a tool's arguments, or None if there is no such tool."""
        tool = self.registry.get(name)
        return None if tool is None else tool_schema(tool)

    async def run(
        self, name: str, arguments: Mapping[str, Any], *, call_id: str = ""
    ) -> ToolResult:
        """Run a tool.

        Args:
            name: Its name; it must be there.
            arguments: Its arguments, not yet validated.
            call_id: The caller's id of the call.

        Returns:
            The result; wrong arguments and failures are results with `is_error`.
        """
        text = pydantic_core.to_json(arguments).decode()
        return await self._runner.run(ToolCall(call_id, name, text))

    async def aclose(self) -> None:
        """Cancel functions that ignored their time limit and still run."""
        with anyio.CancelScope(shield=True):
            await self._runner.aclose()


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
    if result.is_error or isinstance(result.value, str):
        return None
    try:
        value: object = pydantic_core.from_json(result.content)
    except ValueError:  # cut to its size limit, or no JSON
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _guarded(tool: Tool) -> Tool:
    """Return the tool with a function that keeps the text of unforeseen errors to itself."""
    function = tool.function
    if function is None:
        return tool
    copied = copy.copy(tool)
    # The signature has been read from the original and stays; only what is called is replaced.
    object.__setattr__(copied, "function", _guard(function, tool.name))
    return copied


def _guard(function: AnyFunction, name: str) -> AnyFunction:
    async def call_async(*positional: Any, **keywords: Any) -> Any:
        try:
            value: Any = function(*positional, **keywords)
            return await value if inspect.isawaitable(value) else value
        except Exception as error:
            raise _readable(error, name) from error

    async def generate(*positional: Any, **keywords: Any) -> AsyncGenerator[Any]:
        try:
            async with aclosing(function(*positional, **keywords)) as items:
                async for item in items:
                    yield item
        except Exception as error:
            raise _readable(error, name) from error

    def call(*positional: Any, **keywords: Any) -> Any:
        try:
            return function(*positional, **keywords)
        except Exception as error:
            raise _readable(error, name) from error

    if inspect.isasyncgenfunction(innermost(function)):
        return generate
    return call_async if is_coroutine_function(function) else call


def _readable(error: Exception, name: str) -> ToolRetry:
    if isinstance(error, ToolError):
        return ToolRetry(str(error))
    logger.error("Tool %s failed", name, exc_info=error)
    return ToolRetry(f"{name} failed. The server's log says why.")

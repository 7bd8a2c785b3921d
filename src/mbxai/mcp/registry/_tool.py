"""A tool of a server, as the model has it: its name here, its options, and how it is called."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Final

from mbxai._redaction import get_logger
from mbxai.errors import MCPError, MCPToolError
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._session import Session
from mbxai.mcp.registry._content import read_result
from mbxai.mcp.registry._slots import Slots
from mbxai.tools import Tool, ToolContext
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.tools.runner._failures import FailedRunError
from mbxai.tools.schema._docstring import DocstringText
from mbxai.tools.schema._schema import FunctionSignature, read_signature
from mbxai.wire import ToolQuestion, ToolResult

logger = get_logger(__name__)

_FRACTION_DIGITS: Final = 4  # of a hundred per cent; what is left is noise of the addition
_NO_TEXTS: Final = DocstringText("", {})


@dataclass(frozen=True)
class MCPTool(Tool):
    """A tool of an MCP server.

    Attributes:
        original_name: The server's own name of the tool.
        output_schema: JSON Schema of the structured result; None if the server declares none.
        title: The server's name of the tool for people; empty if it gives none.
        annotations: What the server says of the tool's effects, unproven; its approval and its
            repetition do not depend on it.
    """

    original_name: str = ""
    output_schema: dict[str, Any] | None = None
    title: str = ""
    annotations: dict[str, Any] = field(default_factory=dict[str, Any])
    model_schema: dict[str, Any] | None = field(default=None, repr=False)
    """The schema without hidden characters and endless texts; None where it has none of them."""

    # The connection keeps the time of a call: without that for a free place, or for a person.
    keeps_own_time: ClassVar[bool] = True

    @property
    def shown_schema(self) -> dict[str, Any]:
        """What a model's view is made of; arguments are checked against `schema`, word for word."""
        return self.schema if self.model_schema is None else self.model_schema

    def _known_signature(self) -> FunctionSignature | None:
        # All are called in one way, and a server may have a thousand of them.
        return _signature()


class ServerCall:
    """Calls one tool of a server."""

    def __init__(
        self,
        connection: ServerConnection,
        slots: Slots,
        *,
        name: str,
        original_name: str,
        output_schema: Mapping[str, Any] | None,
        timeout: float | None,
        may_resend: bool,
        check: Callable[[Session], Awaitable[None]] | None = None,
    ) -> None:
        """Take what is known of the tool.

        Args:
            connection: The server.
            slots: How many of its calls may run at the same time.
            name: The name that the model uses.
            original_name: The server's own name of the tool.
            output_schema: JSON Schema of the structured result, if there is one.
            timeout: Seconds for one call; None takes that of the server.
            may_resend: Whether a call may be sent again whose outcome is not known.
            check: Sees that the tool is still what it was, before each time it is called.
        """
        self._connection = connection
        self._slots = slots
        self._name = name
        self._original_name = original_name
        self._output_schema = output_schema
        self._checker = None if output_schema is None else SchemaChecker(output_schema, name)
        self._options: dict[str, Any] = {"may_resend": may_resend, "check": check}
        if timeout is not None:
            self._options["timeout"] = timeout

    # Arguments may have any names, so nothing else here is given by name.
    async def run(self, context: ToolContext[Any], /, **arguments: Any) -> ToolResult:
        """Make the call.

        Raises:
            FailedRunError: The tool says that it failed, or the call did.
        """
        try:
            async with self._slots.taken():
                answer = await self._connection.call_tool(
                    self._original_name,
                    arguments,
                    progress=_progress(context),
                    can_pause=context.can_pause,
                    answer=context.answer,
                    **self._options,
                )
        except MCPError as error:
            raise failed_call(self._name, error) from error
        if isinstance(answer, ToolQuestion):
            text = f"{self._name} waits for a person's answer; it has no result yet."
            return ToolResult(call_id="", name=self._name, content=text, question=answer)
        result = await read_result(
            answer,
            name=self._name,
            checker=self._checker,
            output_schema=self._output_schema,
        )
        if result.is_error:
            server = self._connection.target.name
            raise FailedRunError(result) from MCPToolError(
                f"Tool {self._original_name!r} of MCP server {server!r} says that it failed.",
                server=server,
            )
        return result


def failed_call(name: str, error: MCPError) -> FailedRunError:
    """Return what a tool raises where its server did not give a result.

    Args:
        name: The name that the model uses.
        error: What went wrong; it is raised from this.
    """
    # The model is told, as of any tool that failed; a traceback would add nothing.
    logger.warning("Tool %s failed: %s", name, error)
    text = f"{name} failed: {error}"
    return FailedRunError(ToolResult(call_id="", name=name, content=text, is_error=True))


@cache
def _signature() -> FunctionSignature:
    return read_signature(ServerCall.run.__get__(object()), "tool", _NO_TEXTS, lenient=True)


def _progress(context: ToolContext[Any]) -> Any:
    def report(progress: float, total: float | None, message: str) -> None:
        fraction = round(progress / total, _FRACTION_DIGITS) if total else None
        context.report(message or ("" if total else f"{progress:g}"), fraction)

    return report

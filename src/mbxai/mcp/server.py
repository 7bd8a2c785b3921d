"""An MCP server made of Python functions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import mbxai.portal as portal
from mbxai.mcp._http_app import SessionEndpoint, rest_app, streamable_app
from mbxai.mcp._protocol import make_protocol_server, serve_stdio
from mbxai.mcp._served_tools import ServedTools
from mbxai.tools import Tool, ToolOptions, ToolRegistry
from mbxai.tools._tool import MarkOptions
from mbxai.tools.schema._signature import AnyFunction

if TYPE_CHECKING:  # slow to load
    from fastapi import FastAPI
    from starlette.applications import Starlette

__all__ = ["MCPServer", "Tool"]

F = TypeVar("F", bound=Callable[..., Any])


class MCPServer:
    """Offers Python functions to MCP clients, over standard input and output or over HTTP.

    A function is described by its signature and its docstring; arguments are validated before it
    runs. Functions that are no coroutines run in worker threads. A raised `ToolError` is shown to
    the caller; any other exception stays in this program's log.
    """

    def __init__(
        self,
        name: str,
        description: str | None = None,
        *,
        version: str = "",
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """Make a server without tools.

        Args:
            name: The server's name.
            description: What it is for; clients may show it to their models.
            version: Its version.
            allowed_hosts: Host names, without port, under which it may be reached over HTTP besides
                localhost; "*" allows every name, for a server that a proxy protects.
        """
        self.name = name
        self.description = description
        self.version = version
        self._hosts = tuple(allowed_hosts)
        self._tools = ServedTools()

    @property
    def registry(self) -> ToolRegistry:
        """The tools that are served; `register` adds to them."""
        return self._tools.registry

    @cached_property
    def mcp_server(self) -> Any:
        """The protocol package's low-level server, `mcp.server.Server`, that asks for our tools."""
        return make_protocol_server(self.name, self.description, self.version, self._tools)

    @cached_property
    def app(self) -> "FastAPI":
        """A FastAPI application, the same each time.

        It speaks streamable HTTP at `/` and `/mcp`, lists the tools at GET `/tools` and runs one at
        POST `/tools/{name}/invoke` with a JSON object of arguments.

        Raises:
            ConfigurationError: FastAPI is not installed; it comes with `mbxai[fastapi]`.
        """
        return rest_app(self._endpoint, self.name, self._tools, self._hosts)

    async def add_tool(self, function: AnyFunction) -> None:
        """Serve a function; a tool of the same name is replaced.

        Args:
            function: Any callable with annotated parameters; may bear the `tool` decorator.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
        """
        self.register(function)

    def register(
        self,
        function: AnyFunction,
        *,
        name: str | None = None,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Serve a function; a tool of the same name is replaced.

        Args:
            function: Any callable with annotated parameters; may bear the `tool` decorator.
            name: Another name than the function's.
            description: Another description than the docstring's.
            schema: JSON Schema of the arguments, instead of the one made from the signature.
            **options: `effect`, `timeout` in seconds, `requires_approval`, `max_result_bytes`.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
        """
        self._tools.add(
            Tool.from_function(
                function, name=name, description=description, schema=schema, **options
            )
        )

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, /, **options: Unpack[MarkOptions]) -> Callable[[F], F]: ...
    def tool(
        self, function: F | None = None, /, **options: Unpack[MarkOptions]
    ) -> F | Callable[[F], F]:
        """Serve the decorated function; the function stays as it is.

        Works as `@server.tool` and as `@server.tool(effect="read")`.

        Args:
            function: The function, where the decorator is used without options.
            **options: `name`, `description`, `effect`, `timeout` in seconds, `requires_approval`,
                `max_result_bytes`; name and description come from the function if left out.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
        """

        def add(decorated: F) -> F:
            self.register(decorated, **options)
            return decorated

        return add if function is None else add(function)

    def asgi_app(self, *, path: str = "/mcp") -> "Starlette":
        """Return an application that speaks streamable HTTP, and nothing else.

        Args:
            path: Where it does so.

        Returns:
            A Starlette application with its own lifespan. Mounted in another application its
            lifespan is not run: open `lifespan()` in the host's own.
        """
        return streamable_app(self._endpoint, path=path, hosts=self._hosts)

    def lifespan(self, app: object = None) -> AbstractAsyncContextManager[None]:
        """Return the context in which HTTP requests can be served.

        `app` and `asgi_app()` open it themselves when they are run on their own.

        Args:
            app: The host application; not looked at.
        """
        return self._endpoint.lifespan(app)

    async def run_stdio(self) -> None:
        """Serve one client over standard input and output until it hangs up.

        What tools print does not disturb the protocol; it goes to standard error.
        """
        try:
            await serve_stdio(self.mcp_server)
        finally:
            await self._tools.aclose()

    def run_stdio_sync(self) -> None:
        """Do what `run_stdio` does, in a program without an event loop of its own."""
        portal.run(self.run_stdio)

    @cached_property
    def _endpoint(self) -> SessionEndpoint:
        return SessionEndpoint(self.mcp_server, self._tools)

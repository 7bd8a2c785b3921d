"""An MCP server made of Python functions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import mbxai.portal as portal
from mbxai.mcp.serving._bearer import AccessToken, BearerAuth, check_scopes
from mbxai.mcp.serving._blocks import EmbeddedResource, ResourceLink
from mbxai.mcp.serving._context import MCPContext, Root, SampledMessage
from mbxai.mcp.serving._features import Cached, Features, ServerSettings
from mbxai.mcp.serving._http_app import SessionEndpoint, metadata_route, rest_app, streamable_app
from mbxai.mcp.serving._http_run import run_until_stopped, serve_until_stopped
from mbxai.mcp.serving._offering import Offering
from mbxai.mcp.serving._protocol import make_protocol_server
from mbxai.mcp.serving._stdio import serve_stdio, sigterm_exits
from mbxai.tools import Tool, ToolOptions, ToolRegistry
from mbxai.tools._context import SecretSource
from mbxai.tools._tool import MarkOptions
from mbxai.tools.schema._signature import AnyFunction

if TYPE_CHECKING:  # slow to load
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.routing import Route

__all__ = [
    "AccessToken",
    "BearerAuth",
    "EmbeddedResource",
    "MCPContext",
    "MCPServer",
    "ResourceLink",
    "Root",
    "SampledMessage",
    "Tool",
]

F = TypeVar("F", bound=Callable[..., Any])


class ServedToolOptions(MarkOptions, total=False):
    """What the `tool` decorator of a server takes.

    Attributes:
        title: The tool's name for people.
        scopes: What a caller's token must allow, besides what the server asks of every token.
    """

    title: str
    scopes: Sequence[str]


class RegisterOptions(ToolOptions, total=False):
    """What `register` takes besides a name, a description and a schema.

    Attributes:
        title: The tool's name for people.
        scopes: What a caller's token must allow, besides what the server asks of every token.
    """

    title: str
    scopes: Sequence[str]


class MCPServer(Offering):
    """Offers Python functions to MCP clients, over standard input and output or over HTTP.

    A function is described by its signature and its docstring; arguments are validated before it
    runs. What it returns is described too, where its return annotation is a model, a TypedDict, a
    dataclass, a number or a list of these: clients then get the result as data. Content parts,
    pictures, `EmbeddedResource` and `ResourceLink` are sent as such. Functions that are no
    coroutines run in worker threads. A raised `ToolError` is shown to the caller; any other
    exception stays in this program's log.

    A function that asks for a parameter annotated `MCPContext` can ask the client something, tell
    it how far it is, and write to its log. Tools, resources and prompts may come and go while the
    server runs; clients are told.
    """

    def __init__(
        self,
        name: str,
        description: str | None = None,
        *,
        version: str = "",
        title: str = "",
        instructions: str | None = None,
        auth: BearerAuth | None = None,
        allowed_hosts: Sequence[str] = (),
        state_keys: Sequence[bytes | str] = (),
        state_ttl_seconds: float = 3_600.0,
        cache_seconds: Mapping[Cached, float] | None = None,
        max_body_bytes: int = 4 * 1_048_576,
        idle_seconds: float | None = 1_800.0,
        max_sessions: int = 10_000,
        resumable: bool = False,
        deps: object = None,
        secrets: SecretSource | None = None,
    ) -> None:
        """Make a server that offers nothing yet.

        Args:
            name: The server's name.
            description: What it is for; clients may show it to their models.
            version: Its version.
            title: Its name for people.
            instructions: What clients may tell their models of how to use it; the description, if
                left out.
            auth: Who may call over HTTP; None asks nobody for a token. Over standard input and
                output, who starts the program is trusted.
            allowed_hosts: Host names, without port, under which it may be reached over HTTP besides
                localhost; "*" allows every name, for a server that a proxy protects.
            state_keys: Keys of 32 bytes or more that seal what clients keep for us between a
                question and its answer; the first seals, all open. Give several processes of one
                server the same. If left out, one of this process alone over HTTP; over standard
                input and output one made from the name, which is no secret: whoever starts the
                program is trusted, and the next start must know what it finds.
            state_ttl_seconds: How long a client may take with the answer, in versions of the
                protocol from 2026-07-28 on.
            cache_seconds: How long clients may keep the lists of "tools", "resources" and
                "prompts", and what they "read" of resources; 0 where it is not said.
            max_body_bytes: The largest HTTP request.
            idle_seconds: How long an HTTP session is kept that nobody uses; None keeps it.
            max_sessions: How many HTTP sessions there may be at once.
            resumable: Whether HTTP clients that lost their connection can come back for the
                answer, in versions of the protocol up to 2025-11-25; answers are kept in memory
                for that, 32 MiB at most.
            deps: The application's own object; functions find it in their context.
            secrets: Where tools get their `Secret` parameters.

        Raises:
            ConfigurationError: A setting cannot be.
        """
        settings = ServerSettings(
            name=name,
            title=title,
            description=description,
            instructions=instructions,
            version=version,
            auth=auth,
            allowed_hosts=tuple(allowed_hosts),
            state_keys=tuple(state_keys),
            state_ttl_seconds=state_ttl_seconds,
            cache_seconds=dict(cache_seconds or {}),
            max_body_bytes=max_body_bytes,
            idle_seconds=idle_seconds,
            max_sessions=max_sessions,
            resumable=resumable,
            deps=deps,
            secrets={} if secrets is None else secrets,
        )
        super().__init__(Features(settings))
        self.name = name
        self.description = description
        self.version = version

    @property
    def registry(self) -> ToolRegistry:
        """The tools that are served; `register` adds to them."""
        return self._features.tools.registry

    @cached_property
    def mcp_server(self) -> Any:
        """The protocol package's low-level server, `mcp.server.Server`, that asks for our tools."""
        return make_protocol_server(self._features, self._servings)

    @cached_property
    def app(self) -> "FastAPI":
        """A FastAPI application, the same each time.

        It speaks streamable HTTP at `/` and `/mcp`, lists the tools at GET `/tools` and runs one at
        POST `/tools/{name}/invoke` with a JSON object of arguments.

        Raises:
            ConfigurationError: FastAPI is not installed; it comes with `mbxai[fastapi]`.
        """
        return rest_app(self._endpoint, self._features)

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
        function: AnyFunction | Tool,
        *,
        name: str | None = None,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        **options: Unpack[RegisterOptions],
    ) -> None:
        """Serve a function; a tool of the same name is replaced.

        Args:
            function: Any callable with annotated parameters; may bear the `tool` decorator. Or a
                `Tool`, as of another server's, which is served as it is.
            name: Another name than the function's.
            description: Another description than the docstring's.
            schema: JSON Schema of the arguments, instead of the one made from the signature.
            **options: `title`, `scopes`, `effect`, `timeout` in seconds, `requires_approval`,
                `max_result_bytes`.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
            ConfigurationError: The scopes are no list of words.
        """
        title, scopes = options.pop("title", ""), options.pop("scopes", ())
        if isinstance(function, Tool):
            tool = function
        else:
            plain: Any = options
            tool = Tool.from_function(
                function, name=name, description=description, schema=schema, **plain
            )
        check_scopes(f"Tool {tool.name!r}", scopes)
        self._features.tools.add(tool, title=title, scopes=scopes)
        self._changed("tools")

    def remove_tool(self, name: str) -> bool:
        """Stop serving a tool.

        Args:
            name: Its name.

        Returns:
            Whether there was one.
        """
        is_known = self._features.tools.remove(name)
        if is_known:
            self._changed("tools")
        return is_known

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, /, **options: Unpack[ServedToolOptions]) -> Callable[[F], F]: ...
    def tool(
        self, function: F | None = None, /, **options: Unpack[ServedToolOptions]
    ) -> F | Callable[[F], F]:
        """Serve the decorated function; the function stays as it is.

        Works as `@server.tool` and as `@server.tool(effect="read")`.

        Args:
            function: The function, where the decorator is used without options.
            **options: `name`, `description`, `title`, `scopes`, `effect`, `timeout` in seconds,
                `requires_approval`, `max_result_bytes`; name and description come from the function
                if left out.

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

        Raises:
            ConfigurationError: The path does not begin with a slash.
        """
        return streamable_app(self._endpoint, self._features, path=path)

    def metadata_route(self, *, path: str = "/mcp") -> "Route":
        """Return a route that says, at the root of a host, where tokens are to be had.

        A refused client is told an address below the place where the server is mounted, so this is
        only for clients that look at the root without being told:
        `host.router.routes.append(server.metadata_route(path="/api/mcp"))`.

        Args:
            path: The endpoint's path, from the host's root.

        Raises:
            ConfigurationError: The server asks for no token.
        """
        return metadata_route(self._features, path)

    def lifespan(self, app: object = None) -> AbstractAsyncContextManager[None]:
        """Return the context in which HTTP requests can be served.

        `app` and `asgi_app()` open it themselves when they are run on their own.

        Args:
            app: The host application; not looked at.
        """
        return self._endpoint.lifespan(app)

    async def run_stdio(self) -> None:
        """Serve one client over standard input and output until it hangs up.

        What tools print does not disturb the protocol; it goes to standard error. SIGTERM ends it
        in the orderly way: running calls are cancelled.
        """
        try:
            await serve_stdio(self.mcp_server)
        finally:
            await self._features.tools.aclose()

    def run_stdio_sync(self) -> None:
        """Do what `run_stdio` does, in a program without an event loop of its own."""
        with sigterm_exits():
            portal.run(self.run_stdio)

    async def run_http(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        path: str = "/mcp",
        shutdown_seconds: float = 5.0,
    ) -> None:
        """Serve clients over streamable HTTP until the program is told to stop.

        SIGTERM and Ctrl-C end it in the orderly way: no new calls, and some time for those that
        run.

        Args:
            host: The address to listen at. Other computers reach only "0.0.0.0" and the like, and
                only under names in `allowed_hosts`.
            port: The port to listen at.
            path: Where the server is.
            shutdown_seconds: How long running calls may take once it is told to stop.

        Raises:
            ConfigurationError: It is not possible to listen there, as when another program does.
        """
        app = self.asgi_app(path=path)
        await serve_until_stopped(app, self._endpoint, host, port, shutdown_seconds)

    def run_http_sync(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        path: str = "/mcp",
        shutdown_seconds: float = 5.0,
    ) -> None:
        """Do what `run_http` does, in a program without an event loop of its own.

        Args:
            host: The address to listen at.
            port: The port to listen at.
            path: Where the server is.
            shutdown_seconds: How long running calls may take once it is told to stop.

        Raises:
            ConfigurationError: It is not possible to listen there, as when another program does.
        """
        app = self.asgi_app(path=path)
        run_until_stopped(app, self._endpoint, host, port, shutdown_seconds)

    @cached_property
    def _endpoint(self) -> SessionEndpoint:
        return SessionEndpoint(self.mcp_server, self._features, self._servings)

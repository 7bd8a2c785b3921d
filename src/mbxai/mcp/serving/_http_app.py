"""A server over HTTP: streamable HTTP, and plain REST routes, as ASGI applications."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import pydantic_core

from mbxai.errors import ConfigurationError
from mbxai.mcp.serving._bearer import WELL_KNOWN, missing_scopes
from mbxai.mcp.serving._exchange import Exchange
from mbxai.mcp.serving._features import Features
from mbxai.mcp.serving._guards import BearerGuard, HostGuard, Receive, Scope, Send
from mbxai.mcp.serving._live import SCOPE_ENTRY
from mbxai.mcp.serving._protocol import serving_sessions
from mbxai.mcp.serving._served_tools import tool_schema
from mbxai.mcp.serving._serving import Servings

if TYPE_CHECKING:  # slow to load
    from fastapi import FastAPI
    from mcp.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


class SessionEndpoint:
    """The ASGI endpoint of streamable HTTP; serves while its lifespan is open."""

    def __init__(self, server: "Server[Any]", features: Features, servings: Servings) -> None:
        """Take the server.

        Args:
            server: The protocol's low-level server.
            features: What it serves.
            servings: Those that are going on.
        """
        self._server = server
        self._features = features
        self._servings = servings
        self._manager: StreamableHTTPSessionManager | None = None
        self._streams: set[anyio.CancelScope] = set()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Serve as long as the context is open.

        Args:
            app: The application; not looked at.

        Raises:
            ConfigurationError: It is open already, or tools ask for scopes and nobody for tokens.
        """
        del app
        if self._manager is not None:
            raise ConfigurationError(
                "This MCP server's lifespan is open already.",
                hint="Open it once, in the outermost application.",
            )
        if self._features.settings.auth is None and self._features.tools.all_scopes():
            raise ConfigurationError(
                "Tools of this MCP server ask for scopes, but nobody asks for a token.",
                hint="Give the server auth=BearerAuth(...).",
            )
        async with serving_sessions(self._server, self._features) as manager:
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None
                await self._features.tools.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request.

        Raises:
            ConfigurationError: The lifespan is not open.
        """
        if self._manager is None:
            raise ConfigurationError(
                "This MCP server's lifespan is not open, so it has no sessions.",
                hint="A mounted application's lifespan is not run by its host: open"
                " `server.lifespan()` in the host's own.",
            )
        if scope["method"] != "GET":
            return await self._manager.handle_request(scope, receive, send)
        # A stream of news has no end of its own, and would hold up a server that is told to stop.
        with anyio.CancelScope() as stream:
            self._streams.add(stream)
            try:
                await self._manager.handle_request(scope, receive, send)
            finally:
                self._streams.discard(stream)

    def hang_up(self) -> None:
        """End the streams on which clients wait for news; calls go on."""
        for stream in list(self._streams):
            stream.cancel()
        self._servings.hang_up()


def streamable_app(endpoint: SessionEndpoint, features: Features, *, path: str) -> "Starlette":
    """Return an application that serves streamable HTTP at one path, and nothing else.

    Args:
        endpoint: The endpoint; its lifespan becomes the application's.
        features: What is offered, and on which terms.
        path: Where, for example `/mcp`.

    Raises:
        ConfigurationError: The path does not begin with a slash.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f"The path {path!r:.100} must begin with a slash.")
    # Slow to load, as everything that comes with the protocol's package.
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    return Starlette(
        routes=[Route(path, endpoint)],
        middleware=_guards(features, path),
        lifespan=endpoint.lifespan,
    )


def metadata_route(features: Features, path: str) -> "Route":
    """Return the route at a host's root that says where tokens are to be had.

    Args:
        features: What is offered, and on which terms.
        path: The endpoint's path, from the host's root.

    Raises:
        ConfigurationError: No token is asked for.
    """
    from starlette.routing import Route  # noqa: PLC0415  # slow to load

    auth = features.settings.auth
    if auth is None:
        raise ConfigurationError("This MCP server asks for no token: there is nothing to tell.")
    guard = BearerGuard(_nothing, features, auth, path)
    return Route(f"{WELL_KNOWN}{path}", guard)


def rest_app(endpoint: SessionEndpoint, features: Features) -> "FastAPI":
    """Return an application with the protocol at `/` and `/mcp`, and REST routes for the tools.

    Args:
        endpoint: The endpoint; its lifespan becomes the application's.
        features: What is offered, and on which terms.

    Raises:
        ConfigurationError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
    except ImportError as cause:
        raise ConfigurationError(
            "MCPServer.app needs FastAPI.",
            hint="Install mbxai[fastapi], or use asgi_app(), which does without it.",
        ) from cause
    from starlette.routing import Route  # noqa: PLC0415  # slow to load

    guards = _guards(features, "/mcp")
    app = FastAPI(title=features.settings.name, lifespan=endpoint.lifespan, middleware=guards)
    routes = _RestRoutes(features)
    app.router.routes.extend(
        [
            Route("/tools", routes.list_tools, methods=["GET"]),
            Route("/tools/{name}/invoke", routes.invoke, methods=["POST"]),
            Route("/", endpoint),
            Route("/mcp", endpoint),
        ]
    )
    return app


def _guards(features: Features, path: str) -> "list[Middleware]":
    from starlette.middleware import Middleware  # noqa: PLC0415  # slow to load

    settings = features.settings
    guards = [Middleware(cast("Any", HostGuard), hosts=settings.allowed_hosts)]
    if settings.auth is not None:
        guarded: Any = BearerGuard
        guards.append(Middleware(guarded, features=features, auth=settings.auth, path=path))
    return guards


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What is behind the door of a route that only tells: nothing is ever passed on to it."""


class _RestCaller(Exchange):
    """Who calls over plain REST; cannot be asked anything."""

    def __init__(self, request: "Request") -> None:
        self.token = request.scope.get(SCOPE_ENTRY)


class _RestRoutes:
    """GET `/tools` and POST `/tools/{name}/invoke`."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._tools = features.tools

    async def list_tools(self, request: "Request") -> "Response":
        base = str(request.base_url).rstrip("/")
        return _json(
            {
                "tools": [
                    {
                        "name": tool.name,
                        "description": tool.description,
                        "input_schema": tool_schema(tool),
                        "internal_url": f"{base}/tools/{tool.name}/invoke",
                        "service": self._features.settings.name,
                    }
                    for tool in self._tools.registry.tools()
                ]
            }
        )

    async def invoke(self, request: "Request") -> "Response":
        name = str(request.path_params["name"])
        if name not in self._tools.registry:
            return _json({"error": f"There is no tool {name[:100]!r}."}, status=404)
        caller = _RestCaller(request)
        if self._features.settings.auth is not None:
            lacking = missing_scopes(caller.token, self._tools.shown(name).scopes)
            if lacking:
                return _json(
                    {"error": f"The token does not allow {' '.join(lacking)}."}, status=403
                )
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._features.settings.max_body_bytes:
                return _json({"error": "The body is too large."}, status=413)
        try:
            arguments: object = pydantic_core.from_json(bytes(body)) if body else {}
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return _json({"error": "The body must be a JSON object."}, status=422)
        given = self._unwrapped(name, cast("dict[str, Any]", arguments))
        context = self._features.context(caller)
        result = await self._tools.run(name, given, context=context)
        if result.is_error:
            return _json({"error": result.content}, status=422)
        return _json(result.content if isinstance(result.value, str) else _value(result.content))

    def _unwrapped(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Older clients send `{"input": {...}}`; mean it as an argument only where there is one."""
        inner = arguments.get("input")
        properties = (self._tools.schema(name) or {}).get("properties", {})
        if list(arguments) == ["input"] and isinstance(inner, dict) and "input" not in properties:
            return cast("dict[str, Any]", inner)
        return arguments


def _value(text: str) -> object:
    try:
        return pydantic_core.from_json(text)
    except ValueError:  # cut to its size limit
        return text


def _json(value: object, *, status: int = 200) -> "Response":
    from starlette.responses import Response  # noqa: PLC0415  # slow to load

    return Response(pydantic_core.to_json(value), status, media_type="application/json")

"""A server over HTTP: streamable HTTP, and plain REST routes, as ASGI applications."""

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pydantic_core

from mbxai.errors import ConfigurationError
from mbxai.mcp._protocol import serving_sessions
from mbxai.mcp._served_tools import ServedTools, tool_schema

if TYPE_CHECKING:  # slow to load
    from fastapi import FastAPI
    from mcp.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Host names that are always served."""

_MAX_BODY_BYTES: Final = 4 * 1024 * 1024


class SessionEndpoint:
    """The ASGI endpoint of streamable HTTP; serves while its lifespan is open."""

    def __init__(self, server: "Server[Any]", tools: ServedTools) -> None:
        """Take the server.

        Args:
            server: The protocol's low-level server.
            tools: What it serves.
        """
        self._server = server
        self._tools = tools
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Serve as long as the context is open.

        Args:
            app: The application; not looked at.
        """
        del app
        async with serving_sessions(self._server) as manager:
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None
                await self._tools.aclose()

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
        await self._manager.handle_request(scope, receive, send)


class HostGuard:
    """Refuses requests for other hosts, and from pages of other hosts.

    A web page can have its own name point at 127.0.0.1, and then talks to whatever listens there;
    but it cannot change the Host and Origin headers.
    """

    def __init__(self, app: Asgi, hosts: Sequence[str]) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: Host names, without port, that are served besides the loopback ones; "*" serves
                all.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421 or 403."""
        if scope["type"] == "http" and "*" not in self._hosts:
            headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
            if not self._is_known(headers.get(b"host", "")):
                return await _refuse(send, 421, "Invalid Host header")
            origin = headers.get(b"origin")
            if origin is not None and not self._is_known(origin.partition("://")[2]):
                return await _refuse(send, 403, "Invalid Origin header")
        return await self._app(scope, receive, send)

    def _is_known(self, authority: str) -> bool:
        host = authority.lower()
        if not host.endswith("]"):
            name, colon, port = host.rpartition(":")
            host = name if colon and port.isdigit() else host
        return host in LOOPBACK_HOSTS or host in self._hosts


def streamable_app(endpoint: SessionEndpoint, *, path: str, hosts: Sequence[str]) -> "Starlette":
    """Return an application that serves streamable HTTP at one path, and nothing else.

    Args:
        endpoint: The endpoint; its lifespan becomes the application's.
        path: Where, for example `/mcp`.
        hosts: See `HostGuard`.
    """
    # Slow to load, as everything that comes with the protocol's package.
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    return Starlette(
        routes=[Route(path, endpoint)],
        middleware=[Middleware(HostGuard, hosts=hosts)],
        lifespan=endpoint.lifespan,
    )


def rest_app(
    endpoint: SessionEndpoint, name: str, tools: ServedTools, hosts: Sequence[str]
) -> "FastAPI":
    """Return an application with the protocol at `/` and `/mcp`, and REST routes for the tools.

    Args:
        endpoint: The endpoint; its lifespan becomes the application's.
        name: The server's name.
        tools: What it serves.
        hosts: See `HostGuard`.

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

    app = FastAPI(title=name, lifespan=endpoint.lifespan)
    app.add_middleware(cast("Any", HostGuard), hosts=hosts)
    routes = _RestRoutes(name, tools)
    app.router.routes.extend(
        [
            Route("/tools", routes.list_tools, methods=["GET"]),
            Route("/tools/{name}/invoke", routes.invoke, methods=["POST"]),
            Route("/", endpoint),
            Route("/mcp", endpoint),
        ]
    )
    return app


class _RestRoutes:
    """GET `/tools` and POST `/tools/{name}/invoke`."""

    def __init__(self, name: str, tools: ServedTools) -> None:
        self._name = name
        self._tools = tools

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
                        "service": self._name,
                    }
                    for tool in self._tools.registry.tools()
                ]
            }
        )

    async def invoke(self, request: "Request") -> "Response":
        name = str(request.path_params["name"])
        if name not in self._tools.registry:
            return _json({"error": f"There is no tool {name[:100]!r}."}, status=404)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY_BYTES:
                return _json({"error": "The body is too large."}, status=413)
        try:
            arguments: object = pydantic_core.from_json(bytes(body)) if body else {}
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return _json({"error": "The body must be a JSON object."}, status=422)
        given = self._unwrapped(name, cast("dict[str, Any]", arguments))
        result = await self._tools.run(name, given)
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


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The door to the protocol's package, on the server's side: its low-level server, and its sessions.

Everything of `mcp` that a server needs is imported at first use: loading it takes a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mbxai.mcp.serving._event_store import make_event_store
from mbxai.mcp.serving._features import Cached, Features
from mbxai.mcp.serving._handlers import Handlers, answered
from mbxai.mcp.serving._serving import Serving, Servings
from mbxai.mcp.serving._state_seal import make_state_boundary

if TYPE_CHECKING:  # slow to load
    from mcp.server import Server
    from mcp.server.models import InitializationOptions
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_CACHED: Final[Mapping[Cached, tuple[str, ...]]] = {
    "tools": ("tools/list",),
    "resources": ("resources/list", "resources/templates/list"),
    "prompts": ("prompts/list",),
    "read": ("resources/read",),
}
_RETRY_MS: Final = 500


def make_protocol_server(features: Features, servings: Servings) -> "Server[Serving]":
    """Return the package's low-level server, which knows the protocol and asks us for the rest.

    Args:
        features: What is offered, also what is added later.
        servings: Gets each serving as long as it lasts.
    """
    from mcp.server import Server
    from mcp.server.caching import CacheHint
    from mcp.server.lowlevel import NotificationOptions

    settings = features.settings

    class ProtocolServer(Server[Serving]):
        def create_initialization_options(
            self,
            notification_options: NotificationOptions | None = None,
            experimental_capabilities: dict[str, dict[str, Any]] | None = None,
            extensions: dict[str, dict[str, Any]] | None = None,
        ) -> "InitializationOptions":
            changing = NotificationOptions(
                prompts_changed=True, resources_changed=True, tools_changed=True
            )
            return super().create_initialization_options(
                notification_options or changing, experimental_capabilities, extensions
            )

    hints: dict[Any, CacheHint] = {
        method: CacheHint(ttl_ms=int(1000 * settings.cache_seconds.get(what, 0)))
        for what, methods in _CACHED.items()
        for method in methods
    }
    server = ProtocolServer(
        settings.name,
        version=settings.version,
        title=settings.title or None,
        description=settings.description,
        instructions=settings.instructions or settings.description,
        cache_hints=hints,
        lifespan=partial(_serving, servings, features),
        get_tool_input_schema=features.tools.schema,
    )
    server.middleware.append(make_state_boundary(settings))
    add_handlers(server, features)
    return server


def add_handlers(server: "Server[Serving]", features: Features) -> None:
    """Answer the requests for what is offered now; what is not offered is not claimed.

    Args:
        server: See `make_protocol_server`.
        features: What is offered.
    """
    import mcp_types as types

    handlers = Handlers(features)
    wanted: dict[str, tuple[Any, Any]] = {
        "tools/list": (types.PaginatedRequestParams, handlers.list_tools),
        "tools/call": (types.CallToolRequestParams, handlers.call_tool),
        "logging/setLevel": (types.SetLevelRequestParams, handlers.set_level),
        "subscriptions/listen": (types.SubscriptionsListenRequestParams, handlers.listen),
    }
    if len(features.resources):
        wanted |= {
            "resources/list": (types.PaginatedRequestParams, handlers.list_resources),
            "resources/templates/list": (types.PaginatedRequestParams, handlers.list_templates),
            "resources/read": (types.ReadResourceRequestParams, handlers.read_resource),
            "resources/subscribe": (types.SubscribeRequestParams, handlers.subscribe),
            "resources/unsubscribe": (types.UnsubscribeRequestParams, handlers.unsubscribe),
        }
    if len(features.prompts):
        wanted |= {
            "prompts/list": (types.PaginatedRequestParams, handlers.list_prompts),
            "prompts/get": (types.GetPromptRequestParams, handlers.get_prompt),
        }
    if len(features.completions):
        wanted["completion/complete"] = (types.CompleteRequestParams, handlers.complete)
    for method, (params_type, handler) in wanted.items():
        if server.get_request_handler(method) is None:
            server.add_request_handler(method, params_type, partial(answered, handler))
    server.add_notification_handler(
        "notifications/initialized", types.NotificationParams, handlers.initialized
    )


@asynccontextmanager
async def serving_sessions(
    server: "Server[Serving]", features: Features
) -> AsyncGenerator["StreamableHTTPSessionManager"]:
    """Hold the sessions of streamable HTTP as long as the context is open.

    Args:
        server: See `make_protocol_server`.
        features: What is offered, and on which terms.
    """
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    settings = features.settings
    # One manager serves one lifespan; an application may be started more than once.
    manager = StreamableHTTPSessionManager(
        server,
        event_store=make_event_store() if settings.resumable else None,
        retry_interval=_RETRY_MS if settings.resumable else None,
        session_idle_timeout=settings.idle_seconds,
        max_request_body_size=settings.max_body_bytes,
        max_sessions=settings.max_sessions,
    )
    async with manager.run():
        yield manager


@asynccontextmanager
async def _serving(
    servings: Servings, features: Features, server: "Server[Any]"
) -> AsyncGenerator[Serving]:
    """One serving, with the task that tells its clients of changes."""
    del server
    features.warn_of_idle_completions()
    serving = Serving()
    task = asyncio.create_task(serving.run())
    servings.add(serving)
    try:
        yield serving
    finally:
        servings.remove(serving)
        serving.hang_up()
        task.cancel()
        await asyncio.wait({task})

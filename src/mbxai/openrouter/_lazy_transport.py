"""The transport of a client, loaded and made at its first request.

httpx and the engine take a fifth of a second to load. A program that makes a client and never
calls, or shows its help, does not wait for them; nor does an event loop.
"""

import atexit
import importlib
import os
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from pydantic import SecretStr

from mbxai.openrouter._answer import Answer
from mbxai.openrouter._http_client import HTTPClient
from mbxai.openrouter._request import PreparedCall
from mbxai.openrouter._transport_error import closed_client

if TYPE_CHECKING:  # what is loaded late
    from mbxai.openrouter._transport import Transport

_MODULE: Final = "mbxai.openrouter._transport"


def _forget_closed_loops() -> None:
    if (pools := sys.modules.get("mbxai.openrouter._pools")) is not None:
        pools.forget_closed_loops()


# Registered before anything that stops event loops at the end, hence called after it.
atexit.register(_forget_closed_loops)


_loaded: Final = threading.Event()  # set after the import, which sys.modules shows too early


def _import_transport() -> None:
    importlib.import_module(_MODULE)
    _loaded.set()


class LazyTransport:
    """Sends requests of one client; see `Transport`."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        http_client: HTTPClient | None = None,
        max_connections: int = 1000,
        keepalive_expiry: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Keep the settings; they are those of `Transport`.

        Raises:
            OpenRouterConfigurationError: The environment names a proxy that cannot be used.
        """
        if http_client is None and any(name.lower().endswith("_proxy") for name in os.environ):
            # Better said now than at the first call; others need not load httpx for it.
            import httpx  # noqa: PLC0415

            from mbxai.openrouter._transport import proxy_for  # noqa: PLC0415

            proxy_for(httpx.URL(base_url))
        self._base_url = base_url
        self._token = token
        self._http_client = http_client
        self._max_connections = max_connections
        self._keepalive_expiry = keepalive_expiry
        self._ssl_context = ssl_context
        self._lock = threading.Lock()  # guards the two below
        self._transport: Transport | None = None
        self._is_closed = False

    async def send(self, call: PreparedCall) -> Answer:
        """Send a request and return the answer as soon as its head is there.

        Args:
            call: What to send.

        Raises:
            OpenRouterConfigurationError: The client is closed.
            TransportError: No answer came.
        """
        transport = self._transport or await self._load()
        return await transport.send(call)

    async def aclose(self) -> None:
        """Close the pools of all event loops; an injected client stays open."""
        with self._lock:
            self._is_closed = True
        if self._transport is not None:
            await self._transport.aclose()

    async def _load(self) -> "Transport":
        if not _loaded.is_set():
            # A limiter of its own: those who wait for this call may hold every other thread.
            await anyio.to_thread.run_sync(_import_transport, limiter=anyio.CapacityLimiter(1))
        from mbxai.openrouter._transport import Transport  # noqa: PLC0415  # loaded just now

        with self._lock:
            if self._is_closed:
                raise closed_client()
            if self._transport is None:
                self._transport = Transport(
                    base_url=self._base_url,
                    token=self._token,
                    http_client=self._http_client,
                    max_connections=self._max_connections,
                    keepalive_expiry=self._keepalive_expiry,
                    ssl_context=self._ssl_context,
                )
            return self._transport

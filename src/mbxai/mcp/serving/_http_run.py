"""Runs a server over HTTP in a program of its own, with the web server that comes with `mcp`."""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.mcp.serving._http_app import SessionEndpoint

if TYPE_CHECKING:  # slow to load
    from starlette.applications import Starlette
    from uvicorn import Server

Address: TypeAlias = tuple[Any, ...]
"""Family, kind, protocol, name and address, as `socket.getaddrinfo` gives them."""

logger = get_logger(__name__)

_LAST_PORT: Final = 65_535
# Of a name with several addresses, as localhost is, some may be of a kind that is turned off.
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def serve_until_stopped(
    app: "Starlette", endpoint: SessionEndpoint, host: str, port: int, shutdown_seconds: float
) -> None:
    """Serve until SIGTERM or Ctrl-C, or until cancelled.

    Args:
        app: The application.
        endpoint: Its endpoint, which hangs up on waiting clients.
        host: The address to listen at.
        port: The port to listen at.
        shutdown_seconds: How long running calls may take then.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    with _translated(host, port):
        places = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    with _listening(host, port, places) as sockets:
        await _server(app, endpoint, shutdown_seconds).serve(sockets)


def run_until_stopped(
    app: "Starlette", endpoint: SessionEndpoint, host: str, port: int, shutdown_seconds: float
) -> None:
    """Serve until SIGTERM or Ctrl-C, on a loop of the web server's own.

    Signals only reach the main thread, so this does not go through the background loop.

    Args:
        app: The application.
        endpoint: Its endpoint, which hangs up on waiting clients.
        host: The address to listen at.
        port: The port to listen at.
        shutdown_seconds: How long running calls may take then.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    with _translated(host, port):
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with _listening(host, port, places) as sockets:
        _server(app, endpoint, shutdown_seconds).run(sockets)


@contextmanager
def _translated(host: str, port: int) -> Generator[None]:
    try:
        _check_port(port)
        yield
    except (OSError, UnicodeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"The server cannot listen at host {host!r}, port {port!r}: {error}.",
            hint="Choose a free port from 1 to 65535, and a host of this computer.",
        ) from error


def _check_port(port: int) -> None:
    if not 0 <= port <= _LAST_PORT:  # the system would take the rest of a division
        raise ValueError("there is no such port")


@contextmanager
def _listening(host: str, port: int, places: Sequence[Address]) -> Generator[list[socket.socket]]:
    """Listen at each of some addresses; the web server would end the program if it could not."""
    sockets: list[socket.socket] = []
    try:
        with _translated(host, port):
            for place in dict.fromkeys(places):
                try:
                    sockets.append(_bound(place))
                except OSError as error:
                    if error.errno not in _NOT_HERE or (len(sockets) == 0 and place == places[-1]):
                        raise
        logger.info("listening at %s", [bound.getsockname()[:2] for bound in sockets])
        yield sockets
    finally:
        for bound in sockets:
            bound.close()


def _bound(place: Address) -> socket.socket:
    family, kind, protocol, _, address = place
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen()  # only now is an address refused at which another program listens
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _server(app: Any, endpoint: SessionEndpoint, shutdown_seconds: float) -> "Server":
    import uvicorn  # noqa: PLC0415  # slow to load

    class HangingUp(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            endpoint.hang_up()
            await super().shutdown(sockets)

    # No logging of its own: the application decides what is logged, and where.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=math.ceil(shutdown_seconds),
    )
    return HangingUp(config)

"""One serving of a server: who is connected, what they follow, and who tells them of changes.

A server may be served several times at once, over HTTP and in-process, on different loops; each
serving knows its own clients and has a task of its own that tells them.
"""

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from mbxai._redaction import get_logger
from mbxai.mcp.serving._exchange import LOG_LEVELS, LogLevel

if TYPE_CHECKING:  # slow to load
    from mcp.server import ServerRequestContext
    from mcp.server.connection import Connection
    from mcp.server.session import ServerSession
    from mcp.server.subscriptions import ServerEvent

logger = get_logger(__name__)

Kind: TypeAlias = Literal["tools", "prompts", "resources"]

_SEND_SECONDS: Final = 5.0
_DEFAULT_LEVEL: Final[LogLevel] = "info"


class Serving:
    """The clients of one serving."""

    def __init__(self) -> None:
        """Begin; on the loop that serves."""
        from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler

        self._loop = asyncio.get_running_loop()
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self._open: WeakSet[Connection] = WeakSet()
        self._levels: WeakKeyDictionary[Connection, LogLevel] = WeakKeyDictionary()
        self._followed: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
        self._kinds: set[Kind] = set()
        self._uris: set[str] = set()
        self._more = asyncio.Event()

    def open(self, session: "ServerSession") -> None:
        """Note a client that is connected, in the versions in which one stays connected."""
        self._open.add(_connection(session))

    def set_level(self, session: "ServerSession", level: LogLevel) -> None:
        """Note from which level on a client wants log messages."""
        self._levels[_connection(session)] = level

    def wants(self, session: "ServerSession", level: LogLevel) -> bool:
        """Whether a client wants log messages of a level."""
        least = self._levels.get(_connection(session), _DEFAULT_LEVEL)
        return LOG_LEVELS.index(level) >= LOG_LEVELS.index(least)

    def follow(self, session: "ServerSession", uri: str) -> None:
        """Note that a client wants to know when a resource changes."""
        self._followed.setdefault(_connection(session), set()).add(uri)

    def unfollow(self, session: "ServerSession", uri: str) -> None:
        """Note that a client does not want to know any more."""
        self._followed.get(_connection(session), set()).discard(uri)

    def changed(self, kind: Kind) -> None:
        """Tell all clients soon that a list has changed; from any thread."""
        self._on_loop(self._kinds.add, kind)

    def updated(self, uri: str) -> None:
        """Tell those who follow a resource soon that it has changed; from any thread."""
        self._on_loop(self._uris.add, uri)

    async def run(self) -> None:
        """Tell of changes until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            kinds, self._kinds = self._kinds, set()
            uris, self._uris = self._uris, set()
            for kind in sorted(kinds):
                await self._tell_changed(kind)
            for uri in sorted(uris):
                await self._tell_updated(uri)

    def hang_up(self) -> None:
        """End the streams on which clients wait for changes, as they are told of the end."""
        self.listen.close()

    def _on_loop(self, note: Any, what: str) -> None:
        def noted() -> None:
            note(what)
            self._more.set()

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(noted)

    async def _tell_changed(self, kind: Kind) -> None:
        from mcp.server import subscriptions

        events: dict[Kind, ServerEvent] = {
            "tools": subscriptions.ToolsListChanged(),
            "prompts": subscriptions.PromptsListChanged(),
            "resources": subscriptions.ResourcesListChanged(),
        }
        await self._bus.publish(events[kind])
        method = f"notifications/{kind}/list_changed"
        await asyncio.gather(*(_send(connection, method, None) for connection in self._open))

    async def _tell_updated(self, uri: str) -> None:
        from mcp.server.subscriptions import ResourceUpdated

        await self._bus.publish(ResourceUpdated(uri=uri))
        method = "notifications/resources/updated"
        following = [known for known, followed in self._followed.items() if uri in followed]
        await asyncio.gather(*(_send(connection, method, {"uri": uri}) for connection in following))


class Servings:
    """All servings of one server, and the door through which they learn of changes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all: tuple[Serving, ...] = ()
        self._lock = threading.Lock()  # guards the replacing of _all

    def add(self, serving: Serving) -> None:
        """Tell a serving of changes from now on."""
        with self._lock:
            self._all = (*self._all, serving)

    def remove(self, serving: Serving) -> None:
        """Tell a serving no more."""
        with self._lock:
            self._all = tuple(known for known in self._all if known is not serving)

    def changed(self, kind: Kind) -> None:
        """Tell every serving that a list has changed; from any thread."""
        for serving in self._all:
            serving.changed(kind)

    def hang_up(self) -> None:
        """End the streams on which clients wait for changes; on the loop that serves."""
        for serving in self._all:
            serving.hang_up()

    def updated(self, uri: str) -> None:
        """Tell every serving that a resource has changed; from any thread."""
        for serving in self._all:
            serving.updated(uri)


def serving_of(context: "ServerRequestContext[Any]") -> Serving:
    """Return the serving that a request belongs to.

    Args:
        context: The request's context, as the protocol's package gives it.
    """
    serving: Serving = context.lifespan_context
    return serving


def _connection(session: "ServerSession") -> "Connection":
    # A session lives as long as one request; what lasts as long as the client has no public name.
    return session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


async def _send(connection: "Connection", method: str, params: dict[str, Any] | None) -> None:
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            await connection.notify(method, params)
    except TimeoutError:
        logger.warning("a client does not read what it is sent; it was not told of a change")
    except Exception as error:  # noqa: BLE001  # its transport; the others are told all the same
        logger.debug("a client could not be told of a change (%s)", type(error).__name__)

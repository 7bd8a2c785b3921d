"""Hears of changes from a server of the newer protocol, as long as the connection lives.

There, a server tells of changes only on a stream that was opened for it. The stream may end at any
time; what was missed meanwhile is not told again, so a new stream begins with "look again".
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from mbxai._redaction import get_logger
from mbxai.mcp.connection._info import Change, ServerInfo

if TYPE_CHECKING:  # slow to load
    from mcp import Client

logger = get_logger(__name__)

_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_OPEN_SECONDS: Final = 30.0


class Listening:
    """The stream of changes of one connection."""

    def __init__(self, server: str, on_change: Callable[[Change], object]) -> None:
        """Prepare.

        Args:
            server: The name the server was registered under.
            on_change: Is told what may have been missed; changes themselves reach it on their own.
        """
        self._server = server
        self._on_change = on_change
        self._renewal: anyio.CancelScope | None = None
        self._uris: frozenset[str] = frozenset()

    def subscribe(self, uris: frozenset[str]) -> None:
        """Choose of which resources' changes to hear; the stream is opened anew.

        Args:
            uris: All of them.
        """
        self._uris = uris
        if self._renewal is not None:
            self._renewal.cancel()

    async def run(self, client: "Client", info: ServerInfo) -> None:
        """Keep a stream open until this is cancelled, or the server has none.

        Args:
            client: The connected client.
            info: What the server offers.
        """
        from mcp import MCPError
        from mcp.client.subscriptions import SubscriptionLost

        seconds, is_first = _FIRST_WAIT_SECONDS, True
        while True:
            wanted = self._wanted(info)
            with anyio.CancelScope() as self._renewal:
                try:
                    if wanted:
                        await self._hear(client, wanted, is_first=is_first)
                        seconds = _FIRST_WAIT_SECONDS
                    else:
                        await anyio.sleep_forever()
                except MCPError as error:
                    if error.code == -32601:  # it has no such stream
                        await anyio.sleep_forever()
                    logger.debug("MCP server %s: no stream of changes: %s", self._server, error)
                except (SubscriptionLost, TimeoutError):
                    logger.debug("MCP server %s: the stream of changes was lost", self._server)
                await anyio.sleep(seconds)
                seconds = min(seconds * 2, _LONGEST_WAIT_SECONDS)
            is_first = False

    def _wanted(self, info: ServerInfo) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            f"{kind}_list_changed": True
            for kind in ("tools", "prompts", "resources")
            if _mapping(info.capabilities.get(kind)).get("listChanged")
        }
        return {**wanted, "resource_subscriptions": sorted(self._uris)} if self._uris else wanted

    async def _hear(self, client: "Client", wanted: dict[str, Any], *, is_first: bool) -> None:
        with anyio.CancelScope() as opening:
            opening.deadline = anyio.current_time() + _OPEN_SECONDS
            async with client.listen(**wanted) as stream:
                opening.deadline = float("inf")
                if not is_first:
                    for kind in ("tools", "prompts", "resources"):
                        if f"{kind}_list_changed" in wanted:
                            self._on_change(Change(kind))
                async for _ in stream:
                    pass  # the same events reach the client's handler of notifications
        if opening.cancelled_caught:
            raise TimeoutError


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

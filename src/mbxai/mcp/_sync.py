"""The blocking MCP client; no logic of its own, see `_client`."""

from collections.abc import Collection, Mapping
from typing import Unpack

import mbxai.portal as portal
from mbxai.mcp._client import AsyncMCPClient
from mbxai.mcp._config import ConfigSource
from mbxai.mcp._config_text import InputSource
from mbxai.mcp._options import MCPClientOptions, MCPServerParams
from mbxai.mcp._sync_remote_server import RemoteServer
from mbxai.mcp.registry._status import ServerStatus
from mbxai.tools import ToolClient


class MCPClient(ToolClient):
    """A client whose model may call Python functions and the tools of MCP servers.

    A connection lives until the client is closed; one that breaks is made again at the next call.
    It belongs to the event loop on which it was made, as long as that runs; calls from other event
    loops and threads are made there.
    """

    def __init__(self, openrouter_client: object, **options: Unpack[MCPClientOptions]) -> None:
        """Wrap a client.

        Args:
            openrouter_client: An `AsyncOpenRouterClient`, an `OpenRouterClient`, or an object with
                `create(messages=...)` and `parse(messages=..., response_format=...)`, blocking or
                not.
            **options: See `MCPClientOptions`.

        Raises:
            ConfigurationError: The object has neither `create` nor `parse`, or an option cannot be.
        """
        super().__init__(openrouter_client)
        self._mcp_core = AsyncMCPClient(openrouter_client, **options)
        self._core = self._mcp_core
        portal.register(self._mcp_core.aclose)

    @property
    def async_client(self) -> AsyncMCPClient:
        """The asynchronous client that does the work; both share tools and connections."""
        return self._mcp_core

    def register_mcp_server(
        self, name: str, base_url: str | None = None, **params: Unpack[MCPServerParams]
    ) -> list[str]:
        """Connect to an MCP server and offer its tools to the model.

        Tools keep their names where a model can use them and nobody else has them. The same server
        registered once more takes the place of its earlier self.

        Args:
            name: What to call the server here.
            base_url: Where it is. Without a path, streamable HTTP is tried at the URL itself and at
                `/mcp`, then SSE at `/sse`; with a path, both are tried there.
            **params: See `MCPServerParams`: other ways to reach a server, credentials, limits, and
                what holds for its tools.

        Returns:
            The names under which the tools are offered; none for a server that is not required and
            was not reached.

        Raises:
            ConfigurationError: Something is missing or contradictory, or another server has the
                name.
            MCPConnectionError: The server was not reached; the message says what was tried.
            MCPAuthError: The server did not accept who we are.
            MCPError: The server does not tell its tools.
        """
        return portal.run(self._mcp_core.register_mcp_server, name, base_url, **params)

    def register_mcp_servers(
        self,
        source: ConfigSource,
        *,
        only: Collection[str] | None = None,
        variables: Mapping[str, str] | None = None,
        inputs: InputSource | None = None,
        **params: Unpack[MCPServerParams],
    ) -> dict[str, ServerStatus]:
        """Connect to the servers of a configuration, all at the same time.

        Files with `mcpServers` (Claude, Cursor) and `servers` (VS Code) are read, comments
        included. `${NAME}` and `${NAME:-default}` stand for variables.

        Args:
            source: Path of a file, or what such a file holds.
            only: Names of the servers that are wanted; all by default.
            variables: What `${NAME}` stands for; the environment by default.
            inputs: Answers to the inputs of a VS Code file: by id, or a blocking function that asks
                for one, in a worker thread.
            **params: What holds for each of the servers where the file says nothing else; see
                `MCPServerParams`. Servers are not required unless `required=True` is said.

        Returns:
            How each server is, by name; one that was not reached says why in `problem`, and is
            tried again later.

        Raises:
            ConfigurationError: The file cannot be read, or something in it is wrong; nothing was
                connected.
            MCPError: A required server was not reached, or does not tell its tools.
        """
        return portal.run(
            self._mcp_core.register_mcp_servers,
            source,
            only=only,
            variables=variables,
            inputs=inputs,
            **params,
        )

    def remove_mcp_server(self, name: str) -> bool:
        """Withdraw a server's tools and close its connection.

        Args:
            name: The name it was registered under.

        Returns:
            Whether there was one.
        """
        return portal.run(self._mcp_core.remove_mcp_server, name)

    def servers(self) -> dict[str, ServerStatus]:
        """Return how each registered server is, by name, oldest first."""
        return self._mcp_core.servers()

    def server(self, name: str) -> RemoteServer:
        """Return one server, with its resources, prompts and connection.

        Args:
            name: The name it was registered under.

        Raises:
            ConfigurationError: There is no such server.
        """
        return RemoteServer(self._mcp_core.server(name))

    def instructions(self) -> str:
        """Return what servers registered with `use_instructions=True` say of their use.

        It goes before each conversation by itself; an agent tells it to its tasks.
        """
        return self._mcp_core.instructions()

    def close(self) -> None:
        """Close all connections to MCP servers; the wrapped client stays open."""
        portal.run(self._mcp_core.aclose)

"""The asynchronous MCP client: a tool client whose tools may also come from MCP servers."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from mbxai.mcp._registry import ServerRegistry
from mbxai.mcp._targets import CALL_SECONDS, CONNECT_SECONDS, Mode, read_target
from mbxai.tools import AsyncToolClient, ToolClientOptions


class AsyncMCPClient(AsyncToolClient):
    """A client whose model may call Python functions and the tools of MCP servers.

    A connection lives until the client is closed; one that breaks is made again at the next call.
    It belongs to the event loop on which it was made, as long as that runs; calls from other event
    loops and threads are made there.
    """

    def __init__(self, openrouter_client: object, **options: Unpack[ToolClientOptions]) -> None:
        """Wrap a client.

        Args:
            openrouter_client: An `AsyncOpenRouterClient`, an `OpenRouterClient`, or an object with
                `create(messages=...)` and `parse(messages=..., response_format=...)`, blocking or
                not.
            **options: See `ToolClientOptions`.

        Raises:
            ConfigurationError: The object has neither `create` nor `parse`, or a number cannot be.
        """
        super().__init__(openrouter_client, **options)
        self._servers = ServerRegistry(self.registry)

    async def register_mcp_server(
        self,
        name: str,
        base_url: str | None = None,
        *,
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        timeout: float | None = CALL_SECONDS,  # noqa: ASYNC109  # of later calls, not of this one
        connect_timeout: float = CONNECT_SECONDS,
        mode: Mode = "auto",
    ) -> list[str]:
        """Connect to an MCP server and offer its tools to the model.

        A server that was registered under the same name is replaced. Tools keep their names where
        a model can use them and nobody else has them.

        Args:
            name: What to call the server here.
            base_url: Where it is. Without a path, streamable HTTP is tried at the URL itself and at
                `/mcp`, then SSE at `/sse`; with a path, both are tried there.
            command: What starts it instead, word by word: `["python", "server.py"]`. It speaks over
                its standard input and output.
            env: Environment variables for the command. Of this process's own it gets only HOME,
                LOGNAME, PATH, SHELL, TERM and USER.
            cwd: Working directory of the command.
            headers: HTTP headers for this server only.
            token: Sent to this server only, as `Authorization: Bearer`.
            timeout: Seconds for one call of a tool; None waits for ever.
            connect_timeout: Seconds for connecting, all ways together.
            mode: "legacy" skips the probe for the newest protocol and begins with `initialize`.

        Returns:
            The names under which the tools are offered.

        Raises:
            ConfigurationError: Something is missing or contradictory.
            MCPConnectionError: The server was not reached; the message says what was tried.
            MCPError: The server does not tell its tools.
        """
        target = read_target(
            name,
            base_url,
            command=command,
            env=env,
            cwd=cwd,
            headers=headers,
            token=token,
            timeout=timeout,
            connect_timeout=connect_timeout,
            mode=mode,
        )
        return await self._servers.add(target)

    async def aclose(self) -> None:
        """Close all connections to MCP servers; the wrapped client stays open."""
        await self._servers.aclose()
        await super().aclose()

"""The asynchronous MCP client: a tool client whose tools may also come from MCP servers."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Unpack, cast

from mbxai.mcp._config import ConfigSource, load_servers
from mbxai.mcp._config_entry import ConfiguredServer
from mbxai.mcp._config_text import InputSource
from mbxai.mcp._elicitation import elicitor
from mbxai.mcp._option_checks import check_mcp_options, check_server_params
from mbxai.mcp._options import MCPClientOptions, MCPServerParams, Roots
from mbxai.mcp._remote_server import AsyncRemoteServer
from mbxai.mcp._roots import roots_source
from mbxai.mcp._sampling import sampler
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._targets import ServerTarget, read_target
from mbxai.mcp.registry._pins import FilePinStore, MemoryPinStore, PinStore
from mbxai.mcp.registry._policy import OPTION_NAMES, ServerPolicy, read_policy
from mbxai.mcp.registry._registry import ServerRegistry
from mbxai.mcp.registry._status import ServerStatus
from mbxai.tools import AsyncToolClient, ToolClientOptions

_OWN_OPTIONS: Final = MCPClientOptions.__annotations__.keys() - ToolClientOptions.__annotations__


class AsyncMCPClient(AsyncToolClient):
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
        check_mcp_options(options)
        of_tools = {key: value for key, value in options.items() if key not in _OWN_OPTIONS}
        super().__init__(openrouter_client, **cast("ToolClientOptions", of_tools))
        self._options = options
        elicit = options.get("elicit")
        self._elicit = elicitor(elicit) if elicit is not None else None
        self._servers = ServerRegistry(self.registry, pins=_pin_store(options.get("pins")))

    async def register_mcp_server(
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
        entry = self._entry(name, base_url, params)
        return await self._servers.add(
            *entry, required=params.get("required", True), replace=params.get("replace", False)
        )

    async def register_mcp_servers(
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
        configured = await load_servers(source, only=only, variables=variables, inputs=inputs)
        entries = [
            self._entry(name, server.base_url, {**params, **_params_of(server)})
            for name, server in configured.items()
        ]
        return await self._servers.add_all(
            entries,
            required=params.get("required", False),
            replace=params.get("replace", False),
        )

    async def remove_mcp_server(self, name: str) -> bool:
        """Withdraw a server's tools and close its connection.

        Args:
            name: The name it was registered under.

        Returns:
            Whether there was one.
        """
        return await self._servers.remove(name)

    def servers(self) -> dict[str, ServerStatus]:
        """Return how each registered server is, by name, oldest first."""
        return self._servers.statuses()

    def server(self, name: str) -> AsyncRemoteServer:
        """Return one server, with its resources, prompts and connection.

        Args:
            name: The name it was registered under.

        Raises:
            ConfigurationError: There is no such server.
        """
        return AsyncRemoteServer(self._servers, name)

    def instructions(self) -> str:
        """Return what servers registered with `use_instructions=True` say of their use.

        It goes before each conversation by itself; an agent tells it to its tasks.
        """
        return self._servers.instructions()

    async def aclose(self) -> None:
        """Close all connections to MCP servers; the wrapped client stays open."""
        await self._servers.aclose()
        await super().aclose()

    def _preamble(self) -> str:
        self._servers.wake()
        return self.instructions()

    def _entry(
        self, name: str, base_url: str | None, params: Mapping[str, Any]
    ) -> tuple[ServerTarget, ServerPolicy, Callbacks]:
        """Check what was said of a server; nothing is opened."""
        check_server_params(name, params)
        about = {key: params[key] for key in params if key in OPTION_NAMES}
        where = {
            key: value
            for key, value in params.items()
            if key not in about and key not in ("required", "replace")
        }
        target = read_target(name, base_url, **where)
        roots = params.get("roots", self._options.get("roots"))
        return target, read_policy(name, about), self._callbacks(name, roots)

    def _callbacks(self, name: str, roots: Roots | None) -> Callbacks:
        policy, on_log = self._options.get("sampling"), self._options.get("on_log")
        return Callbacks(
            elicit=self._elicit,
            sample=sampler(policy, self._port.create, server=name) if policy else None,
            roots=roots_source(roots) if roots is not None else None,
            log=partial(on_log, name) if on_log else None,
            log_level=self._options.get("log_level", "info") if on_log else None,
        )


def _pin_store(given: str | Path | PinStore | None) -> PinStore:
    if given is None:
        return MemoryPinStore()
    return FilePinStore(given) if isinstance(given, str | Path) else given


def _params_of(server: ConfiguredServer) -> dict[str, Any]:
    """What a file says of a server, where it says something."""
    said = {
        "command": server.command,
        "env": dict(server.env) or None,
        "cwd": server.cwd,
        "headers": dict(server.headers) or None,
        "transport": server.transport if server.base_url is not None else None,
        "timeout": server.timeout,
    }
    return {**{key: value for key, value in said.items() if value is not None}, **server.options}

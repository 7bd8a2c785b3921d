"""One registered server: what it has besides tools, and how its connection is."""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import anyio.to_thread

from mbxai.errors import ConfigurationError
from mbxai.mcp._remote_models import (
    LogLevel,
    Prompt,
    Resource,
    ResourceContent,
    ResourceTemplate,
    argument_texts,
    read_contents,
    read_list,
    read_messages,
    read_values,
)
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._info import ChangeListener, ServerInfo
from mbxai.mcp.registry._registry import ServerRegistry
from mbxai.mcp.registry._status import ServerStatus
from mbxai.tools.runner._result_text import is_small
from mbxai.wire import MessageParam

_LEVELS: Final = get_args(LogLevel)


class AsyncRemoteServer:
    """A server of an `AsyncMCPClient`, by the name it was registered under.

    Nothing is held here: after the server was replaced under its name, this is the new one.
    """

    def __init__(self, registry: ServerRegistry, name: str) -> None:
        """Choose a server; `AsyncMCPClient.server(name)` does that.

        Args:
            registry: Where the servers are.
            name: The name it was registered under.

        Raises:
            ConfigurationError: There is none of that name.
        """
        self._registry = registry
        self._name = name
        registry.connection(name)

    @property
    def name(self) -> str:
        """The name it was registered under."""
        return self._name

    @property
    def status(self) -> ServerStatus:
        """How it is: connected or not, its tools, which are withheld, and why."""
        self._connection()  # says what is the matter where the server was removed
        return self._registry.statuses()[self._name]

    @property
    def info(self) -> ServerInfo | None:
        """What it said of itself when it was last connected; None if it never was."""
        return self._connection().info

    def tools(self) -> list[str]:
        """Return the names under which its tools are offered to models."""
        return list(self.status.tools)

    def listen(self, listener: ChangeListener) -> Callable[[], None]:
        """Be told when it changes: its lists, and the resources that are subscribed to.

        Args:
            listener: Gets each `Change`, on the event loop of the connection; it must return at
                once.

        Returns:
            A function that ends it.
        """
        return self._registry.listen(self._name, listener)

    async def resources(self) -> list[Resource]:
        """Return what can be read from it.

        Returns:
            All pages; empty where the server has no resources.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        return read_list(Resource, await self._connection().list_resources(), self._name)

    async def resource_templates(self) -> list[ResourceTemplate]:
        """Return the patterns of addresses at which it has resources.

        Returns:
            All pages; empty where the server has none.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        listed = await self._connection().list_resource_templates()
        return read_list(ResourceTemplate, listed, self._name)

    async def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource.

        Args:
            uri: Its address, as it was listed or made from a template. The server reads it; nothing
                is fetched from here.

        Returns:
            Mostly one content; several where the address stands for many things.

        Raises:
            MCPError: The server cannot be reached, refuses, or sends what is neither text nor
                base64.
        """
        result = await self._connection().read_resource(uri)
        if is_small(result):
            return read_contents(result, self._name)
        return await anyio.to_thread.run_sync(read_contents, result, self._name)

    async def subscribe(self, uri: str) -> None:
        """Ask the server to tell when a resource changes; see `listen` for who hears it.

        Args:
            uri: Its address.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        await self._connection().subscribe(uri)

    async def unsubscribe(self, uri: str) -> None:
        """Ask the server to tell it no longer.

        Args:
            uri: The address that was given to `subscribe`.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        await self._connection().unsubscribe(uri)

    async def prompts(self) -> list[Prompt]:
        """Return the prompts that it has ready.

        Returns:
            All pages; empty where the server has none.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        return read_list(Prompt, await self._connection().list_prompts(), self._name)

    async def prompt(
        self, name: str, arguments: Mapping[str, object] | None = None
    ) -> list[MessageParam]:
        """Return a prompt as messages for a chat.

        Args:
            name: Its name.
            arguments: What it wants to be told; what is no text is sent as JSON.

        Returns:
            Messages of the user and the assistant, oldest first, never of the system. Pictures,
            sound and files are content parts.

        Raises:
            MCPError: The server cannot be reached, or refuses, for example for want of an argument.
        """
        result = await self._connection().get_prompt(name, argument_texts(arguments))
        if is_small(result):
            return read_messages(result)
        return await anyio.to_thread.run_sync(read_messages, result)

    async def complete(
        self,
        argument: str,
        value: str = "",
        *,
        prompt: str | None = None,
        template: str | None = None,
        context: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return how an argument could go on, while a person types it.

        Args:
            argument: Name of the argument, or of a variable of the template.
            value: What there is of it so far.
            prompt: Name of the prompt that it belongs to; or
            template: The `uri_template` of the resource template.
            context: Arguments that are known already.

        Returns:
            At most 100 proposals, likeliest first; empty if the server has none.

        Raises:
            ConfigurationError: Neither a prompt nor a template is given, or both are.
            MCPError: The server cannot be reached, or refuses.
        """
        ref: dict[str, Any]
        if prompt is not None and template is None:
            ref = {"type": "ref/prompt", "name": prompt}
        elif template is not None and prompt is None:
            ref = {"type": "ref/resource", "uri": template}
        else:
            raise ConfigurationError("complete: give either prompt or template.")
        asked = {"name": argument, "value": value}
        result = await self._connection().complete(ref, asked, dict(context or {}))
        return read_values(result, self._name)

    async def set_log_level(self, level: LogLevel) -> None:
        """Choose from which level on the server sends its log messages.

        Args:
            level: "debug" sends all, "emergency" next to nothing.

        Raises:
            ConfigurationError: There is no such level.
            MCPError: The server cannot be reached, or refuses.
        """
        if level not in _LEVELS:
            raise ConfigurationError(
                f"set_log_level: there is no level {level!r}.", hint=f"Use {', '.join(_LEVELS)}."
            )
        await self._connection().set_log_level(level)

    async def refresh(self) -> list[str]:
        """Read its tools anew; one that could not be reached before is connected.

        Returns:
            The names under which its tools are offered now.

        Raises:
            MCPError: The server cannot be reached, or does not tell its tools.
        """
        return await self._registry.refresh(self._name)

    async def trust(self) -> list[str]:
        """Accept its tools as they are now, and offer those that were withheld for a change.

        Returns:
            The names of the tools that had changed.

        Raises:
            ConfigurationError: What is trusted cannot be kept.
        """
        return await anyio.to_thread.run_sync(self._registry.trust, self._name)

    async def reconnect(self) -> None:
        """Close the connection and make it anew, at once.

        Raises:
            MCPConnectionError: The server was not reached; the message says what was tried.
        """
        await self._connection().reconnect()

    async def ping(self) -> None:
        """Wait for a sign of life.

        Raises:
            MCPError: There is none.
        """
        await self._connection().ping()

    def _connection(self) -> ServerConnection:
        return self._registry.connection(self._name)

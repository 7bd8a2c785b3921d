"""One registered server for blocking callers; no logic of its own, see `_remote_server`."""

from collections.abc import Callable, Mapping

import mbxai.portal as portal
from mbxai.mcp._remote_models import LogLevel, Prompt, Resource, ResourceContent, ResourceTemplate
from mbxai.mcp._remote_server import AsyncRemoteServer
from mbxai.mcp.connection._info import ChangeListener, ServerInfo
from mbxai.mcp.registry._status import ServerStatus
from mbxai.wire import MessageParam


class RemoteServer:
    """A server of an `MCPClient`, by the name it was registered under.

    Nothing is held here: after the server was replaced under its name, this is the new one.
    """

    def __init__(self, core: AsyncRemoteServer) -> None:
        """Wrap the asynchronous one; `MCPClient.server(name)` does that."""
        self._core = core

    @property
    def name(self) -> str:
        """The name it was registered under."""
        return self._core.name

    @property
    def status(self) -> ServerStatus:
        """How it is: connected or not, its tools, which are withheld, and why."""
        return self._core.status

    @property
    def info(self) -> ServerInfo | None:
        """What it said of itself when it was last connected; None if it never was."""
        return self._core.info

    def tools(self) -> list[str]:
        """Return the names under which its tools are offered to models."""
        return self._core.tools()

    def listen(self, listener: ChangeListener) -> Callable[[], None]:
        """Be told when it changes: its lists, and the resources that are subscribed to.

        Args:
            listener: Gets each `Change`, on the event loop of the connection; it must return at
                once.

        Returns:
            A function that ends it.
        """
        return self._core.listen(listener)

    def resources(self) -> list[Resource]:
        """Return what can be read from it.

        Returns:
            All pages; empty where the server has no resources.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        return portal.run(self._core.resources)

    def resource_templates(self) -> list[ResourceTemplate]:
        """Return the patterns of addresses at which it has resources.

        Returns:
            All pages; empty where the server has none.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        return portal.run(self._core.resource_templates)

    def read_resource(self, uri: str) -> list[ResourceContent]:
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
        return portal.run(self._core.read_resource, uri)

    def subscribe(self, uri: str) -> None:
        """Ask the server to tell when a resource changes; see `listen` for who hears it.

        Args:
            uri: Its address.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        portal.run(self._core.subscribe, uri)

    def unsubscribe(self, uri: str) -> None:
        """Ask the server to tell it no longer.

        Args:
            uri: The address that was given to `subscribe`.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        portal.run(self._core.unsubscribe, uri)

    def prompts(self) -> list[Prompt]:
        """Return the prompts that it has ready.

        Returns:
            All pages; empty where the server has none.

        Raises:
            MCPError: The server cannot be reached, or refuses.
        """
        return portal.run(self._core.prompts)

    def prompt(
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
        return portal.run(self._core.prompt, name, arguments)

    def complete(
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
        return portal.run(
            self._core.complete, argument, value, prompt=prompt, template=template, context=context
        )

    def set_log_level(self, level: LogLevel) -> None:
        """Choose from which level on the server sends its log messages.

        Args:
            level: "debug" sends all, "emergency" next to nothing.

        Raises:
            ConfigurationError: There is no such level.
            MCPError: The server cannot be reached, or refuses.
        """
        portal.run(self._core.set_log_level, level)

    def refresh(self) -> list[str]:
        """Read its tools anew; one that could not be reached before is connected.

        Returns:
            The names under which its tools are offered now.

        Raises:
            MCPError: The server cannot be reached, or does not tell its tools.
        """
        return portal.run(self._core.refresh)

    def trust(self) -> list[str]:
        """Accept its tools as they are now, and offer those that were withheld for a change.

        Returns:
            The names of the tools that had changed.

        Raises:
            ConfigurationError: What is trusted cannot be kept.
        """
        return portal.run(self._core.trust)

    def reconnect(self) -> None:
        """Close the connection and make it anew, at once.

        Raises:
            MCPConnectionError: The server was not reached; the message says what was tried.
        """
        portal.run(self._core.reconnect)

    def ping(self) -> None:
        """Wait for a sign of life.

        Raises:
            MCPError: There is none.
        """
        portal.run(self._core.ping)

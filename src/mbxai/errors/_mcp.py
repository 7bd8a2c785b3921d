"""What goes wrong with a Model Context Protocol server."""

from mbxai.errors._base import MBXAIError


class MCPError(MBXAIError):
    """Something went wrong with a Model Context Protocol server.

    Attributes:
        server: The name under which the server was registered.
    """

    def __init__(self, message: str, *, hint: str = "", server: str = "") -> None:
        """Keep the server's name."""
        super().__init__(message, hint=hint)
        self.server = server


class MCPConnectionError(MCPError):
    """The server could not be reached, or went away during a call."""


class MCPAuthError(MCPConnectionError):
    """The server, or who gives tokens for it, did not accept who we are."""


class MCPProtocolError(MCPError):
    """The server answered something that the protocol does not allow."""


class MCPToolError(MCPError):
    """The server refused a call, or its outcome is unknown."""

"""Model Context Protocol: a client that uses servers' tools, and a server for one's own."""

from mbxai.mcp._client import AsyncMCPClient
from mbxai.mcp._config import ConfigSource
from mbxai.mcp._config_text import ConfigInput, InputSource
from mbxai.mcp._options import (
    ElicitHandler,
    MCPClientOptions,
    MCPServerParams,
    Roots,
    ServerOptions,
)
from mbxai.mcp._remote_models import (
    LogLevel,
    Prompt,
    PromptArgument,
    Resource,
    ResourceContent,
    ResourceTemplate,
)
from mbxai.mcp._remote_server import AsyncRemoteServer
from mbxai.mcp._sampling import SamplingPolicy, SamplingRequest
from mbxai.mcp._sync import MCPClient
from mbxai.mcp._sync_remote_server import RemoteServer
from mbxai.mcp.auth import (
    AuthMethod,
    BearerToken,
    ClientCredentials,
    EnterpriseAuth,
    FileTokenStore,
    MemoryTokenStore,
    OAuth,
    PrivateKeyJWT,
    TokenKey,
    TokenStore,
)
from mbxai.mcp.connection._info import Change, ChangeListener, ServerInfo
from mbxai.mcp.registry._pins import FilePinStore, MemoryPinStore, PinMode, PinStore
from mbxai.mcp.registry._registry import MCPTool
from mbxai.mcp.registry._status import ServerStatus
from mbxai.mcp.server import (
    AccessToken,
    BearerAuth,
    EmbeddedResource,
    MCPContext,
    MCPServer,
    ResourceLink,
    Root,
    SampledMessage,
)
from mbxai.tools import Tool, ToolAnswer, ToolQuestion

__all__ = [
    "AccessToken",
    "AsyncMCPClient",
    "AsyncRemoteServer",
    "AuthMethod",
    "BearerAuth",
    "BearerToken",
    "Change",
    "ChangeListener",
    "ClientCredentials",
    "ConfigInput",
    "ConfigSource",
    "ElicitHandler",
    "EmbeddedResource",
    "EnterpriseAuth",
    "FilePinStore",
    "FileTokenStore",
    "InputSource",
    "LogLevel",
    "MCPClient",
    "MCPClientOptions",
    "MCPContext",
    "MCPServer",
    "MCPServerParams",
    "MCPTool",
    "MemoryPinStore",
    "MemoryTokenStore",
    "OAuth",
    "PinMode",
    "PinStore",
    "PrivateKeyJWT",
    "Prompt",
    "PromptArgument",
    "RemoteServer",
    "Resource",
    "ResourceContent",
    "ResourceLink",
    "ResourceTemplate",
    "Root",
    "Roots",
    "SampledMessage",
    "SamplingPolicy",
    "SamplingRequest",
    "ServerInfo",
    "ServerOptions",
    "ServerStatus",
    "TokenKey",
    "TokenStore",
    "Tool",
    "ToolAnswer",
    "ToolQuestion",
]

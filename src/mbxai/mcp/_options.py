"""What may be said of MCP servers besides where they are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from mbxai.mcp._remote_models import LogLevel
from mbxai.mcp._sampling import SamplingPolicy
from mbxai.mcp.auth import AuthMethod
from mbxai.mcp.connection._targets import Mode
from mbxai.mcp.registry._pins import PinMode, PinStore
from mbxai.tools import ToolAnswer, ToolClientOptions, ToolInfo, ToolOptions, ToolQuestion
from mbxai.tools._tool import ApprovalRule

ElicitHandler: TypeAlias = Callable[
    [ToolQuestion],
    ToolAnswer | Mapping[str, Any] | bool | Awaitable[Any] | None,
]
"""Asks a person for what a server wants to know; a coroutine function or a blocking one, which runs
in a worker thread. Returns the values of the form, True for a form without fields or a visited
address, False for "decline", None for "cancel", or a `ToolAnswer`."""

Roots: TypeAlias = Sequence[str | Path] | Callable[[], Sequence[str | Path] | Awaitable[Any]]
"""Directories that servers may consider theirs to work in: paths or `file:` URIs, or a function
that returns them."""


class ServerOptions(TypedDict, total=False):
    """What holds for one server's tools.

    Attributes:
        tools: Which tools are offered: names or patterns (`read_*`), or a function of a `ToolInfo`
            under the server's own names. All by default.
        exclude_tools: Names or patterns of tools that are not offered, whatever `tools` says.
        prefix: True offers each tool as `server__tool`; a text is put before each name; False (the
            default) adds the server's name only where another tool has the name already.
        requires_approval: For which calls a person must agree; see `ToolOptions`. What the server
            itself says of a tool never spares an approval.
        tool_options: `ToolOptions` of single tools, by name or pattern; they win over the rest.
        trust_annotations: Whether `readOnlyHint` and `idempotentHint` decide the tools' `effect`;
            False by default, which makes every tool "once": never repeated by itself.
        pin: What happens when a tool is no longer what it was when it was first seen: "warn" (the
            default) logs it, "block" withholds the tool until `client.server(name).trust()` is
            called, "off" does nothing.
        max_result_bytes: How much of a result the model is shown; 65536 by default. The application
            gets all of it.
        max_concurrent_calls: How many calls the server gets at the same time; None sets no limit.
        offer_resources: Whether the model gets tools to list and read the server's resources.
        offer_prompts: Whether the model gets tools to list and fetch the server's prompts.
        use_instructions: Whether the server's instructions go before the conversation, marked as
            the server's; False by default.
        roots: Directories that the server may consider its own to work in: paths or `file:` URIs,
            or a function that returns them; those of the client by default.
    """

    tools: Sequence[str] | Callable[[ToolInfo], bool]
    exclude_tools: Sequence[str]
    prefix: bool | str
    requires_approval: ApprovalRule
    tool_options: Mapping[str, ToolOptions]
    trust_annotations: bool
    pin: PinMode
    max_result_bytes: int
    max_concurrent_calls: int | None
    offer_resources: bool
    offer_prompts: bool
    use_instructions: bool
    roots: Roots


class MCPServerParams(ServerOptions, total=False):
    """Where a server is and how it is spoken to; besides, all of `ServerOptions`.

    Attributes:
        command: What starts the server, word by word: `["python", "server.py"]`; instead of an
            address. It speaks over its standard input and output, and no shell is involved.
            What it writes to its standard error goes to the logger `mbxai.mcp.stderr`, as DEBUG.
        env: Environment variables for the command. Of this process's own it gets only HOME,
            LOGNAME, PATH, SHELL, TERM and USER.
        cwd: Working directory of the command.
        server: An `MCPServer` of this process, instead of an address.
        headers: HTTP headers for this server only.
        token: Sent to this server only, as `Authorization: Bearer`.
        auth: How to get a token: `OAuth`, `ClientCredentials`, `PrivateKeyJWT`, `EnterpriseAuth`,
            or a `BearerToken` that changes.
        transport: "http" or "sse" tries only this one; "auto" (the default) tries streamable HTTP,
            then SSE.
        timeout: Seconds for one call of a tool, without the time in which a person is asked; 60 by
            default, None waits for ever.
        connect_timeout: Seconds for connecting, all ways together; 30 by default.
        mode: How the protocol version is agreed on. "auto" (the default) probes for the newest
            first, "legacy" begins with `initialize`, "2026-07-28" does neither.
        required: Whether a server that is not reached is an error (the default); False makes it a
            warning, and the server is tried again later.
        replace: Whether it may take the place of another server of its name.
    """

    command: Sequence[str] | None
    env: Mapping[str, str] | None
    cwd: str | None
    server: object
    headers: Mapping[str, str] | None
    token: str | None
    auth: AuthMethod | None
    transport: Literal["auto", "http", "sse"]
    timeout: float | None
    connect_timeout: float
    mode: Mode
    required: bool
    replace: bool


class MCPClientOptions(ToolClientOptions, total=False):
    """What holds for all servers of a client, besides `ToolClientOptions`.

    Attributes:
        elicit: Asks a person what a server wants to know: gets the `ToolQuestion` and returns the
            values of its form, True for a form without fields or a visited address, False for
            "decline", None for "cancel", or a `ToolAnswer`; a coroutine function, or a blocking
            one, which runs in a worker thread. Without it servers are told that nobody answered
            ("cancel"). An agent asks its people by itself.
        sampling: On which terms servers may use the wrapped client's model; not at all by default.
        roots: As in `ServerOptions`, for all servers; none by default.
        on_log: Gets each log message of a server: the server's name, level, logger and data.
        log_level: From which level on servers are to log: "debug", "info" (the default), "notice",
            "warning", "error", "critical", "alert" or "emergency".
        pins: Where the first sight of each tool is kept: a file, or a `PinStore`; by default in
            memory, as long as the client lives.
    """

    elicit: ElicitHandler | None
    sampling: SamplingPolicy | None
    roots: Roots
    on_log: Callable[[str, str, str, object], object] | None
    log_level: LogLevel
    pins: str | Path | PinStore | None

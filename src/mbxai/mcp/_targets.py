"""Where an MCP server is and how it is spoken to: checked settings, and the ways to try.

Pure: nothing is opened here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from mbxai._redaction import register_secret
from mbxai.errors import ConfigurationError

Mode: TypeAlias = Literal["auto", "legacy"]
"""How the protocol version is agreed on: by probing for the newest first, or by `initialize`."""

CALL_SECONDS: Final = 60.0
"""How long one call may take, unless the caller says otherwise."""

CONNECT_SECONDS: Final = 30.0
"""How long connecting may take, all ways together."""

_SECRET_NAMES: Final = re.compile(r"(?i)auth|cookie|token|secret|key|password|credential")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTarget:
    """One server as it was registered.

    Attributes:
        name: The name it was registered under.
        url: Where it is, for a server that is reached over HTTP; else empty.
        command: What starts it, for a server that is a child process; else empty.
        env: Environment variables of the child, on top of a few harmless ones.
        cwd: Working directory of the child; None is that of this process.
        headers: HTTP headers of every request to this server.
        timeout: Seconds for one call; None waits for ever.
        connect_timeout: Seconds for connecting, all ways together.
        mode: How the protocol version is agreed on.
    """

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout: float | None = CALL_SECONDS
    connect_timeout: float = CONNECT_SECONDS
    mode: Mode = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One way to reach a server.

    Attributes:
        kind: The transport.
        url: The address; empty for a child process.
        mode: How the protocol version is agreed on.
        label: What an error calls this way; holds no credentials.
    """

    kind: Literal["stdio", "http", "sse"]
    url: str
    mode: Mode
    label: str


def read_target(
    name: str,
    base_url: str | None,
    *,
    command: Sequence[str] | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    headers: Mapping[str, str] | None,
    token: str | None,
    timeout: float | None,
    connect_timeout: float,
    mode: Mode,
) -> ServerTarget:
    """Check what a caller said of a server; see `AsyncMCPClient.register_mcp_server`.

    Raises:
        ConfigurationError: Something is missing, contradictory or of the wrong kind.
    """
    if not name.strip():
        raise ConfigurationError("An MCP server needs a name.")
    if (base_url is None) == (command is None):
        raise ConfigurationError(f"MCP server {name!r}: give either a URL or a command.")
    if connect_timeout <= 0 or (timeout is not None and timeout <= 0):
        raise ConfigurationError(f"MCP server {name!r}: a timeout must be more than 0 seconds.")
    if mode not in ("auto", "legacy"):
        raise ConfigurationError(f"MCP server {name!r}: mode must be 'auto' or 'legacy'.")
    target = ServerTarget(name=name, timeout=timeout, connect_timeout=connect_timeout, mode=mode)
    if command is not None:
        if headers or token:
            raise ConfigurationError(
                f"MCP server {name!r}: headers and token are for servers with a URL.",
                hint="Give a command's credentials in env.",
            )
        words = _checked_command(name, command)
        return replace(target, command=words, env=_kept(env), cwd=cwd)
    if env or cwd:
        raise ConfigurationError(
            f"MCP server {name!r}: env and cwd are for servers with a command."
        )
    url = _checked_url(name, base_url or "")
    return replace(target, url=url, headers=_headers(name, headers, token))


def endpoints(target: ServerTarget) -> list[Endpoint]:
    """Return the ways to reach a server, likeliest first.

    A URL without a path is tried as it stands, then at `/mcp`, then as the older SSE transport at
    `/sse`. A child process that dies of the probe for the newest protocol is started once more and
    spoken to in the older way.
    """
    if target.command:
        label = f"stdio {target.command[0]!r}"
        first = Endpoint(kind="stdio", url="", mode=target.mode, label=label)
        if target.mode == "legacy":
            return [first]
        old = Endpoint(kind="stdio", url="", mode="legacy", label=f"{label} (older protocol)")
        return [first, old]
    parts = urlsplit(target.url)
    if parts.path.rstrip("/"):
        http = _endpoint("http", parts, target)
        sse = _endpoint("sse", parts, target)
        return [sse, http] if parts.path.rstrip("/").endswith("/sse") else [http, sse]
    return [
        _endpoint("http", parts, target),
        _endpoint("http", parts._replace(path="/mcp"), target),
        _endpoint("sse", parts._replace(path="/sse"), target),
    ]


def _endpoint(kind: Literal["http", "sse"], parts: SplitResult, target: ServerTarget) -> Endpoint:
    # Neither a password nor a key in the query may reach an error text.
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    transport = "streamable HTTP" if kind == "http" else "SSE"
    label = f"{transport} {shown.geturl()}"
    return Endpoint(kind=kind, url=parts.geturl(), mode=target.mode, label=label)


def _checked_command(name: str, command: Sequence[str]) -> tuple[str, ...]:
    given: object = command
    if isinstance(given, (str, bytes)):
        raise ConfigurationError(
            f"MCP server {name!r}: command must be a list of words, not one string.",
            hint='Write ["python", "server.py"]; no shell is involved.',
        )
    words = tuple(command)
    if not words or not words[0] or not all(isinstance(word, str) for word in words):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"MCP server {name!r}: command must be a sequence of words.")
    return words


def _checked_url(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises where it is no number
    except ValueError:
        usable = False
    else:
        register_secret(parts.password or "")
    if not usable:
        raise ConfigurationError(
            f"MCP server {name!r}: its URL must begin with http:// or https:// and name a host.",
            hint="For a program on this machine give command=[...].",
        )
    return url


def _headers(name: str, headers: Mapping[str, str] | None, token: str | None) -> Mapping[str, str]:
    kept = dict(_kept(headers))
    if token is None:
        return kept
    if any(key.lower() == "authorization" for key in kept):
        raise ConfigurationError(f"MCP server {name!r}: give token or an Authorization header.")
    if not token.strip() or not token.isascii() or not token.isprintable():
        raise ConfigurationError(f"MCP server {name!r}: token cannot be put into a header.")
    register_secret(token)
    return {**kept, "Authorization": f"Bearer {token}"}


def _kept(values: Mapping[str, str] | None) -> Mapping[str, str]:
    for key, value in (values or {}).items():
        if _SECRET_NAMES.search(key):
            register_secret(value)
    return dict(values or {})

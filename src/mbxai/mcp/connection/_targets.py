"""Where an MCP server is and how it is spoken to: checked settings, and the ways to try.

Pure: nothing is opened here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, urlsplit

from mbxai._redaction import register_secret
from mbxai.errors import ConfigurationError

Mode: TypeAlias = Literal["auto", "legacy", "2026-07-28"]
"""How the protocol version is agreed on: by probing for the newest first, by `initialize`, or not
at all: that version is spoken."""

TransportChoice: TypeAlias = Literal["auto", "http", "sse"]
"""How a URL is spoken to: in every way that may work, by streamable HTTP, or by the older SSE."""

CALL_SECONDS: Final = 60.0
"""How long one call may take, unless the caller says otherwise."""

CONNECT_SECONDS: Final = 30.0
"""How long connecting may take, all ways together."""

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Largest single message of a server."""

HELD_SECONDS: Final = 3600.0
"""How long a call of the older protocol waits for the answer of a person."""

_OWN_SOURCE: Final = "local"
"""What the application's own tools have for their source; who may have credentials hangs on it."""

_LONG_CHARS: Final = 16
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
        server: A server object in this process; None for all others.
        transport: In which ways a URL is tried.
        auth: Who we are to this server: a method of `mbxai.mcp.auth`, or an object that signs HTTP
            requests; None sends no more than `headers`.
        max_message_bytes: Largest message of the server; the answer of a call that is larger is
            an error.
        held_seconds: How long a call of the older protocol is kept while its caller fetches a
            person's answer.
    """

    name: str
    url: str = field(default="", repr=False)  # its query may hold a key
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout: float | None = CALL_SECONDS
    connect_timeout: float = CONNECT_SECONDS
    mode: Mode = "auto"
    server: object = field(default=None, repr=False)
    transport: TransportChoice = "auto"
    auth: Any = field(default=None, repr=False)  # Any: an AuthMethod, or an httpx2.Auth
    max_message_bytes: int = MAX_MESSAGE_BYTES
    held_seconds: float = HELD_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One way to reach a server.

    Attributes:
        kind: The transport.
        url: The address; empty for a child process and an object.
        mode: How the protocol version is agreed on.
        label: What an error calls this way; holds no credentials.
    """

    kind: Literal["stdio", "http", "sse", "memory"]
    url: str
    mode: Mode
    label: str


def read_target(
    name: str,
    base_url: str | None,
    *,
    command: Sequence[str] | None = None,
    server: object = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
    auth: object = None,
    transport: TransportChoice = "auto",
    timeout: float | None = CALL_SECONDS,
    connect_timeout: float = CONNECT_SECONDS,
    mode: Mode = "auto",
) -> ServerTarget:
    """Check what a caller said of a server; see `AsyncMCPClient.register_mcp_server`.

    Raises:
        ConfigurationError: Something is missing, contradictory or of the wrong kind.
    """
    if not name.strip():
        raise ConfigurationError("An MCP server needs a name.")
    if name.strip().lower() == _OWN_SOURCE:
        raise ConfigurationError(
            f"An MCP server cannot be called {name!r}.",
            hint="The application's own tools are known by that; give it another name.",
        )
    if sum(way is not None for way in (base_url, command, server)) != 1:
        raise ConfigurationError(
            f"MCP server {name!r}: give either a URL or a command.",
            hint="server= takes an object of this process instead.",
        )
    if connect_timeout <= 0 or (timeout is not None and timeout <= 0):
        raise ConfigurationError(f"MCP server {name!r}: a timeout must be more than 0 seconds.")
    _check_choice(name, "mode", mode, get_args(Mode))
    _check_choice(name, "transport", transport, get_args(TransportChoice))
    target = ServerTarget(name=name, timeout=timeout, connect_timeout=connect_timeout, mode=mode)
    if base_url is None:
        _check_no_web(name, headers, token, auth, transport)
    if command is not None:
        words = _checked_command(name, command)
        return replace(target, command=words, env=_kept(env), cwd=cwd)
    if env or cwd:
        raise ConfigurationError(
            f"MCP server {name!r}: env and cwd are for servers with a command."
        )
    if base_url is None:
        return replace(target, server=_checked_server(name, server))
    if token is not None and auth is not None:
        raise ConfigurationError(f"MCP server {name!r}: give token or auth, not both.")
    url = _checked_url(name, base_url)
    return replace(
        target, url=url, headers=_headers(name, headers, token), auth=auth, transport=transport
    )


def endpoints(target: ServerTarget) -> list[Endpoint]:
    """Return the ways to reach a server, likeliest first.

    A URL without a path is tried as it stands, then at `/mcp`, then as the older SSE transport at
    `/sse`. A child process that dies of the probe for the newest protocol is started once more and
    spoken to in the older way.
    """
    if target.server is not None:
        label = f"in-process {type(target.server).__name__}"
        return [Endpoint(kind="memory", url="", mode=target.mode, label=label)]
    if target.command:
        label = f"stdio {target.command[0]!r}"
        first = Endpoint(kind="stdio", url="", mode=target.mode, label=label)
        if target.mode != "auto":
            return [first]
        old = Endpoint(kind="stdio", url="", mode="legacy", label=f"{label} (older protocol)")
        return [first, old]
    ways = _web_endpoints(target)
    return [way for way in ways if target.transport in ("auto", way.kind)]


def _web_endpoints(target: ServerTarget) -> list[Endpoint]:
    parts = urlsplit(target.url)
    if parts.path.rstrip("/"):
        http = _endpoint("http", parts, target)
        sse = _endpoint("sse", parts, target)
        return [sse, http] if parts.path.rstrip("/").endswith("/sse") else [http, sse]
    ways = [
        _endpoint("http", parts, target),
        _endpoint("http", parts._replace(path="/mcp"), target),
        _endpoint("sse", parts._replace(path="/sse"), target),
    ]
    # Who names the older transport may mean the address as it stands.
    return [*ways, _endpoint("sse", parts, target)] if target.transport == "sse" else ways


def _endpoint(kind: Literal["http", "sse"], parts: SplitResult, target: ServerTarget) -> Endpoint:
    # Neither a password nor a key in the query may reach an error text.
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    transport = "streamable HTTP" if kind == "http" else "SSE"
    label = f"{transport} {shown.geturl()}"
    return Endpoint(kind=kind, url=parts.geturl(), mode=target.mode, label=label)


def _check_choice(name: str, what: str, given: object, known: Sequence[str]) -> None:
    if given not in known:
        words = ", ".join(repr(word) for word in known)
        raise ConfigurationError(f"MCP server {name!r}: {what} must be one of {words}.")


def _check_no_web(
    name: str,
    headers: Mapping[str, str] | None,
    token: str | None,
    auth: object,
    transport: TransportChoice,
) -> None:
    if headers or token:
        raise ConfigurationError(
            f"MCP server {name!r}: headers and token are for servers with a URL.",
            hint="Give a command's credentials in env.",
        )
    if auth is not None or transport != "auto":
        raise ConfigurationError(
            f"MCP server {name!r}: auth and transport are for servers with a URL."
        )


def _checked_server(name: str, server: object) -> object:
    low_level = getattr(server, "mcp_server", server)
    if not callable(getattr(low_level, "create_initialization_options", None)):
        raise ConfigurationError(
            f"MCP server {name!r}: server must be an MCPServer, not {type(server).__name__}.",
            hint="For a server of another process give its URL or its command.",
        )
    return server


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
    except (AttributeError, TypeError, ValueError):  # no text, or no address
        usable = False
    else:
        register_secret(parts.password or "")
        _register_query(parts.query)
    if not usable:
        raise ConfigurationError(
            f"MCP server {name!r}: its URL must begin with http:// or https:// and name a host.",
            hint="For a program on this machine give command=[...].",
        )
    return url


def _register_query(query: str) -> None:
    """Keep keys in an address out of every log; the HTTP client and its parts write it out."""
    for part in query.split("&"):
        key, _, written = part.partition("=")
        for _, value in parse_qsl(f"k={written}"):
            if _SECRET_NAMES.search(key) or len(value) >= _LONG_CHARS:
                for form in {value, written, quote(value, safe=""), quote_plus(value)}:
                    register_secret(form)


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

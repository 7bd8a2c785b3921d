"""Options that callers without a type checker may get wrong; pure."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from mbxai.errors import ConfigurationError
from mbxai.mcp._options import MCPClientOptions, MCPServerParams
from mbxai.mcp._remote_models import LogLevel
from mbxai.mcp._sampling import SamplingPolicy
from mbxai.mcp.auth import AuthMethod


def check_mcp_options(options: Mapping[str, Any]) -> None:
    """Refuse what cannot be an option of an MCP client.

    Args:
        options: Keyword arguments of a client; those of its tools are checked elsewhere.

    Raises:
        ConfigurationError: One of them is of the wrong kind.
    """
    known = MCPClientOptions.__annotations__
    for name in options.keys() - known.keys():
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "See MCPClientOptions."
        raise ConfigurationError(f"An MCP client has no option {name!r}.", hint=hint)
    for name in ("elicit", "on_log"):
        given = options.get(name)
        if given is not None and not callable(given):
            raise ConfigurationError(f"{name} must be a function, or None.")
    policy = options.get("sampling")
    if policy is not None and not isinstance(policy, SamplingPolicy):
        raise ConfigurationError(
            "sampling must be a SamplingPolicy, or None.",
            hint='Write sampling=SamplingPolicy(models=["openai/gpt-4.1"]).',
        )
    pins = options.get("pins")
    is_store = all(callable(getattr(pins, name, None)) for name in ("first_seen", "keep"))
    if not (pins is None or isinstance(pins, str | Path) or is_store):
        raise ConfigurationError("pins must be the path of a file, or a PinStore.")
    level = options.get("log_level", "info")
    if level not in get_args(LogLevel):
        raise ConfigurationError(f"log_level must be one of {', '.join(get_args(LogLevel))}.")
    _check_roots(options, "")


def check_server_params(name: str, params: Mapping[str, Any]) -> None:
    """Refuse what is said of a server and means nothing.

    Args:
        name: The server.
        params: Keyword arguments of its registration.

    Raises:
        ConfigurationError: One of them is unknown, or of the wrong kind.
    """
    known = MCPServerParams.__annotations__
    for key in params.keys() - known.keys():
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "See MCPServerParams."
        if key == "args":
            hint = 'Put all words into command: command=["python", "server.py"].'
        raise ConfigurationError(f"MCP server {name!r} has no option {key!r}.", hint=hint)
    for key in ("required", "replace"):
        if not isinstance(params.get(key, True), bool):
            raise ConfigurationError(f"MCP server {name!r}: {key} must be True or False.")
    auth: object = params.get("auth")
    if not (auth is None or isinstance(auth, AuthMethod) or hasattr(auth, "async_auth_flow")):
        raise ConfigurationError(
            f"MCP server {name!r}: auth must be OAuth(...) or another way of mbxai.mcp to sign in.",
            hint="A token as text is token=...; one that changes is auth=BearerToken(...).",
        )
    _check_roots(params, f"MCP server {name!r}: ")


def _check_roots(options: Mapping[str, Any], where: str) -> None:
    roots: object = options.get("roots")
    if roots is None or callable(roots):
        return
    if not isinstance(roots, Sequence) or isinstance(roots, str | bytes):
        raise ConfigurationError(
            f"{where}roots must be a list of directories, or a function that returns one."
        )

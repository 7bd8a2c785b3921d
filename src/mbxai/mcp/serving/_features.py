"""Everything that one server offers, and on which terms; plain data, no protocol here."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from mbxai._redaction import get_logger, register_secret
from mbxai.errors import ConfigurationError
from mbxai.mcp.serving._bearer import BearerAuth
from mbxai.mcp.serving._context import MCPContext
from mbxai.mcp.serving._exchange import Exchange
from mbxai.mcp.serving._prompts import Completions, ServedPrompts
from mbxai.mcp.serving._resources import ServedResources
from mbxai.mcp.serving._served_tools import ServedTools
from mbxai.tools._context import SecretSource

logger = get_logger(__name__)

_MIN_KEY_BYTES: Final = 32

Cached: TypeAlias = Literal["tools", "resources", "prompts", "read"]
"""What a client may keep: the three lists, and what was read from resources."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """On which terms a server works.

    Attributes:
        name: Its name.
        title: Its name for people; empty for none.
        description: What it is for.
        instructions: What a client's model is told of it.
        version: Its version.
        auth: Who may call over HTTP; None asks for nothing.
        allowed_hosts: Host names under which it may be reached besides localhost.
        state_keys: Keys that seal what clients keep for us.
        state_ttl_seconds: How long a client may take to answer a question, from 2026-07-28 on.
        cache_seconds: How long clients may keep what they were told, by what it is.
        max_body_bytes: The largest HTTP request.
        idle_seconds: How long a session is kept that nobody uses; None keeps it.
        max_sessions: How many there may be at once.
        resumable: Whether clients can come back for what they missed, up to 2025-11-25.
        deps: The application's object, for contexts.
        secrets: Where tools get their `Secret` parameters.
    """

    name: str
    title: str = ""
    description: str | None = None
    instructions: str | None = None
    version: str = ""
    auth: BearerAuth | None = None
    allowed_hosts: Sequence[str] = ()
    state_keys: Sequence[bytes | str] = field(default=(), repr=False)
    state_ttl_seconds: float = 3_600.0
    cache_seconds: Mapping[Cached, float] = field(default_factory=dict[Cached, float])
    max_body_bytes: int = 4 * 1_048_576
    idle_seconds: float | None = 1_800.0
    max_sessions: int = 10_000
    resumable: bool = False
    deps: object = None
    secrets: SecretSource = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be.

        Raises:
            ConfigurationError: One of them cannot.
        """
        given: dict[str, Any] = vars(self)  # users' input
        if not isinstance(given["name"], str) or not self.name.strip():
            raise ConfigurationError(f"MCPServer: name must be a text, not {self.name!r:.80}.")
        if self.auth is not None and not isinstance(given["auth"], BearerAuth):
            raise ConfigurationError(
                f"MCPServer: auth must be a BearerAuth, not a {type(self.auth).__name__}.",
                hint="BearerAuth(verify=..., issuer=..., resource=...) says which tokens are good.",
            )
        keys = [key.encode() if isinstance(key, str) else bytes(key) for key in self.state_keys]
        if any(len(key) < _MIN_KEY_BYTES for key in keys) or len(set(keys)) < len(keys):
            raise ConfigurationError(
                f"MCPServer: each of state_keys must have {_MIN_KEY_BYTES} bytes or more, and be"
                " there once.",
                hint='python -c "import secrets; print(secrets.token_hex(32))" makes one.',
            )
        for key in self.state_keys:
            if isinstance(key, str):
                register_secret(key)
        for label in ("state_ttl_seconds", "max_body_bytes", "max_sessions"):
            if not getattr(self, label) > 0:
                raise ConfigurationError(f"MCPServer: {label} must be more than 0.")
        if self.idle_seconds is not None and not self.idle_seconds > 0:
            raise ConfigurationError("MCPServer: idle_seconds must be more than 0, or None.")
        unknown = [name for name in self.cache_seconds if name not in _CACHED]
        if unknown or any(seconds < 0 for seconds in self.cache_seconds.values()):
            raise ConfigurationError(
                "MCPServer: cache_seconds maps"
                f" {', '.join(map(repr, _CACHED))} to seconds, 0 or more.",
            )


_CACHED: Final = ("tools", "resources", "prompts", "read")


class Features:
    """What a server offers: its tools, resources, prompts and completions."""

    def __init__(self, settings: ServerSettings) -> None:
        """Start with nothing.

        Args:
            settings: On which terms.
        """
        self.settings = settings
        self.tools: ServedTools = ServedTools()
        self.resources: ServedResources = ServedResources()
        self.prompts: ServedPrompts = ServedPrompts()
        self.completions: Completions = Completions()
        self._idle: set[tuple[str, str]] = set()  # completions that were warned of

    def context(self, exchange: Exchange, **more: Any) -> MCPContext[Any]:
        """Return what surrounds one request.

        Args:
            exchange: The request.
            **more: More fields of the context.
        """
        settings = self.settings
        return MCPContext(
            deps=settings.deps,
            secrets=settings.secrets,
            _exchange=exchange,
            _loop=asyncio.get_running_loop(),
            **more,
        )

    def arguments_of(self, target: str) -> list[str] | None:
        """Return what can be completed in a prompt or a template; None if there is none.

        Args:
            target: Name of a prompt, or an address as it was given.
        """
        prompt, resource = self.prompts.get(target), self.resources.get(target)
        if prompt is None and resource is None:
            return None
        arguments = [] if prompt is None else [p.name for p in prompt.function.parameters]
        return arguments if resource is None else [*arguments, *resource.variables]

    def warn_of_idle_completions(self) -> None:
        """Log completions for which nobody can ask; once each."""
        for target, argument in self.completions.targets():
            if argument in (self.arguments_of(target) or ()):
                continue
            if (target, argument) not in self._idle:
                self._idle.add((target, argument))
                logger.warning(
                    "The completion of %r in %.200r is never asked for: there is no such prompt or"
                    " template, or it has no such argument",
                    argument,
                    target,
                )

    def all_scopes(self) -> list[str]:
        """Return every scope that a token may be needed for."""
        base = self.settings.auth.scopes if self.settings.auth is not None else ()
        return list(dict.fromkeys([*base, *self.tools.all_scopes()]))

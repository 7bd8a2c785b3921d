"""Environment and arguments become settings; an argument beats the environment."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from mbxai._redaction import register_secret
from mbxai.errors import OpenRouterConfigurationError

DEFAULT_BASE_URL: Final = "https://openrouter.ai/api/v1/"
"""OpenRouter's own address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRouterSettings:
    """What a client needs to reach OpenRouter.

    Attributes:
        token: The API key; prints as stars.
        base_url: Where the API lives, with a slash at the end.
        model: Model that the environment names; None where it names none.
    """

    token: SecretStr
    base_url: str
    model: str | None


def openrouter_settings(
    token: str | SecretStr | None = None,
    base_url: str | None = None,
    model: str | None = None,
) -> OpenRouterSettings:
    """Return checked settings; what is not given comes from the environment.

    Reads OPENROUTER_API_KEY, OPENROUTER_BASE_URL and OPENROUTER_MODEL, now and not at import.

    Args:
        token: API key; None reads the environment.
        base_url: Address of the API; None reads the environment, then takes OpenRouter's own.
        model: Model; None reads the environment.

    Raises:
        OpenRouterConfigurationError: No key, a key that cannot be one, or an address that is
            neither https nor on this machine; an argument of another type.
    """
    if token is not None and not isinstance(cast("object", token), str | SecretStr):
        raise OpenRouterConfigurationError(f"token must be text, not {_kind_of(token)}.")
    for name, value in (("base_url", base_url), ("model", model)):
        if value is not None and not isinstance(cast("object", value), str):
            raise OpenRouterConfigurationError(f"{name} must be text, not {_kind_of(value)}.")
    environment = os.environ
    return OpenRouterSettings(
        token=_checked_key(environment.get("OPENROUTER_API_KEY") if token is None else token),
        base_url=checked_base_url(
            base_url or environment.get("OPENROUTER_BASE_URL", "").strip() or DEFAULT_BASE_URL
        ),
        model=model or environment.get("OPENROUTER_MODEL", "").strip() or None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """What spans may hold.

    Attributes:
        has_content: Whether they hold what was said: prompts, answers, arguments and results.
    """

    has_content: bool


def telemetry_settings() -> TelemetrySettings:
    """Return what the environment says of spans.

    Reads MBXAI_LOG_CONTENT, now and not at import: 1, true, yes and on switch content on.
    """
    said = os.environ.get("MBXAI_LOG_CONTENT", "").strip().lower()
    return TelemetrySettings(has_content=said in {"1", "true", "yes", "on"})


def checked_base_url(base_url: str) -> str:
    """Return the address with a slash at the end.

    Args:
        base_url: An https address; http only on the loopback interface, because the key travels
            with every request.

    Raises:
        OpenRouterConfigurationError: The address is none, or would send the key in the clear.
    """
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise OpenRouterConfigurationError(f"base_url is no address: {error}.") from error
    if parts.username is not None or parts.password is not None:
        raise OpenRouterConfigurationError("base_url holds a user name or a password.")
    if parts.query or parts.fragment:
        raise OpenRouterConfigurationError("base_url has a query or a fragment.")
    if not host or parts.scheme not in {"http", "https"}:
        raise OpenRouterConfigurationError(
            "base_url is no http address.", hint=f"It looks like {DEFAULT_BASE_URL}."
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise OpenRouterConfigurationError(
            f"base_url would send the key in the clear to {host}.",
            hint="Use https; http is for this machine only (localhost, 127.0.0.1, ::1).",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def _checked_key(token: str | SecretStr | None) -> SecretStr:
    secret = token.get_secret_value() if isinstance(token, SecretStr) else token
    if not secret or not secret.strip():
        raise OpenRouterConfigurationError(
            "There is no OpenRouter API key.", hint="Set OPENROUTER_API_KEY or pass token=."
        )
    # Also keeps line breaks out of the header that carries the key.
    if not all("!" <= character <= "~" for character in secret):
        raise OpenRouterConfigurationError(
            "The OpenRouter API key holds a space, a line break or another impossible character.",
            hint="Copy it again without quotes and blanks.",
        )
    register_secret(secret)
    return SecretStr(secret)


def _kind_of(value: object) -> str:
    return f"of type {type(value).__name__}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

"""Proof Key for Code Exchange (RFC 7636), and the address where people allow a program in."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter.resources._arguments import one_of, text

# OpenRouter's documentation, guides/overview/auth/oauth.
_AUTHORIZATION_ADDRESS: Final = "https://openrouter.ai/auth"
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# RFC 7636, 4.1: a verifier has 43 to 128 characters; so many bytes become 64.
_VERIFIER_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class PKCEPair:
    """Proves that who asked for a code is who exchanges it.

    Attributes:
        code_verifier: Secret until `exchange_code`; 64 characters.
        code_challenge: Its SHA-256, for `authorization_url`.
        code_challenge_method: How the one became the other.
    """

    code_verifier: str = field(repr=False)
    code_challenge: str
    code_challenge_method: Literal["S256"] = "S256"


def create_pkce_pair() -> PKCEPair:
    """Return a new pair of a random verifier and its challenge (S256); nothing is sent."""
    verifier = _base64(secrets.token_bytes(_VERIFIER_BYTES))
    return PKCEPair(verifier, _base64(hashlib.sha256(verifier.encode("ascii")).digest()))


def authorization_url(
    callback_url: str | None = None,
    *,
    code_challenge: str,
    code_challenge_method: Literal["S256", "plain"] = "S256",
    key_label: str | None = None,
) -> str:
    """Return the address to open in a browser, where a person allows a program in.

    Nothing is sent.

    Args:
        callback_url: Where the browser goes with `?code=`: https, or http on this machine; None
            shows the code on the screen.
        code_challenge: Of `create_pkce_pair`.
        code_challenge_method: How the challenge was made.
        key_label: Name of the key that will be made, at most 100 characters.

    Raises:
        OpenRouterConfigurationError: An argument is impossible.
    """
    query: dict[str, str] = {}
    if callback_url is not None:
        query["callback_url"] = checked_callback("callback_url", callback_url)
    query["code_challenge"] = text("code_challenge", code_challenge)
    query["code_challenge_method"] = checked_method("code_challenge_method", code_challenge_method)
    if key_label is not None:
        query["key_label"] = checked_label("key_label", key_label)
    return f"{_AUTHORIZATION_ADDRESS}?{urlencode(query)}"


def checked_callback(name: str, value: object) -> str:
    """Return an address that OpenRouter sends browsers back to."""
    address = text(name, value)
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        host, parts = None, urlsplit("")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL_HOSTS)
    if not host or not is_safe:
        raise OpenRouterConfigurationError(
            f"{name} must be an https address, or http on this machine.",
            hint="For example http://localhost:3000/callback.",
        )
    return address


def checked_label(name: str, value: object) -> str:
    """Return the name of a key to be made."""
    label = text(name, value)
    if len(label) > 100:
        raise OpenRouterConfigurationError(f"{name} is longer than 100 characters.")
    return label


def checked_verifier(name: str, value: object) -> str:
    """Return a verifier of a length that RFC 7636 allows; the message does not hold it."""
    verifier = text(name, value)
    if not 43 <= len(verifier) <= 128:
        raise OpenRouterConfigurationError(
            f"{name} must have 43 to 128 characters.", hint="Use create_pkce_pair()."
        )
    return verifier


checked_method: Final = one_of("S256", "plain")
"""Return a way to make challenges."""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

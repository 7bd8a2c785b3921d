"""Who may call a server over HTTP: bearer tokens, their scopes, and where to get one.

The rules are those of a protected resource (RFC 6750, RFC 9728); no route and no protocol here.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.tools.runner._threads import in_thread

logger = get_logger(__name__)

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata of a protected resource lie; the resource's own path follows."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What is known of a caller's token.

    Attributes:
        client_id: The application that calls.
        subject: The user on whose behalf it calls; empty where nobody is named.
        scopes: What the token allows.
        issuer: Who gave the token.
        audience: For which servers it was given; empty where it does not say.
        expires_at: When it ends, in seconds since 1970; None where it does not say.
        claims: Everything else that is known of it.
    """

    client_id: str
    subject: str = ""
    scopes: Sequence[str] = ()
    issuer: str = ""
    audience: Sequence[str] = ()
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)  # Any: JSON


Verdict: TypeAlias = AccessToken | Mapping[str, Any] | None
"""What a verifier finds: the token, its claims as a JSON Web Token or an introspection has them, or
None for a no. Claims must name a `client_id`, an `azp` or a `sub`; `active`, `exp` and `nbf` count
where they are."""

Verifier: TypeAlias = Callable[[str], Verdict | Awaitable[Verdict]]
"""Finds out whether a token is good; a blocking one runs in a worker thread. A raised exception is
a no, and is logged."""


@dataclass(frozen=True, kw_only=True)
class BearerAuth:
    """Asks every HTTP caller for a bearer token.

    Attributes:
        verify: Finds out whether a token is good: it checks the signature, or asks who gave it.
        issuer: Address of the authorisation server that gives tokens; clients are sent there.
            Empty where tokens are handed out in another way.
        resource: The public address of this server's endpoint, such as
            "https://example.org/api/mcp". A token that names other audiences is refused. Left out,
            it is made from each request, and audiences are not checked.
        scopes: What every token must allow. Tools may ask for more.
    """

    verify: Verifier
    issuer: str = ""
    resource: str = ""
    scopes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse settings that cannot be.

        Raises:
            ConfigurationError: An address is none, or the scopes are one text.
        """
        if not callable(self.verify):
            raise ConfigurationError("BearerAuth: verify must be a function of a token.")
        check_scopes("BearerAuth", self.scopes)
        for name in ("issuer", "resource"):
            address: object = getattr(self, name)
            if address == "":
                continue
            parts = urlsplit(address) if isinstance(address, str) else urlsplit("")
            is_safe = parts.scheme == "https" or parts.hostname in _LOOPBACK
            if parts.scheme not in ("http", "https") or not parts.hostname or not is_safe:
                raise ConfigurationError(
                    f"BearerAuth: {name} must be an https address.",
                    hint="Plain http is only good on this machine.",
                )


def check_scopes(label: str, scopes: object) -> None:
    """Refuse scopes that cannot be.

    Args:
        label: Who has them.
        scopes: What was given.

    Raises:
        ConfigurationError: They are no list of words.
    """
    words: list[object] = list(cast("Sequence[object]", scopes)) if _is_list(scopes) else [None]
    # RFC 6749: what may stand in a scope; a quote would break out of the header.
    if not all(isinstance(word, str) and _is_scope(word) for word in words):
        raise ConfigurationError(
            f'{label}: scopes must be a list of words, such as ["files:read"].'
        )


async def verified(auth: BearerAuth, token: str) -> AccessToken | None:
    """Return what is known of a good token; None for any other.

    Args:
        auth: The rules.
        token: What the caller sent.
    """
    try:
        if inspect.iscoroutinefunction(auth.verify):
            found: object = await auth.verify(token)
        else:
            found = await in_thread(lambda: auth.verify(token))
            if inspect.isawaitable(found):
                found = await found
    except Exception as error:  # noqa: BLE001  # the application's own code; its text may hold a token
        logger.error("verify= failed (%s); the caller is refused", type(error).__name__)  # noqa: TRY400
        return None
    access = _read(found)
    if access is None or (access.expires_at is not None and access.expires_at <= time.time()):
        return None
    wanted = auth.resource.rstrip("/")
    if wanted and access.audience and wanted not in [a.rstrip("/") for a in access.audience]:
        logger.warning("a token for another server was refused")
        return None
    return access


def bearer_token(authorization: str) -> str:
    """Return the token of an `Authorization` header; empty if it holds none.

    Args:
        authorization: The header's value.
    """
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def challenge(
    metadata_url: str,
    *,
    error: Literal["", "invalid_token", "insufficient_scope"] = "",
    scopes: Sequence[str] = (),
) -> str:
    """Return the `WWW-Authenticate` header of a refusal.

    Args:
        metadata_url: Where the client learns how to get a token.
        error: What is wrong; empty where no token came at all.
        scopes: What the token must allow.
    """
    words = [f'error="{error}"'] if error else []
    if scopes:
        words.append(f'scope="{" ".join(scopes)}"')
    words.append(f'resource_metadata="{metadata_url}"')
    return f"Bearer {', '.join(words)}"


def metadata(auth: BearerAuth, resource: str, name: str, scopes: Sequence[str]) -> dict[str, Any]:
    """Return what a client must know to get a token (RFC 9728).

    Args:
        auth: The rules.
        resource: The address of the endpoint.
        name: What people call it.
        scopes: All that tokens for it may allow.
    """
    told: dict[str, Any] = {
        "resource": resource,
        "resource_name": name,
        "bearer_methods_supported": ["header"],
    }
    if auth.issuer:
        told["authorization_servers"] = [auth.issuer]
    if scopes:
        told["scopes_supported"] = list(scopes)
    return told


def missing_scopes(token: AccessToken | None, wanted: Sequence[str]) -> list[str]:
    """Return the scopes that a token lacks.

    Args:
        token: The token; None allows nothing.
        wanted: What is needed.
    """
    given = set(token.scopes) if token is not None else set[str]()
    return [scope for scope in wanted if scope not in given]


def _read(found: object) -> AccessToken | None:
    if isinstance(found, AccessToken) or found is None:
        return found
    if not isinstance(found, Mapping):
        logger.error("verify= must return an AccessToken, claims or None; the caller is refused")
        return None
    claims = cast("Mapping[str, Any]", found)
    # What an introspection (RFC 7662) says of a bad token is a mapping too.
    if claims.get("active", True) is not True:
        return None
    client = claims.get("client_id") or claims.get("azp") or claims.get("sub")
    expires, begins = _moment(claims, "exp"), _moment(claims, "nbf")
    if not client or expires is _UNREADABLE or begins is _UNREADABLE:
        logger.error("verify= returned claims that name nobody or no time; the caller is refused")
        return None
    if begins is not None and begins > time.time():
        return None
    return AccessToken(
        client_id=str(client),
        subject=str(claims.get("sub") or ""),
        scopes=_words(claims.get("scope", claims.get("scp", claims.get("scopes")))),
        issuer=str(claims.get("iss") or ""),
        audience=_words(claims.get("aud")),
        expires_at=expires,
        claims=dict(claims),
    )


_UNREADABLE: Final = float("-inf")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A moment that claims name, in seconds since 1970; None where they name none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return _UNREADABLE
    return float(value)


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(str(word) for word in cast("Sequence[object]", value)) if _is_list(value) else ()


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _is_scope(word: str) -> bool:
    return bool(word) and all("!" <= letter <= "~" and letter not in '"\\' for letter in word)

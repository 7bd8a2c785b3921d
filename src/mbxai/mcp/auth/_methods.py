"""The ways to tell a server who we are: settings, checked and without their secrets in `repr`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from mbxai._redaction import register_secret
from mbxai.errors import ConfigurationError
from mbxai.mcp.auth._addresses import is_loopback
from mbxai.mcp.auth._stores import MemoryTokenStore, TokenStore

ClientMethod: TypeAlias = Literal["basic", "post"]
"""How a client's secret is shown to the authorization server: in a header or in the form."""

WAIT_SECONDS: Final = 300.0
"""How long a person may take to agree, unless the caller says otherwise."""

_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """A person signs in with a browser and agrees; the server's tokens are then kept and renewed.

    The authorization server is found through the MCP server. The program registers itself there
    unless `client_id` or `client_metadata_url` is given.

    Attributes:
        scopes: What is asked for, besides what the server says it needs; by default what the server
            says, else nothing in particular.
        client_name: What the person is shown as the asking program.
        client_id: The id of a client that is registered already.
        client_secret: Its secret, if it has one.
        method: How the secret is shown; by default what the authorization server can read.
        client_metadata_url: An https address of our own where a document describes this client; it
            serves as client id where the authorization server supports that.
        issuer: The only authorization server that may be used. Recommended with a `client_secret`:
            without it the MCP server decides who is shown the secret.
        redirect_port: Where the browser's answer is awaited on 127.0.0.1; 0 takes any free port.
        redirect_uri: The address that the browser is sent back to. With `callback` it is any
            address of yours; without it, one on this machine with a port, to listen on.
        open_browser: Whether the system's browser is opened; or a function, blocking or not, that
            is given the address instead.
        on_authorize: Is told the address before the browser is opened, to show it to a person.
        callback: For services: an async function that is given the address, sends the person there
            and returns the whole address that the browser came back to, or its parameters.
        wait_seconds: How long the person may take.
        account: Whose tokens these are, where one store keeps those of several people.
        store: Where tokens are kept; by default in memory, as long as this object lives.
    """

    scopes: Sequence[str] = ()
    client_name: str = "mbxai"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    method: ClientMethod | None = None
    client_metadata_url: str = ""
    issuer: str = ""
    redirect_port: int = 0
    redirect_uri: str = ""
    open_browser: bool | Callable[[str], object] = field(default=True, compare=False)
    on_authorize: Callable[[str], object] | None = field(default=None, compare=False)
    callback: Callable[[str], Awaitable[str | Mapping[str, str]]] | None = field(
        default=None, compare=False
    )
    wait_seconds: float = WAIT_SECONDS
    account: str = ""
    store: TokenStore = field(default_factory=MemoryTokenStore, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        object.__setattr__(self, "scopes", _scopes("OAuth", self.scopes))
        _check_client("OAuth", self.method, self.issuer, self.client_secret)
        if self.client_secret and not self.client_id:
            raise ConfigurationError("OAuth: client_secret needs client_id.")
        if self.client_id and self.client_metadata_url:
            raise ConfigurationError("OAuth: give client_id or client_metadata_url, not both.")
        if self.client_metadata_url:
            parts = urlsplit(self.client_metadata_url)
            if parts.scheme != "https" or parts.path in ("", "/"):
                raise ConfigurationError(
                    "OAuth: client_metadata_url must begin with https:// and have a path."
                )
        if self.wait_seconds <= 0:
            raise ConfigurationError("OAuth: wait_seconds must be more than 0.")
        self._check_redirect()

    def _check_redirect(self) -> None:
        if self.callback is not None:
            if not self.redirect_uri:
                raise ConfigurationError(
                    "OAuth: with callback give redirect_uri too: the address that you serve."
                )
            if not urlsplit(self.redirect_uri).scheme:
                raise ConfigurationError("OAuth: redirect_uri must be a whole address.")
            return
        if self.open_browser is False and self.on_authorize is None:
            raise ConfigurationError(
                "OAuth: with open_browser=False nobody would learn the address.",
                hint="Give on_authorize or callback.",
            )
        if not 0 <= self.redirect_port <= _MAX_PORT:
            raise ConfigurationError(f"OAuth: redirect_port must be 0 to {_MAX_PORT}.")
        if not self.redirect_uri:
            return
        try:
            parts = urlsplit(self.redirect_uri)
            usable = parts.scheme == "http" and is_loopback(self.redirect_uri) and bool(parts.port)
        except ValueError:
            usable = False
        if not usable or self.redirect_port:
            raise ConfigurationError(
                "OAuth: without callback, redirect_uri must be http://127.0.0.1:PORT/... or"
                " http://localhost:PORT/..., and redirect_port not be given."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """The program signs in by itself with an id and a secret; no person is asked.

    Attributes:
        client_id: Id of the registered client.
        client_secret: Its secret.
        scopes: What is asked for, besides what the server says it needs.
        method: How the secret is shown; by default what the authorization server can read.
        issuer: The only authorization server that is shown the secret. Recommended: without it the
            MCP server decides who is.
        store: Where tokens are kept; by default in memory, as long as this object lives.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scopes: Sequence[str] = ()
    method: ClientMethod | None = None
    issuer: str = ""
    store: TokenStore = field(default_factory=MemoryTokenStore, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        object.__setattr__(self, "scopes", _scopes("ClientCredentials", self.scopes))
        _check_client("ClientCredentials", self.method, self.issuer, self.client_secret)
        if not self.client_id or not self.client_secret:
            raise ConfigurationError("ClientCredentials: client_id and client_secret are needed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeyJWT:
    """The program signs in by itself with a token that it signs, or that somebody signs for it.

    Attributes:
        client_id: Id of the registered client.
        key: The private key in PEM, to sign with.
        algorithm: How it is signed, for example "RS256" or "ES256"; must fit the key.
        assertion: Instead of `key`: a function, blocking or not, from the authorization server's
            issuer to a signed token; for workload identities.
        scopes: What is asked for, besides what the server says it needs.
        issuer: The only authorization server that is used; recommended.
        store: Where tokens are kept; by default in memory, as long as this object lives.
    """

    client_id: str
    key: str = field(default="", repr=False)
    algorithm: str = "RS256"
    assertion: Callable[[str], str | Awaitable[str]] | None = field(default=None, compare=False)
    scopes: Sequence[str] = ()
    issuer: str = ""
    store: TokenStore = field(default_factory=MemoryTokenStore, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        object.__setattr__(self, "scopes", _scopes("PrivateKeyJWT", self.scopes))
        _check_client("PrivateKeyJWT", None, self.issuer, self.key)
        if not self.client_id:
            raise ConfigurationError("PrivateKeyJWT: client_id is needed.")
        if bool(self.key) == (self.assertion is not None):
            raise ConfigurationError("PrivateKeyJWT: give either key or assertion.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseAuth:
    """An enterprise's identity provider vouches for a person who has signed in there (ID-JAG).

    Attributes:
        client_id: Id of the client that is registered with the authorization server.
        client_secret: Its secret.
        issuer: The authorization server; it is never taken from the MCP server.
        assertion: A function, blocking or not, from the authorization server's issuer and the MCP
            server's address to a fresh identity assertion for them.
        scopes: What is asked for.
        method: How the secret is shown.
        account: Whose tokens these are, where one store keeps those of several people.
        store: Where tokens are kept; by default in memory, as long as this object lives.
    """

    client_id: str
    client_secret: str = field(repr=False)
    issuer: str
    assertion: Callable[[str, str], str | Awaitable[str]] = field(compare=False)
    scopes: Sequence[str] = ()
    method: ClientMethod = "basic"
    account: str = ""
    store: TokenStore = field(default_factory=MemoryTokenStore, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        object.__setattr__(self, "scopes", _scopes("EnterpriseAuth", self.scopes))
        _check_client("EnterpriseAuth", self.method, self.issuer, self.client_secret)
        if not self.client_id or not self.client_secret or not self.issuer:
            raise ConfigurationError(
                "EnterpriseAuth: client_id, client_secret and issuer are needed."
            )


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that somebody else renews.

    Attributes:
        source: A function, blocking or not, that returns the token of now. It is asked before each
            request, and once more when the server refuses the token.
    """

    source: Callable[[], str | Awaitable[str]]


TokenMethod: TypeAlias = OAuth | ClientCredentials | PrivateKeyJWT | EnterpriseAuth
"""The methods that get tokens and keep them."""

AuthMethod: TypeAlias = TokenMethod | BearerToken
"""What may be given as `auth=`."""


def client_label(method: TokenMethod) -> str:
    """Say in one line who we are with a method; part of the key under which tokens are kept.

    Args:
        method: The settings.
    """
    if isinstance(method, OAuth):
        who = method.client_id or method.client_metadata_url or "registered"
        return f"oauth {who} {method.account}".rstrip()
    if isinstance(method, EnterpriseAuth):
        return f"enterprise {method.issuer} {method.client_id} {method.account}".rstrip()
    kind = "credentials" if isinstance(method, ClientCredentials) else "key"
    return f"{kind} {method.client_id}"


def _scopes(name: str, scopes: Sequence[str]) -> tuple[str, ...]:
    given: object = scopes
    if isinstance(given, str | bytes):
        raise ConfigurationError(
            f"{name}: scopes must be a list of words, not one string.", hint='Write ["a", "b"].'
        )
    words = tuple(scopes)
    if not all(word and word.isascii() and word.isprintable() and not set(word) & set(' "\\')
               for word in words):  # fmt: skip
        raise ConfigurationError(f"{name}: a scope is one word without blanks and quotes.")
    return words


def _check_client(name: str, method: str | None, issuer: str, secret: str) -> None:
    register_secret(secret)
    if method not in (None, "basic", "post"):
        raise ConfigurationError(f"{name}: method must be 'basic' or 'post'.")
    if issuer and urlsplit(issuer).scheme not in ("http", "https"):
        raise ConfigurationError(f"{name}: issuer must be the authorization server's https URL.")

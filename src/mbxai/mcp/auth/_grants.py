"""The door to the login part of the protocol's package: its providers, made for one renewal each.

A provider is made anew for every renewal and filled from what is kept, so that it belongs to one
loop and one task. It never sends a request of the MCP server's itself: it is given the server's
refusal, and stopped when it would repeat the refused request. So no lock of its own is held while
the server works on a call.
"""

import inspect
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import anyio.to_thread

from mbxai.errors import MBXAIError, MCPAuthError
from mbxai.mcp.auth._kept_tokens import KeptTokens
from mbxai.mcp.auth._methods import (
    ClientCredentials,
    EnterpriseAuth,
    OAuth,
    PrivateKeyJWT,
    TokenMethod,
)
from mbxai.mcp.auth._package_providers import (
    credentials_class,
    interactive_class,
    private_key_class,
    secret_way,
)
from mbxai.mcp.auth._person import Person

if TYPE_CHECKING:  # slow to load
    import httpx2
    from mcp.client.auth.oauth2 import OAuthClientProvider
    from mcp.shared._httpx_utils import RedirectAwareAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """How a server refused a request.

    Attributes:
        status: 401, or 403 where a token exists but does not reach far enough.
        scope: What the server says is needed; empty if nothing.
        resource_metadata: Where it says more of itself; empty if nowhere.
    """

    status: int
    scope: str = ""
    resource_metadata: str = ""

    @classmethod
    def read(cls, response: "httpx2.Response") -> "Challenge | None":
        """Read a refusal.

        Args:
            response: Any answer of the server.

        Returns:
            The refusal; None if the answer is something else.
        """
        from mcp.client.auth import utils

        status = response.status_code
        error = utils.extract_field_from_www_auth(response, "error") if status == 403 else None
        if status != 401 and error != "insufficient_scope":
            return None
        return cls(
            status=status,
            scope=utils.extract_scope_from_www_auth(response) or "",
            resource_metadata=utils.extract_resource_metadata_from_www_auth(response) or "",
        )

    def response(self, request: "httpx2.Request", scopes: tuple[str, ...]) -> "httpx2.Response":
        """Write the refusal anew, as the answer to another request.

        Args:
            request: That other request.
            scopes: What the caller wants besides what the server says is needed.

        Returns:
            An answer without a body.
        """
        import httpx2

        fields: list[str] = []
        if self.status == 403:
            fields.append('error="insufficient_scope"')
        scope = " ".join(dict.fromkeys([*scopes, *self.scope.split()]))
        if scope:
            fields.append(f'scope="{scope}"')
        if self.resource_metadata:
            fields.append(f'resource_metadata="{self.resource_metadata}"')
        header = f"Bearer {', '.join(fields)}"
        return httpx2.Response(
            self.status, headers={"WWW-Authenticate": header}, content=b"", request=request
        )


def is_registered_ahead(method: TokenMethod) -> bool:
    """Tell whether the client's id was given, so that no registration is ours to forget.

    Args:
        method: The settings.
    """
    return not isinstance(method, OAuth) or bool(method.client_id)


def make_provider(
    method: TokenMethod,
    kept: KeptTokens,
    *,
    server_url: str,
    person: Person | None = None,
    redirect_uri: str = "http://127.0.0.1/callback",
) -> "RedirectAwareAuth":
    """Make a provider for one renewal.

    Args:
        method: The settings.
        kept: What is there; what is won is put in and saved.
        server_url: Address of the MCP server.
        person: Who signs in; None where nobody is asked.
        redirect_uri: Where the person's browser comes back to.

    Returns:
        A provider that is used once.
    """
    if isinstance(method, EnterpriseAuth):
        return _enterprise(method, kept, server_url)
    with warnings.catch_warnings():
        # Without an issuer the package warns at each construction; our docstrings say it once.
        warnings.simplefilter("ignore")
        provider = _interactive_or_not(method, kept, server_url, person, redirect_uri)
    _fill(provider, kept)
    return provider


def _interactive_or_not(
    method: OAuth | ClientCredentials | PrivateKeyJWT,
    kept: KeptTokens,
    server_url: str,
    person: Person | None,
    redirect_uri: str,
) -> "OAuthClientProvider":
    scope = " ".join(method.scopes) or None
    if isinstance(method, OAuth):
        return interactive_class()(method, kept, server_url, person, redirect_uri)
    if isinstance(method, ClientCredentials):
        return credentials_class()(
            server_url=server_url,
            storage=kept,
            client_id=method.client_id,
            client_secret=method.client_secret,
            token_endpoint_auth_method=secret_way(method.method),
            scope=scope,
            issuer=method.issuer or None,
            chosen=method.method is not None,
        )
    if method.assertion is not None:
        assertion = _foreign(method.assertion, kept.key.server)
    else:
        assertion = _signing(method, kept.key.server)
    return private_key_class()(
        server_url=server_url,
        storage=kept,
        client_id=method.client_id,
        assertion_provider=assertion,
        scope=scope,
        issuer=method.issuer or None,
    )


def _enterprise(method: EnterpriseAuth, kept: KeptTokens, server_url: str) -> "RedirectAwareAuth":
    from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider

    return IdentityAssertionOAuthProvider(
        server_url=server_url,
        storage=kept,
        client_id=method.client_id,
        client_secret=method.client_secret,
        issuer=method.issuer,
        assertion_provider=_foreign(method.assertion, kept.key.server),
        scope=" ".join(method.scopes) or None,
        token_endpoint_auth_method=secret_way(method.method),
    )


def _signing(method: PrivateKeyJWT, server: str) -> Callable[[str], Awaitable[str]]:
    from mcp.client.auth.extensions.client_credentials import SignedJWTParameters

    sign = SignedJWTParameters(
        issuer=method.client_id,
        subject=method.client_id,
        signing_key=method.key,
        signing_algorithm=method.algorithm,
    ).create_assertion_provider()

    async def signed(audience: str) -> str:
        try:
            return await sign(audience)
        except Exception as error:  # noqa: BLE001
            # Several libraries speak here. Without the cause: it may quote the key.
            raise MCPAuthError(
                f"MCP server {server!r}: the private key cannot sign as {method.algorithm}"
                f" ({type(error).__name__}).",
                hint="Give the whole PEM text and the algorithm that fits it.",
                server=server,
            ) from None

    return signed


def _foreign(
    function: Callable[..., str | Awaitable[str]], server: str
) -> Callable[..., Awaitable[str]]:
    async def ask(*arguments: str) -> str:
        return await ask_foreign(function, *arguments, server=server, name="assertion")

    return ask


async def ask_foreign(
    function: Callable[..., str | Awaitable[str]], *arguments: str, server: str, name: str
) -> str:
    """Ask a user's function for a token, in a worker thread unless it is a coroutine function.

    Args:
        function: The function.
        arguments: What it is given.
        server: Name of the MCP server, for errors.
        name: What the function is called, for errors.

    Returns:
        The token.

    Raises:
        MCPAuthError: It failed, or returned no token.
    """
    try:
        if inspect.iscoroutinefunction(function):
            result: object = await function(*arguments)
        else:
            result = await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
            if inspect.isawaitable(result):
                result = await result
    except MBXAIError:
        raise
    except Exception as error:  # the function is somebody else's
        raise MCPAuthError(
            f"MCP server {server!r}: the function given as {name} failed ({type(error).__name__}).",
            server=server,
        ) from error
    usable = isinstance(result, str) and result.strip() == result and result.isascii()
    if not usable or not result or not cast("str", result).isprintable():
        raise MCPAuthError(
            f"MCP server {server!r}: the function given as {name} returned no usable token.",
            server=server,
        )
    return cast("str", result)


def _fill(provider: "OAuthClientProvider", kept: KeptTokens) -> None:
    """Tell a new provider what was found out before; it loads the tokens by itself."""
    from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata

    context = provider.context
    # What is kept was valid once; a record from another version may no longer be.
    with suppress(ValueError):
        if kept.metadata:
            context.oauth_metadata = OAuthMetadata.model_validate(kept.metadata)
        if kept.resource:
            resource = ProtectedResourceMetadata.model_validate(kept.resource)
            context.protected_resource_metadata = resource
            context.auth_server_url = str(resource.authorization_servers[0])
    if kept.scope:
        context.client_metadata.scope = kept.scope

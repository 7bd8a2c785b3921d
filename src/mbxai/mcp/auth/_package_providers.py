"""Our shape of the package's providers: made at first use, as loading the package is slow.

They keep what they find out together with the tokens, stay with the configured issuer, and show a
secret in the way that the authorization server says it can read.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from mbxai.mcp.auth._kept_tokens import KeptTokens
from mbxai.mcp.auth._methods import OAuth
from mbxai.mcp.auth._person import Person

if TYPE_CHECKING:  # slow to load
    from mcp.client.auth import AuthorizationCodeResult
    from mcp.client.auth.oauth2 import OAuthClientProvider, OAuthContext
    from mcp.shared._httpx_utils import RedirectAwareAuth
    from mcp.shared.auth import OAuthClientInformationFull


def secret_way(
    method: str | None,
) -> Literal["client_secret_basic", "client_secret_post"]:
    """Name a way to show a secret as the protocol does.

    Args:
        method: "basic" or "post"; None is "basic".
    """
    return "client_secret_post" if method == "post" else "client_secret_basic"


def note_findings(provider: "RedirectAwareAuth", kept: KeptTokens) -> None:
    """Keep what a provider found out, for renewals to come; `kept` is not saved.

    Args:
        provider: A provider that has been used.
        kept: Where it is put.
    """
    context: Any = getattr(provider, "context", None)
    if context is None:
        return

    def as_json(model: Any) -> dict[str, Any]:
        return {} if model is None else model.model_dump(mode="json", exclude_none=True)

    kept.metadata = as_json(context.oauth_metadata)
    kept.resource = as_json(context.protected_resource_metadata)
    kept.scope = context.client_metadata.scope


@cache
def interactive_class() -> "Callable[..., OAuthClientProvider]":
    """Return the provider that asks a person; its client may have been registered ahead."""
    import httpx2
    from mcp.client.auth import OAuthClientProvider, OAuthFlowError
    from mcp.client.auth.utils import issuers_match

    class Interactive(OAuthClientProvider):
        def __init__(
            self,
            method: OAuth,
            kept: KeptTokens,
            server_url: str,
            person: Person | None,
            redirect_uri: str,
        ) -> None:
            super().__init__(
                server_url,
                _client_metadata(method, redirect_uri),
                kept,
                redirect_handler=person.remember if person else None,
                callback_handler=_answer_of(person) if person else None,
                client_metadata_url=method.client_metadata_url or None,
            )
            self._method = method
            self._kept = kept

        async def _initialize(self) -> None:
            await super()._initialize()
            if self._method.client_id:
                self.context.client_info = _given_client(self._method, self.context)

        def _select_authorization_server(self, advertised: list[str]) -> str:
            wanted = self._method.issuer
            return next((one for one in advertised if issuers_match(one, wanted)), advertised[0])

        def _expected_issuer(self) -> str:
            # Asked before anything is sent to the authorization server.
            issuer, wanted = super()._expected_issuer(), self._method.issuer
            if wanted and not issuers_match(issuer, wanted):
                raise OAuthFlowError(
                    f"The server leads to {issuer}, and not to the configured issuer {wanted}"
                )
            return issuer

        async def _perform_authorization(self) -> httpx2.Request:
            if self._method.client_id and self._method.method is None:
                _settle_way(self.context)
            note_findings(self, self._kept)
            return await super()._perform_authorization()

    return Interactive


@cache
def credentials_class() -> "Callable[..., OAuthClientProvider]":
    """Return the provider that shows an id and a secret; `chosen` says that the way is settled."""
    import httpx2
    from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider

    class Credentials(ClientCredentialsOAuthProvider):
        def __init__(self, *, chosen: bool, **options: Any) -> None:
            super().__init__(**options)
            self._chosen = chosen

        async def _perform_authorization(self) -> httpx2.Request:
            if not self._chosen:
                _settle_way(self.context)
            note_findings(self, cast("KeptTokens", self.context.storage))
            return await super()._perform_authorization()

    return Credentials


@cache
def private_key_class() -> "Callable[..., OAuthClientProvider]":
    """Return the provider that shows a signed token."""
    import httpx2
    from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider

    class PrivateKey(PrivateKeyJWTOAuthProvider):
        async def _perform_authorization(self) -> httpx2.Request:
            note_findings(self, cast("KeptTokens", self.context.storage))
            return await super()._perform_authorization()

    return PrivateKey


def _client_metadata(method: OAuth, redirect_uri: str) -> Any:
    from mcp.shared.auth import OAuthClientMetadata

    return OAuthClientMetadata.model_validate(
        {
            "client_name": method.client_name,
            "redirect_uris": [redirect_uri],
            "scope": " ".join(method.scopes) or None,
        }
    )


def _answer_of(person: Person) -> "Callable[[], Any]":
    async def answer() -> "AuthorizationCodeResult":
        from mcp.client.auth import AuthorizationCodeResult

        found = await person.answer()
        return AuthorizationCodeResult(
            code=found["code"], state=found.get("state"), iss=found.get("iss")
        )

    return answer


def _given_client(method: OAuth, context: "OAuthContext") -> "OAuthClientInformationFull":
    from mcp.shared.auth import OAuthClientInformationFull

    return OAuthClientInformationFull(
        client_id=method.client_id,
        client_secret=method.client_secret or None,
        redirect_uris=context.client_metadata.redirect_uris,
        token_endpoint_auth_method=secret_way(method.method) if method.client_secret else "none",
    )


def _settle_way(context: "OAuthContext") -> None:
    """Show the secret as the authorization server says it can read it; basic if it is silent."""
    metadata, client = context.oauth_metadata, context.client_info
    known = metadata.token_endpoint_auth_methods_supported if metadata else None
    if client is None or not client.client_secret or not known:
        return
    for way in ("client_secret_basic", "client_secret_post"):
        if way in known:
            client.token_endpoint_auth_method = way
            return

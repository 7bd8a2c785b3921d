"""Keys for people who let a program in (OAuth with PKCE)."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Literal, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.resources._arguments import (
    Check,
    checked,
    moment,
    number,
    split_arguments,
    text,
)
from mbxai.openrouter.resources._pkce import (
    PKCEPair,
    authorization_url,
    checked_callback,
    checked_label,
    checked_method,
    checked_verifier,
    create_pkce_pair,
)
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.openrouter.resources._secrets import KeyAnswer
from mbxai.wire import WireModel, WireResult

__all__ = [
    "AsyncAuth",
    "Auth",
    "AuthCode",
    "AuthCodeParams",
    "AuthCodeResponse",
    "ExchangedKeyResponse",
    "PKCEPair",
    "authorization_url",
    "create_pkce_pair",
]

_EXCHANGE_CHECKS: Final[Mapping[str, Check]] = {
    "code": text,
    "code_verifier": checked_verifier,
    "code_challenge_method": checked_method,
}
_CODE_CHECKS: Final[Mapping[str, Check]] = {
    "callback_url": checked_callback,
    "code_challenge": text,
    "code_challenge_method": checked_method,
    "expires_at": moment,
    "key_label": checked_label,
    "limit": number(0),
    "usage_limit_type": text,
    "workspace_id": text,
}


class AuthCodeParams(RequestOptions, total=False):
    """What a key may do that is made from a code.

    Attributes:
        code_challenge: Of `create_pkce_pair`.
        code_challenge_method: How the challenge was made.
        key_label: Name of the key, at most 100 characters; the app's name if not given.
        limit: USD that may be spent.
        usage_limit_type: When spending starts at 0 again; never if not given.
        expires_at: ISO 8601, or an aware `datetime`; None for never.
        workspace_id: Where the key belongs.
    """

    code_challenge: str
    code_challenge_method: Literal["S256", "plain"]
    key_label: str
    limit: float
    usage_limit_type: Literal["daily", "weekly", "monthly"]
    expires_at: str | dt.datetime | None
    workspace_id: str


class ExchangedKeyResponse(KeyAnswer):
    """The key of a person who let this program in.

    Attributes:
        user_id: Who it is; None if OpenRouter does not say.
    """

    user_id: str | None = None


class AuthCode(WireModel):
    """A code that can be exchanged for a key once, within 10 minutes.

    Attributes:
        id: The code.
        app_id: Of the app.
        created_at: ISO 8601.
    """

    id: str = Field(default="", repr=False)
    app_id: int | None = None
    created_at: str | None = None


class AuthCodeResponse(WireResult):
    """The answer to a new code.

    Attributes:
        data: The code.
    """

    data: AuthCode = Field(default_factory=AuthCode)


class AsyncAuth(AsyncResource):
    """Keys for people who let a program in: `client.auth`."""

    create_pkce_pair: ClassVar[Callable[[], PKCEPair]] = staticmethod(create_pkce_pair)
    authorization_url: ClassVar[Callable[..., str]] = staticmethod(authorization_url)

    async def exchange_code(
        self,
        code: str,
        *,
        code_verifier: str | None = None,
        code_challenge_method: Literal["S256", "plain"] = "S256",
        **options: Unpack[RequestOptions],
    ) -> ExchangedKeyResponse:
        """Exchange a code for the key of the person who allowed it; once, within 10 minutes.

        The call needs no key; this client's own is sent with it all the same.

        Args:
            code: What came with the callback, or what the person read from the screen.
            code_verifier: Of the pair whose challenge was in the address; None if none was.
            code_challenge_method: How the challenge was made.
            **options: The options of every call.

        Returns:
            The `key`, which no text, log or error shows.

        Raises:
            PermissionDeniedError: The code or the verifier is wrong, or the time is over.
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given: dict[str, object] = {"code": text("code", code)}
        if code_verifier is not None:
            given |= {
                "code_verifier": code_verifier,
                "code_challenge_method": code_challenge_method,
            }
        body = checked(given, _EXCHANGE_CHECKS)
        return await self._json(
            "POST", "auth/keys", ExchangedKeyResponse, body=body, options=options
        )

    async def create_code(
        self, callback_url: str, **params: Unpack[AuthCodeParams]
    ) -> AuthCodeResponse:
        """Make a code for a key of the account that this client's key belongs to.

        Args:
            callback_url: Where the code will be used: https, or http on this machine.
            **params: What the key may do; the options of every call besides.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given = {"callback_url": text("callback_url", callback_url), **params}
        body, options = split_arguments(given, _CODE_CHECKS)
        return await self._json(
            "POST", "auth/keys/code", AuthCodeResponse, body=body, options=options
        )


class Auth(Resource[AsyncAuth]):
    """Keys for people who let a program in: `client.auth`."""

    create_pkce_pair: ClassVar[Callable[[], PKCEPair]] = staticmethod(create_pkce_pair)
    authorization_url: ClassVar[Callable[..., str]] = staticmethod(authorization_url)

    def exchange_code(
        self,
        code: str,
        *,
        code_verifier: str | None = None,
        code_challenge_method: Literal["S256", "plain"] = "S256",
        **options: Unpack[RequestOptions],
    ) -> ExchangedKeyResponse:
        """Exchange a code for the key of the person who allowed it; once, within 10 minutes.

        The call needs no key; this client's own is sent with it all the same.

        Args:
            code: What came with the callback, or what the person read from the screen.
            code_verifier: Of the pair whose challenge was in the address; None if none was.
            code_challenge_method: How the challenge was made.
            **options: The options of every call.

        Returns:
            The `key`, which no text, log or error shows.

        Raises:
            PermissionDeniedError: The code or the verifier is wrong, or the time is over.
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.exchange_code,
            code,
            code_verifier=code_verifier,
            code_challenge_method=code_challenge_method,
            **options,
        )

    def create_code(self, callback_url: str, **params: Unpack[AuthCodeParams]) -> AuthCodeResponse:
        """Make a code for a key of the account that this client's key belongs to.

        Args:
            callback_url: Where the code will be used: https, or http on this machine.
            **params: What the key may do; the options of every call besides.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create_code, callback_url, **params)

"""What a chosen way of authentication becomes for the HTTP client."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from mbxai._redaction import register_secret
from mbxai.mcp.auth._addresses import origin_of
from mbxai.mcp.auth._grants import Challenge, ask_foreign
from mbxai.mcp.auth._kept_tokens import KeptTokens
from mbxai.mcp.auth._methods import AuthMethod, BearerToken, client_label
from mbxai.mcp.auth._renewal import Place, Renewal
from mbxai.mcp.auth._stores import TokenKey

if TYPE_CHECKING:  # slow to load
    import httpx2

_VERSION_HEADER: Final = "mcp-protocol-version"
_MAX_RENEWALS: Final = 2  # refreshing, then signing in


def make_auth(
    method: AuthMethod,
    *,
    server: str,
    url: str,
    waiting: Callable[[], AbstractContextManager[None]],
) -> "httpx2.Auth":
    """Make what puts our token into the requests to one server, and gets it.

    Args:
        method: The settings.
        server: The name under which the server was registered.
        url: Its address; requests to another origin get no token.
        waiting: Entered while a person is awaited, or somebody who awaits one.

    Returns:
        An object for one event loop. Requests raise `MCPAuthError` where no token can be had.
    """
    if isinstance(method, BearerToken):
        source: _TokenSource = _ForeignTokens(method, server)
    else:
        key = TokenKey(server=server, origin=origin_of(url), client=client_label(method))
        kept = KeptTokens(method.store, key)
        source = _OwnTokens(kept, Renewal(method, kept, waiting=waiting))
    return _auth_class()(source, url)


class _TokenSource(Protocol):
    """Where the token of one server comes from."""

    async def current(self, place: Place) -> str:
        """Return the token of now; empty if there is none."""
        ...

    async def renewed(self, refused: str, challenge: Challenge, place: Place, turn: int) -> str:
        """Return a token in place of a refused one; the same one if there is no other."""
        ...


class _OwnTokens:
    """Tokens that we get and keep."""

    def __init__(self, kept: KeptTokens, renewal: Renewal) -> None:
        self._kept = kept
        self._renewal = renewal
        self._is_loaded = False

    async def current(self, place: Place) -> str:
        if not self._is_loaded:
            await self._kept.load()
            self._is_loaded = True
        if self._kept.is_expired and self._kept.can_refresh:
            await self._renewal.refresh(place)
        return self._kept.access_token

    async def renewed(self, refused: str, challenge: Challenge, place: Place, turn: int) -> str:
        await self._renewal.renew(refused, challenge, place, ask=turn > 0)
        return self._kept.access_token


class _ForeignTokens:
    """Tokens that a user's function returns."""

    def __init__(self, method: BearerToken, server: str) -> None:
        self._method = method
        self._server = server
        self._former = ""

    async def current(self, place: Place) -> str:
        del place
        token = await ask_foreign(self._method.source, server=self._server, name="token")
        if token != self._former:
            register_secret(token)
            self._former = token
        return token

    async def renewed(self, refused: str, challenge: Challenge, place: Place, turn: int) -> str:
        del challenge
        return refused if turn else await self.current(place)


@cache
def _auth_class() -> "Callable[[_TokenSource, str], httpx2.Auth]":
    import httpx2

    class ServerAuth(httpx2.Auth):
        """Puts a token into the requests to one origin; no lock is held while one is answered."""

        def __init__(self, source: _TokenSource, url: str) -> None:
            self._source = source
            self._url = url
            self._origin = origin_of(url)

        async def async_auth_flow(
            self, request: httpx2.Request
        ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
            """Send a request, and again with another token where the server wants one."""
            if origin_of(str(request.url)) != self._origin:
                yield request
                return
            place = _place(self._url, request)
            token = await self._source.current(place)
            for turn in range(_MAX_RENEWALS + 1):
                if token:
                    request.headers["Authorization"] = f"Bearer {token}"
                else:
                    request.headers.pop("Authorization", None)
                response = yield request
                if origin_of(str(response.request.url)) != self._origin:
                    return  # somewhere else, after a redirect: none of our business
                challenge = Challenge.read(response)
                if challenge is None or turn == _MAX_RENEWALS:
                    return
                renewed = await self._source.renewed(token, challenge, place, turn)
                if renewed == token:
                    return
                token = renewed

    return ServerAuth


def _place(url: str, request: "httpx2.Request") -> Place:
    version = request.headers.get(_VERSION_HEADER, "")
    if urlsplit(url).path.strip("/"):
        return Place(url=url, version=version)
    # Only the host is known: several paths are tried, and the one that answers counts.
    tried = request.url.copy_with(query=None, fragment=None)
    return Place(url=str(tried), version=version)

"""Requests to OpenRouter: addresses, headers, the key, redirects, proxies.

Given a `transport=`, httpx no longer reads the proxy variables, so this file does.
"""

import asyncio
from base64 import b64encode
from typing import TYPE_CHECKING, Final, cast
from urllib.request import getproxies, proxy_bypass

import httpx
from pydantic import SecretStr

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._answer import Answer
from mbxai.openrouter._connection_use import ConnectionUse, connection_use
from mbxai.openrouter._http_answers import ClientAnswer, PooledAnswer
from mbxai.openrouter._http_client import HTTPClient
from mbxai.openrouter._network import foreign_errors, shown_cause, transport_error
from mbxai.openrouter._pools import Pools
from mbxai.openrouter._request import PreparedCall
from mbxai.openrouter._transport_error import FaultKind, TransportError, closed_client

if TYPE_CHECKING:
    import ssl

_MAX_REDIRECTS: Final = 3
_MAX_KNOWN_URLS: Final = 100
# A redirected POST would arrive as a GET, unless the status says that it must not.
_REDIRECTS: Final = (frozenset({307, 308}), frozenset({301, 302, 307, 308}))
# Reading and waiting for a free connection end with the budget of the call, not on their own.
_TIMEOUT_PARTS: Final = {"connect": 5.0, "read": None, "write": None, "pool": None}
_HTTPX_DEFAULT_SECONDS: Final = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


class Transport:
    """Sends requests of one client; keeps one connection pool for each event loop that uses it."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        http_client: HTTPClient | None = None,
        max_connections: int = 1000,
        keepalive_expiry: float = 30.0,
        ssl_context: "ssl.SSLContext | None" = None,
    ) -> None:
        """Keep the settings; nothing is opened before the first request.

        Args:
            base_url: Checked address with a slash at the end.
            token: Key; sent to the origin of `base_url` and to no other.
            http_client: Used as it is and never closed here; None makes one.
            max_connections: Most connections of one event loop.
            keepalive_expiry: Seconds that an unused connection is kept.
            ssl_context: Certificates to trust; None takes those of httpx.
        """
        self._base_url = httpx.URL(base_url)
        self._token = token
        # The two families have the same methods; httpx is the one that is named here.
        self._injected = cast("httpx.AsyncClient | None", http_client)
        self._urls: dict[str, httpx.URL] = {}
        self._pools = Pools(
            is_tls=self._base_url.scheme == "https",
            proxy=None if http_client is not None else proxy_for(self._base_url),
            limits=httpx.Limits(max_connections=max_connections, keepalive_expiry=keepalive_expiry),
            ssl_context=ssl_context,
        )

    async def send(self, call: PreparedCall) -> Answer:
        """Send a request and return the answer as soon as its head is there.

        A connection that was idle may be closed by the server at the moment at which it is used
        again. Such a request is sent once more on a new connection, as browsers do.

        Args:
            call: What to send.

        Raises:
            TransportError: No answer came.
        """
        url = self._url_of(call)
        for _ in range(_MAX_REDIRECTS + 1):
            use = ConnectionUse()
            try:
                answer = await self._send_once(call, url, use)
            except TransportError as fault:
                if fault.kind is not FaultKind.DROPPED or not use.was_reused or call.is_effect:
                    raise
                answer = await self._send_once(call, url, ConnectionUse(is_new=True))
            if answer.status not in _REDIRECTS[call.method == "GET"]:
                return answer
            await answer.aclose()
            url = self._redirected(url, answer.location)
        raise TransportError(FaultKind.REDIRECT, "The server redirects in a circle.")

    async def aclose(self) -> None:
        """Close the pools of all event loops; an injected client stays open."""
        await self._pools.aclose()

    async def _send_once(self, call: PreparedCall, url: httpx.URL, use: ConnectionUse) -> Answer:
        client = self._injected
        if client is not None:
            return await _send_with(client, call, url, self._token)
        pool = await self._pools.of_this_loop()
        if pool.is_closed:
            raise closed_client()
        before = connection_use.set(use)
        try:
            body = await pool.engine.send(
                call.method,
                str(url),
                headers=call.headers,
                body=call.body,
                token=self._token,
                connect_seconds=_TIMEOUT_PARTS["connect"],
            )
        except foreign_errors() as error:
            # Without the frames of the engine, whose variables hold the key.
            cause = shown_cause(error.with_traceback(None))
            raise transport_error(error, in_body=False) from cause
        except asyncio.CancelledError as error:
            raise error.with_traceback(None)  # noqa: B904  # the same one, without those frames
        finally:
            connection_use.reset(before)
        return PooledAnswer(body, pool, self._pools)

    def _url_of(self, call: PreparedCall) -> httpx.URL:
        known = self._urls.get(call.path)
        if known is not None and not call.query:
            return known
        try:
            url = _without_login(self._base_url.join(_relative(call.path)))
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise OpenRouterConfigurationError("path is no part of an address.") from error
        if _origin(url) != _origin(self._base_url):  # the key travels with every request
            raise OpenRouterConfigurationError("path leads to another server.")
        if call.query:
            try:
                return url.copy_merge_params(call.query)
            except (UnicodeError, ValueError) as error:
                raise OpenRouterConfigurationError("query cannot be sent.") from error
        if len(self._urls) < _MAX_KNOWN_URLS:
            self._urls[call.path] = url
        return url

    def _redirected(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            target = _without_login(url.join(location))
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise TransportError(FaultKind.REDIRECT, "A redirect to no address.") from error
        if _origin(target) != _origin(self._base_url):
            # The body holds the conversation and the headers hold the key.
            raise TransportError(
                FaultKind.REDIRECT, f"A redirect to another server, {target.host}, was refused."
            )
        return target


def _relative(path: object) -> str:
    """A path below the base address, however it was written; `/api/` begins one beside it."""
    if not isinstance(path, str) or not path.strip("/") or ".." in path.split("/"):
        raise OpenRouterConfigurationError("path must be text such as 'models', without '..'.")
    return path if path.startswith(("/api/", "//")) else path.removeprefix("/")


async def _send_with(
    client: httpx.AsyncClient, call: PreparedCall, url: httpx.URL, token: SecretStr
) -> Answer:
    if client.is_closed:
        raise OpenRouterConfigurationError("The HTTP client is closed.")
    # The five seconds of httpx are no one's wish here; any other limit is the caller's own.
    unset = client.timeout.as_dict() == _HTTPX_DEFAULT_SECONDS
    request = client.build_request(
        call.method,
        str(url),
        content=call.body,
        headers=list(call.headers.items()),
        extensions={"timeout": _TIMEOUT_PARTS} if unset else {},
    )
    request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    try:
        response = await client.send(request, auth=None, stream=True, follow_redirects=False)
    except foreign_errors() as error:
        raise transport_error(error, in_body=False) from shown_cause(error)
    return ClientAnswer(response)


def _without_login(url: httpx.URL) -> httpx.URL:
    """The address without a name and a password, which HTTP clients would send for the key."""
    return url.copy_with(username=None, password=None) if url.userinfo else url


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def proxy_for(base_url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy that the environment names for an address.

    Raises:
        OpenRouterConfigurationError: It cannot be used.
    """
    # Plain http is for loopback only, and through a proxy the key would leave the machine.
    if base_url.scheme != "https" or proxy_bypass(base_url.netloc.decode("ascii")):
        return None
    proxies = getproxies()
    address = proxies.get("https") or proxies.get("all")
    if not address:
        return None
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise OpenRouterConfigurationError(
            "HTTPS_PROXY or ALL_PROXY names a proxy that cannot be used.",
            hint="Use an http or https proxy, or pass http_client= with your own.",
        )
    if not url.userinfo:
        return httpx.Proxy(url)
    # As a header, since the engine's own way of passing a password on is deprecated.
    login = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return httpx.Proxy(_without_login(url), headers={"Proxy-Authorization": f"Basic {login}"})

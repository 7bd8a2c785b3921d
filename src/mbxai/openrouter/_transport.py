"""Bytes to OpenRouter and back: with `_pools`, what knows httpx and its engine.

Stock httpx loses pool slots when asyncio cancels a request; the engine of httpx-aiohttp does not.
Given a `transport=`, httpx no longer reads the proxy variables, so this file does.
"""

import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from enum import Enum, auto
from typing import Final, TypeAlias, cast
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
import httpx
from pydantic import SecretStr

from mbxai._redaction import redact
from mbxai._version import __version__
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._pools import FOREIGN, Pool, Pools

HTTPClient: TypeAlias = httpx.AsyncClient
"""What `http_client=` takes."""

MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024
_MAX_REDIRECTS: Final = 3
_CONNECT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
# Reading and waiting for a free connection end with the budget of the call, not on their own.
_TIMEOUT: Final = httpx.Timeout(None, connect=_CONNECT_SECONDS)
_TIMEOUT_PARTS: Final = _TIMEOUT.as_dict()
_HTTPX_DEFAULT_TIMEOUT: Final = httpx.Timeout(5.0)
_BASE_HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": f"mbxai/{__version__}",
}


class FaultKind(Enum):
    """What went wrong on the way, as far as it matters for sending again."""

    CONNECT = auto()  # nothing was sent
    CONNECT_TIMEOUT = auto()  # nothing was sent
    TLS = auto()  # will fail again
    PROXY = auto()  # will fail again
    DROPPED = auto()  # the connection ended before the first byte of an answer
    READ_TIMEOUT = auto()  # the request may have run
    BROKEN = auto()  # the connection ended inside the answer
    GARBLED = auto()  # what came is not HTTP, or not in the encoding it names
    TOO_LARGE = auto()
    REDIRECT = auto()  # points to another place


class TransportError(Exception):
    """A failure below the API; clients translate it and keep it as the cause."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(redact(reason))
        self.kind = kind


class Answer:
    """A response whose head has arrived. Reading it to the end or `aclose` frees the connection."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces = _pieces_of(response)
        self._lenders: Pools | None = None
        self._give_back: Callable[[], object] | None = None
        self.status: int = response.status_code
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers.raw
        }

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def borrow(self, pool: Pool, lenders: Pools) -> None:
        """Have the pool close the response if this answer is lost.

        Args:
            pool: Where the connection comes from.
            lenders: Kept alive, since a collected client closes its pools and a stream may outlive
                its client.
        """
        self._lenders = lenders
        self._give_back = pool.lend(self._response, self)

    async def next_piece(self) -> bytes | None:
        """Return the next bytes of the body, or None at its end.

        Raises:
            TransportError: The connection broke.
        """
        try:
            return await anext(self._pieces, None)
        except FOREIGN as error:
            raise _fault(error, in_body=True) from _cause(error)

    async def read(self, *, max_bytes: int = MAX_RESPONSE_BYTES) -> bytes:
        """Return the whole body and free the connection.

        Args:
            max_bytes: Most bytes after decompression.

        Raises:
            TransportError: The connection broke, or the body is larger than allowed.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            while (piece := await self.next_piece()) is not None:
                size += len(piece)
                if size > max_bytes:
                    raise TransportError(
                        FaultKind.TOO_LARGE, f"The answer is larger than {max_bytes} bytes."
                    )
                pieces.append(piece)
        finally:
            await self.aclose()
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""
        # Shielded, so that a cancelled caller still gives the connection back.
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            for close in (self._pieces.aclose, self._response.aclose):
                # Closing a broken connection has nothing to tell, and a generator that another
                # task is reading (a RuntimeError) ends when the response does.
                with contextlib.suppress(*FOREIGN, RuntimeError):
                    await close()
            if self._give_back is not None:
                self._give_back()
            self._lenders = None


async def _pieces_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Give the body, and the connection back.

    The event loop closes a generator that is collected half read, so a stream that somebody
    drops does not keep its connection.
    """
    try:
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


class Transport:
    """Sends requests of one client; keeps one connection pool for each event loop that uses it."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        headers: Mapping[str, str],
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """Keep the settings; nothing is opened before the first request.

        Args:
            base_url: Checked address with a slash at the end.
            token: Key; sent to the origin of `base_url` and to no other.
            headers: Headers of every request.
            http_client: Used as it is and never closed here; None makes one.
        """
        self._base_url = httpx.URL(base_url)
        self._auth = _KeyAuth(token, self._base_url)
        self._headers = httpx.Headers(encoded_headers({**_BASE_HEADERS, **headers}))
        self._injected = http_client
        self._urls: dict[str, httpx.URL] = {}
        self._pools = Pools(
            is_tls=self._base_url.scheme == "https", proxy=_proxy_for(self._base_url)
        )

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return the answer as soon as its head is there.

        Args:
            path: Relative to the base address, for example `chat/completions`.
            body: JSON, encoded.
            headers: Headers of this request; they win over the client's.

        Raises:
            TransportError: No answer came.
        """
        pool = None if self._injected else await self._pools.of_this_loop()
        client = self._injected or cast("Pool", pool).client
        if client.is_closed:
            raise OpenRouterConfigurationError("The HTTP client is closed.")
        merged = self._headers
        if headers:
            merged = httpx.Headers(merged)
            merged.update(encoded_headers(headers))
        url = self._urls.get(path) or self._urls.setdefault(path, self._base_url.join(path))
        for _ in range(_MAX_REDIRECTS + 1):
            request = self._request(url, body, merged)
            try:
                response = await client.send(
                    request, auth=self._auth, stream=True, follow_redirects=False
                )
            except FOREIGN as error:
                raise _fault(error, in_body=False) from _cause(error)
            answer = Answer(response)
            if pool is not None:
                answer.borrow(pool, self._pools)
            if response.status_code not in {307, 308}:
                return answer
            await answer.aclose()
            url = self._redirected(url, response.headers.get("location", ""))
        raise TransportError(FaultKind.REDIRECT, "The server redirects in a circle.")

    async def aclose(self) -> None:
        """Close the pools of all event loops; an injected client stays open."""
        await self._pools.aclose()

    def _request(self, url: httpx.URL, body: bytes, headers: httpx.Headers) -> httpx.Request:
        client = self._injected
        if client is None:
            # Built without the client, which would merge the address and the headers once more.
            return httpx.Request(
                "POST", url, headers=headers, content=body, extensions={"timeout": _TIMEOUT_PARTS}
            )
        unset = client.timeout == _HTTPX_DEFAULT_TIMEOUT  # five seconds are no one's wish here
        timeout = _TIMEOUT if unset else client.timeout
        return client.build_request("POST", url, content=body, headers=headers, timeout=timeout)

    def _redirected(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            target = url.join(location)
        except httpx.InvalidURL as error:
            raise TransportError(FaultKind.REDIRECT, "A redirect to no address.") from error
        if _origin(target) != _origin(self._base_url):
            # The body holds the conversation and the headers hold the key.
            raise TransportError(
                FaultKind.REDIRECT, f"A redirect to another server, {target.host}, was refused."
            )
        return target


def encoded_headers(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as bytes, so that a title may hold any letter.

    Raises:
        OpenRouterConfigurationError: A name or a value cannot be sent.
    """
    encoded: dict[bytes, bytes] = {}
    for name, given in cast("Mapping[object, object]", headers).items():
        if (
            not isinstance(name, str)
            or not name
            or not name.isascii()
            or not name.replace("-", "").replace("_", "").isalnum()
        ):
            raise OpenRouterConfigurationError(f"{name!r} is no name of a header.")
        if not isinstance(given, str) or not given.isprintable():
            raise OpenRouterConfigurationError(
                f"The header {name!r} has a value that cannot be sent.",
                hint="A value is one line of text.",
            )
        encoded[name.encode("ascii")] = given.encode("utf-8")
    return encoded


class _KeyAuth(httpx.Auth):
    """Adds the key at the last moment, and for its own origin only."""

    def __init__(self, token: SecretStr, base_url: httpx.URL) -> None:
        self._token = token
        self._origin = _origin(base_url)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def _proxy_for(base_url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names for this address."""
    # Plain http is for loopback only, and through a proxy the key would leave the machine.
    if base_url.scheme != "https" or proxy_bypass(base_url.host):
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
    bare = url.copy_with(username=None, password=None)
    return httpx.Proxy(bare, headers={"Proxy-Authorization": f"Basic {login}"})


# The first line that fits decides. The engine's own mapping calls a refused and a dropped
# connection a connect timeout, so what it mapped is looked at before its name.
_KINDS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], FaultKind], ...]] = (
    ((ssl.SSLError, aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch), FaultKind.TLS),
    ((aiohttp.ClientHttpProxyError, httpx.ProxyError), FaultKind.PROXY),
    ((aiohttp.ConnectionTimeoutError, httpx.PoolTimeout), FaultKind.CONNECT_TIMEOUT),
    (aiohttp.ServerTimeoutError, FaultKind.READ_TIMEOUT),
    ((aiohttp.ClientConnectorError, httpx.ConnectError), FaultKind.CONNECT),
    ((aiohttp.ClientResponseError, httpx.DecodingError), FaultKind.GARBLED),
    (aiohttp.ClientError, FaultKind.DROPPED),
    (httpx.ConnectTimeout, FaultKind.CONNECT_TIMEOUT),
    ((httpx.TimeoutException, TimeoutError), FaultKind.READ_TIMEOUT),
    (httpx.UnsupportedProtocol, FaultKind.PROXY),
    (httpx.InvalidURL, FaultKind.REDIRECT),
)


def _fault(error: Exception, *, in_body: bool) -> TransportError:
    """Say what a foreign exception means."""
    cause = error.__cause__
    origin = cause if isinstance(cause, aiohttp.ClientError) else error
    if _has_tls_cause(error):
        kind = FaultKind.TLS
    else:
        kind = next(
            (kind for types, kind in _KINDS if isinstance(origin, types)), FaultKind.DROPPED
        )
    if in_body and kind in {FaultKind.DROPPED, FaultKind.TLS, FaultKind.CONNECT}:
        kind = FaultKind.BROKEN
    return TransportError(kind, str(origin) or type(origin).__name__)


def _cause(error: Exception) -> Exception | None:
    """The exception to show as the cause; None where it quotes what the server sent."""
    quotes = isinstance(error, aiohttp.ClientResponseError | httpx.RemoteProtocolError)
    return None if quotes else error


def _has_tls_cause(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__
    return False

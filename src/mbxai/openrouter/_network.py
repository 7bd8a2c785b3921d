"""What goes wrong on the way, whichever library says so."""

import ssl
import sys
from enum import Enum, auto
from typing import Any, Final, cast

import aiohttp
import httpx

from mbxai._redaction import redact

FOREIGN: Final = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,
)
"""What the engine and httpx raise."""


def foreign_errors() -> tuple[type[Exception], ...]:
    """Return what an HTTP client may raise, httpx2 included where the program uses it."""
    other: Any = sys.modules.get("httpx2")  # Any: a module that need not be there
    if other is None:
        return FOREIGN
    return (*FOREIGN, other.HTTPError, other.StreamError, other.InvalidURL)


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


# The first line that fits decides. httpx-aiohttp, which a caller's own client may stand on, calls
# a refused and a dropped connection a connect timeout, so what it mapped is looked at first.
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


def transport_error(error: Exception, *, in_body: bool) -> TransportError:
    """Say what a foreign exception means."""
    cause = error.__cause__
    origin = cause if isinstance(cause, aiohttp.ClientError) else error
    if _has_tls_cause(error):
        kind = FaultKind.TLS
    else:
        meant = _as_httpx(type(origin))
        kind = next((kind for types, kind in _KINDS if issubclass(meant, types)), FaultKind.DROPPED)
    if in_body and kind in {FaultKind.DROPPED, FaultKind.TLS, FaultKind.CONNECT}:
        kind = FaultKind.BROKEN
    return TransportError(kind, str(origin) or type(origin).__name__)


def shown_cause(error: Exception) -> Exception | None:
    """The exception to show as the cause; None where it quotes what the server sent."""
    quotes = isinstance(error, aiohttp.ClientResponseError | httpx.RemoteProtocolError)
    return None if quotes else error


def _as_httpx(kind: type[Exception]) -> type[Exception]:
    """The class of httpx that has the name of one of httpx2, whose classes are the same ones."""
    if kind.__module__.partition(".")[0] != "httpx2":
        return kind
    return cast("type[Exception]", getattr(httpx, kind.__name__, httpx.HTTPError))


def _has_tls_cause(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__
    return False

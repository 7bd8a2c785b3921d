"""What goes wrong on the way, whichever library says so."""

import functools
import ssl
import sys
from typing import Any, cast

import httpx

from mbxai.openrouter._transport_error import FaultKind, TransportError


def foreign_errors() -> tuple[type[Exception], ...]:
    """Return what the engine and the HTTP clients that the program uses may raise."""
    # Any: modules that need not be there. The engine takes a tenth of a second to load.
    engine: Any = sys.modules.get("aiohttp")
    other: Any = sys.modules.get("httpx2")
    errors: tuple[type[Exception], ...] = (
        httpx.HTTPError,
        httpx.StreamError,
        httpx.InvalidURL,
        OSError,
    )
    if engine is not None:
        errors = (*errors, engine.ClientError)
    if other is not None:
        errors = (*errors, other.HTTPError, other.StreamError, other.InvalidURL)
    return errors


@functools.cache
def _kinds() -> "tuple[tuple[tuple[type[Exception], ...], FaultKind], ...]":
    """Classes of exceptions and what they mean; the first line that fits decides.

    httpx-aiohttp, which a caller's own client may stand on, calls a refused and a dropped
    connection a connect timeout, so what it mapped is looked at first.
    """
    import aiohttp  # noqa: PLC0415  # slow to load; whoever raised one of its errors has done so

    return (
        (
            (ssl.SSLError, aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch),
            FaultKind.TLS,
        ),
        ((aiohttp.ClientHttpProxyError, httpx.ProxyError), FaultKind.PROXY),
        ((aiohttp.ConnectionTimeoutError, httpx.PoolTimeout), FaultKind.CONNECT_TIMEOUT),
        ((aiohttp.ServerTimeoutError,), FaultKind.READ_TIMEOUT),
        ((aiohttp.ClientConnectorError, httpx.ConnectError), FaultKind.CONNECT),
        ((aiohttp.ClientResponseError, httpx.DecodingError), FaultKind.GARBLED),
        ((aiohttp.ClientError,), FaultKind.DROPPED),
        ((httpx.ConnectTimeout,), FaultKind.CONNECT_TIMEOUT),
        ((httpx.TimeoutException, TimeoutError), FaultKind.READ_TIMEOUT),
        ((httpx.UnsupportedProtocol,), FaultKind.PROXY),
        ((httpx.InvalidURL,), FaultKind.REDIRECT),
    )


def transport_error(error: Exception, *, in_body: bool) -> TransportError:
    """Say what a foreign exception means."""
    cause = error.__cause__
    origin = error
    is_mapped = _package_of(type(error)) != "aiohttp"
    if is_mapped and isinstance(cause, Exception) and _package_of(type(cause)) == "aiohttp":
        origin = cause
    if _has_tls_cause(error):
        kind = FaultKind.TLS
    else:
        meant = _as_httpx(type(origin))
        kind = next(
            (kind for types, kind in _kinds() if issubclass(meant, types)), FaultKind.DROPPED
        )
    if in_body and kind in {FaultKind.DROPPED, FaultKind.TLS, FaultKind.CONNECT}:
        kind = FaultKind.BROKEN
    reason = str(origin) or type(origin).__name__
    if kind is FaultKind.GARBLED:  # what follows the first line quotes what the server sent
        reason = str(getattr(origin, "message", reason)).partition("\n")[0].rstrip(":")
    return TransportError(kind, reason)


def shown_cause(error: Exception) -> Exception | None:
    """The exception to show as the cause; None where it quotes what the server sent."""
    quoting: tuple[type[Exception], ...] = (httpx.RemoteProtocolError,)
    if (engine := cast("Any", sys.modules.get("aiohttp"))) is not None:
        quoting = (*quoting, engine.ClientResponseError)
    return None if issubclass(_as_httpx(type(error)), quoting) else error


def _as_httpx(kind: type[Exception]) -> type[Exception]:
    """The class of httpx that has the name of one of httpx2, whose classes are the same ones."""
    if _package_of(kind) != "httpx2":
        return kind
    return cast("type[Exception]", getattr(httpx, kind.__name__, httpx.HTTPError))


def _package_of(kind: type[object]) -> str:
    return kind.__module__.partition(".")[0]


def _has_tls_cause(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__  # httpcore leaves it in the context
    return False

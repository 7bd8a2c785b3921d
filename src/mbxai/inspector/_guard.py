"""What stands before a service on a person's own machine: only that person's browser gets through.

Any page that the person visits may send requests to loopback, and a name that somebody else owns
may lead there (DNS rebinding). So a request must name this machine as its host, must not come from
a foreign page, and must bring the token that was told to the person.
"""

import hmac
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mbxai.serving import is_foreign

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine, as they stand in a Host header."""

_COOKIE: Final = "mbxai_inspector"  # and the port, for a browser does not tell ports apart


class LoopbackGuard:
    """ASGI middleware: refuses foreign hosts, foreign pages, and whoever lacks the token.

    The token comes once as `?token=`, and is then kept in a cookie; programs send it as
    `Authorization: Bearer`.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Collection[str] = LOOPBACK
    ) -> None:
        """Put a guard before an application.

        Args:
            app: The application.
            token: What a request must bring; None: nothing.
            hosts: Host names, without a port, under which the service may be asked.
        """
        self._app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(scope, Headers(scope=scope))
            await (refusal or self._app)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if _host_of(headers.getlist("host")) not in self._hosts:
            return PlainTextResponse("This host is not served here.\n", 421)
        if is_foreign(scope["method"], headers):
            return PlainTextResponse("A foreign page may change nothing here.\n", 403)
        if self._token is None:
            return None
        if scope["method"] == "GET" and (given := _from_query(scope)):
            return self._welcome(scope, headers, given)
        if self._is_ours(_from_cookie(headers)) or self._is_ours(_from_bearer(headers)):
            return None
        return _unknown()

    def _welcome(self, scope: Scope, headers: Headers, given: str) -> Response:
        """Put the token into a cookie, and take it out of the address."""
        if not self._is_ours(given):
            return _unknown()
        # A path of two slashes would lead to another host.
        answer = RedirectResponse("/" + scope["path"].lstrip("/\\"), 303)
        answer.set_cookie(_cookie(headers), given, httponly=True, samesite="strict", path="/")
        answer.headers["referrer-policy"] = "no-referrer"
        answer.headers["cache-control"] = "no-store"
        return answer

    def _is_ours(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), (self._token or "").encode())


def _unknown() -> Response:
    text = "Open the address that the program printed; it holds the token.\n"
    return PlainTextResponse(text, 401, headers={"WWW-Authenticate": "Bearer"})


def _host_of(found: list[str]) -> str:
    if len(found) != 1:
        return ""
    name, _, port = found[0].lower().rpartition(":")
    return name if name and port.isdigit() else found[0].lower()


def _from_query(scope: Scope) -> str:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return query.get("token", [""])[0]


def _from_bearer(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    port = headers["host"].rpartition(":")[2]
    return f"{_COOKIE}_{port}" if port.isdigit() else _COOKIE


def _from_cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_cookie(headers))
    except CookieError:
        return ""
    return found.value if found else ""

"""Who gets past the door of a server over HTTP: known hosts, and callers with a good token.

Plain ASGI; what is behind the doors is not known here.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import pydantic_core

from mbxai.mcp.serving._bearer import (
    WELL_KNOWN,
    AccessToken,
    BearerAuth,
    bearer_token,
    challenge,
    metadata,
    missing_scopes,
    verified,
)
from mbxai.mcp.serving._features import Features
from mbxai.mcp.serving._live import SCOPE_ENTRY

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Host names that are always served."""


class HostGuard:
    """Refuses requests for other hosts, and from pages of other hosts.

    A web page can have its own name point at 127.0.0.1, and then talks to whatever listens there;
    but it cannot change the Host and Origin headers.
    """

    def __init__(self, app: Asgi, hosts: Sequence[str]) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: Host names, without port, that are served besides the loopback ones; "*" serves
                all.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421 or 403."""
        if scope["type"] == "http" and "*" not in self._hosts:
            if not self._is_known(header(scope, b"host")):
                return await _refuse(send, 421, "Invalid Host header")
            origin = header(scope, b"origin", missing="http://localhost")
            if not self._is_known(origin.partition("://")[2]):
                return await _refuse(send, 403, "Invalid Origin header")
        return await self._app(scope, receive, send)

    def _is_known(self, authority: str) -> bool:
        host = authority.lower()
        if not host.endswith("]"):
            name, colon, port = host.rpartition(":")
            host = name if colon and port.isdigit() else host
        return host in LOOPBACK_HOSTS or host in self._hosts


@dataclass(frozen=True, slots=True)
class _Body:
    """A request's body, read to look into it, and given again to who comes after."""

    data: bytes

    def __call__(self, receive: Receive) -> Receive:
        is_given = False

        async def again() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": self.data, "more_body": False}

        return again


class BearerGuard:
    """Refuses callers without a good token, and calls of tools that the token does not allow.

    Also says where tokens are to be had: at the well-known path, below the place where the
    application is mounted. A refusal names that very address, so a client finds it wherever the
    application is mounted.
    """

    def __init__(self, app: Asgi, features: Features, auth: BearerAuth, path: str) -> None:
        """Guard an application.

        Args:
            app: The application.
            features: What is offered, with the scopes of its tools.
            auth: The rules.
            path: Path of the endpoint within the application.
        """
        self._app = app
        self._features = features
        self._auth = auth
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = _path_within(scope)
        if path.startswith(WELL_KNOWN):
            return await self._tell_metadata(scope, send, path.removeprefix(WELL_KNOWN))
        text = bearer_token(header(scope, b"authorization"))
        token = await verified(self._auth, text) if text else None
        if token is None:
            error = "invalid_token" if text else ""
            told = challenge(self._metadata_url(scope), error=error, scopes=self._auth.scopes)
            return await _refuse(send, 401, "A bearer token is needed.", challenge=told)
        lacking = missing_scopes(token, self._auth.scopes)
        if not lacking and scope["method"] == "POST" and self._features.tools.all_scopes():
            body = await _body(receive, self._features.settings.max_body_bytes)
            if body is None:
                return await _refuse(send, 413, "The body is too large.")
            receive = _Body(body)(receive)
            lacking = missing_scopes(token, self._scopes_of_call(path, body))
        if lacking:
            return await self._refuse_scope(scope, send, token, lacking)
        return await self._pass(scope, receive, send, token)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, token: AccessToken) -> None:
        from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
        from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
        from mcp.server.auth.provider import AccessToken as ProtocolToken

        # So that a session, and a question's sealed state, belong to who began them.
        user = AuthenticatedUser(
            ProtocolToken(
                token="",  # nobody behind the door needs it
                client_id=token.client_id,
                scopes=list(token.scopes),
                subject=token.subject or None,
                claims={"iss": token.issuer} if token.issuer else None,
            )
        )
        known = {**scope, SCOPE_ENTRY: token, "user": user}
        await AuthContextMiddleware(cast("Any", self._app))(known, receive, send)

    def _scopes_of_call(self, path: str, body: bytes) -> list[str]:
        """What a call needs, by the tools that are named in its body or its path."""
        parts = path.strip("/").split("/")
        names = [parts[-2]] if parts[-1] == "invoke" and len(parts) > 1 else []
        try:
            asked: object = json.loads(body) if body else None
        except (ValueError, RecursionError):
            asked = None  # who comes after says what is wrong
        for message in cast("list[object]", asked if isinstance(asked, list) else [asked]):
            call = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
            params: object = call.get("params")
            if call.get("method") == "tools/call" and isinstance(params, dict):
                names.append(str(cast("dict[str, Any]", params).get("name")))
        return [scope for name in names for scope in self._features.tools.shown(name).scopes]

    async def _refuse_scope(
        self, scope: Scope, send: Send, token: AccessToken, lacking: Sequence[str]
    ) -> None:
        # All that is wanted, not only what is missing: the next token replaces this one.
        wanted = list(dict.fromkeys([*self._auth.scopes, *token.scopes, *lacking]))
        told = challenge(self._metadata_url(scope), error="insufficient_scope", scopes=wanted)
        text = f"The token does not allow {' '.join(lacking)}."
        await _refuse(send, 403, text, challenge=told)

    async def _tell_metadata(self, scope: Scope, send: Send, path: str) -> None:
        if path.rstrip("/") not in {"", self._path.rstrip("/"), self._resource_path()}:
            return await _refuse(send, 404, "Not Found")
        told = metadata(
            self._auth,
            self._auth.resource or f"{_base(scope)}{self._path}",
            self._features.settings.title or self._features.settings.name,
            self._features.all_scopes(),
        )
        return await answer_json(send, told, headers=[(b"access-control-allow-origin", b"*")])

    def _metadata_url(self, scope: Scope) -> str:
        prefix = str(scope.get("root_path", "")).rstrip("/")
        if not self._auth.resource:
            return f"{_base(scope)}{WELL_KNOWN}{self._path.rstrip('/')}"
        parts = urlsplit(self._auth.resource)
        return f"{parts.scheme}://{parts.netloc}{prefix}{WELL_KNOWN}{self._resource_path()}"

    def _resource_path(self) -> str:
        return urlsplit(self._auth.resource).path.rstrip("/")


def header(scope: Scope, name: bytes, *, missing: str = "") -> str:
    """Return a request's header.

    Args:
        scope: The request.
        name: The header's name, in small letters.
        missing: What is returned if it is not there.
    """
    return next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == name), missing)


async def answer_json(
    send: Send, value: object, *, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer a request with JSON.

    Args:
        send: Sends the answer.
        value: What is told.
        status: The answer's status.
        headers: More headers.
    """
    body = pydantic_core.to_json(value)
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive, max_bytes: int) -> bytes | None:
    """A request's body; None if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the caller has hung up
        body += message.get("body", b"")
        if len(body) > max_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _refuse(send: Send, status: int, text: str, *, challenge: str = "") -> None:
    headers = [(b"www-authenticate", challenge.encode("latin-1", "replace"))] if challenge else []
    if challenge:
        await answer_json(send, {"error": text}, status=status, headers=headers)
        return
    body = text.encode()
    own = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


def _path_within(scope: Scope) -> str:
    """The path below the place where the application is mounted."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}/") else path


def _base(scope: Scope) -> str:
    host = header(scope, b"host")
    return f"{scope.get('scheme', 'http')}://{host}{str(scope.get('root_path', '')).rstrip('/')}"
